package varve_test

import (
	"context"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// wrong is a driver that gets one thing wrong.
type wrong struct {
	driver.Bucket // nil: whatever is not here is not called
	under         *blob.Bucket

	overwrites, listsNothing, keeps, garbles bool
}

func (b *wrong) Close() error                           { return nil }
func (b *wrong) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }

func (b *wrong) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	attrs, err := b.under.Attributes(ctx, key)
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{Size: attrs.Size}, nil
}

func (b *wrong) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	page := new(driver.ListPage)
	if b.listsNothing {
		return page, nil
	}
	objects, _, err := b.under.ListPage(ctx, blob.FirstPageToken, 1000, &blob.ListOptions{Prefix: opts.Prefix})
	for _, o := range objects {
		page.Objects = append(page.Objects, &driver.ListObject{Key: o.Key, Size: o.Size})
	}
	return page, err
}

func (b *wrong) NewRangeReader(ctx context.Context, key string, off, n int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	r, err := b.under.NewRangeReader(ctx, key, off, n, nil)
	if err != nil {
		return nil, err
	}
	return wrongReader{r}, nil
}

type wrongReader struct{ *blob.Reader }

func (r wrongReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{Size: r.Size()}
}

func (b *wrong) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	if b.keeps {
		return nil
	}
	return b.under.Delete(ctx, key)
}

func (b *wrong) NewTypedWriter(ctx context.Context, key, kind string, opts *driver.WriterOptions) (driver.Writer, error) {
	return &wrongWriter{bucket: b, ctx: ctx, key: key, kind: kind, opts: opts}, nil
}

type wrongWriter struct {
	bucket    *wrong
	ctx       context.Context
	key, kind string
	opts      *driver.WriterOptions
	body      []byte
}

func (w *wrongWriter) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

func (w *wrongWriter) Close() error {
	if w.bucket.garbles {
		w.body[0] ^= 1
	}
	return w.bucket.under.WriteAll(w.ctx, w.key, w.body,
		&blob.WriterOptions{ContentType: w.kind, IfNotExist: w.opts.IfNotExist && !w.bucket.overwrites})
}
