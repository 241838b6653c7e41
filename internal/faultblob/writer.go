package faultblob

import (
	"bytes"
	"context"

	"gocloud.dev/blob"
	gocloud "gocloud.dev/blob/driver"
)

func (d driver) NewTypedWriter(ctx context.Context, key, contentType string, opts *gocloud.WriterOptions) (gocloud.Writer, error) {
	return &writer{bucket: d.Bucket, ctx: ctx, key: key, opts: &blob.WriterOptions{
		BufferSize:                  opts.BufferSize,
		MaxConcurrency:              opts.MaxConcurrency,
		CacheControl:                opts.CacheControl,
		ContentDisposition:          opts.ContentDisposition,
		ContentEncoding:             opts.ContentEncoding,
		ContentLanguage:             opts.ContentLanguage,
		ContentType:                 contentType,
		DisableContentTypeDetection: opts.DisableContentTypeDetection,
		ContentMD5:                  opts.ContentMD5,
		Metadata:                    opts.Metadata,
		BeforeWrite:                 opts.BeforeWrite,
		IfNotExist:                  opts.IfNotExist,
	}}, nil
}

// writer keeps the object until its commit, where everything is decided. It commits
// what it has even if the reader of an upload failed, as several real drivers do.
type writer struct {
	bucket *Bucket
	ctx    context.Context // of the upload: gocloud gives Close none
	key    string
	opts   *blob.WriterOptions
	body   bytes.Buffer
}

func (w *writer) Write(p []byte) (int, error) { return w.body.Write(p) }

func (w *writer) Close() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	return w.bucket.do(w.ctx, Op{Kind: Put, Key: w.key}, func(op Op) error {
		return w.bucket.write(op, w.commit)
	})
}

func (w *writer) commit() error {
	under, err := w.bucket.under.NewWriter(w.ctx, w.key, w.opts)
	if err != nil {
		return err
	}
	if _, err := under.Write(w.body.Bytes()); err != nil {
		return after(under.Close(), err)
	}
	return under.Close()
}
