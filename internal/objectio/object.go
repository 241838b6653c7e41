package objectio

import (
	"context"
	"fmt"
	"io"
)

// Object is one stored object of a known size, to be read in ranges. It is safe for
// concurrent use.
type Object struct {
	bucket *Bucket
	key    string
	size   int64
}

// Object is the object of that key and size in bytes. It does no I/O: that there is
// none, or one of another size ([ErrSize]), shows when it is read.
func (b *Bucket) Object(key string, size int64) *Object {
	return &Object{bucket: b, key: key, size: size}
}

// Size is the object's size in bytes, as it was given.
func (o *Object) Size() int64 { return o.size }

// ReadAt fills p with what is at off, or returns an error.
func (o *Object) ReadAt(ctx context.Context, p []byte, off int64) error {
	r, err := o.Stream(ctx, off, int64(len(p)))
	if err != nil {
		return err
	}
	defer r.Close() // everything was read; what Close might say cannot matter
	_, err = io.ReadFull(r, p)
	return err
}

// Stream reads [off, off+n) in order. When storage breaks off it goes on from where
// it was; only several failures without a byte between them end it. It obeys ctx,
// is used by one goroutine at a time, and must be closed.
func (o *Object) Stream(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || n > o.size || off > o.size-n {
		return nil, fail(ctx, "read", o.key, fmt.Errorf("no range of %d bytes at %d in %d bytes", n, off, o.size))
	}
	s := &stream{ctx: ctx, bucket: o.bucket, op: "read", key: o.key, size: o.size, off: off, end: off + n}
	if err := s.ready(); err != nil {
		return nil, err
	}
	return s, nil
}
