package faultblob

import (
	"context"
	"io"

	"gocloud.dev/blob"
	gocloud "gocloud.dev/blob/driver"
)

func (d driver) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *gocloud.ReaderOptions) (gocloud.Reader, error) {
	var r *reader
	err := d.do(ctx, Op{Kind: Get, Key: key}, func(op Op) error {
		under, err := d.under.NewRangeReader(ctx, key, offset, length, &blob.ReaderOptions{BeforeRead: opts.BeforeRead})
		if err == nil {
			d.readers.Add(1)
			r = &reader{bucket: d.Bucket, under: under, fault: op.Fault}
		}
		return err
	})
	if err != nil {
		return nil, r.abandon(err)
	}
	return r, nil
}

// reader breaks off where its fault says.
type reader struct {
	bucket *Bucket
	under  *blob.Reader
	fault  Fault
	read   int64
	closed bool
}

// abandon closes a reader that was opened although the caller is told otherwise.
func (r *reader) abandon(err error) error {
	if r != nil {
		r.Close() // what it might say matters to nobody
	}
	return err
}

func (r *reader) Read(p []byte) (int, error) {
	if r.fault.Kind == Truncated || r.fault.Kind == Reset {
		p = p[:min(int64(len(p)), r.fault.At-r.read)]
		if len(p) == 0 {
			return 0, r.end()
		}
	}
	n, err := r.under.Read(p)
	r.read += int64(n)
	return n, err
}

func (r *reader) end() error {
	if r.fault.Kind == Truncated {
		return io.EOF
	}
	return errReset
}

// Close counts once, however often it is called.
func (r *reader) Close() error {
	if !r.closed {
		r.closed = true
		r.bucket.readers.Add(-1)
	}
	return r.under.Close()
}

func (r *reader) As(any) bool { return false }

func (r *reader) Attributes() *gocloud.ReaderAttributes {
	return &gocloud.ReaderAttributes{
		ContentType: r.under.ContentType(),
		ModTime:     r.under.ModTime(),
		Size:        r.under.Size(),
	}
}
