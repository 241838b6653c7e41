package objectio

import (
	"context"
	"fmt"
)

// Get reads a small object whole. One of more than limit bytes is [ErrSize], found
// before anything is read or allocated. The bytes are the caller's.
func (b *Bucket) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	s := b.whole(ctx, "get", key)
	defer s.release()
	if err := s.ready(); err != nil {
		return nil, err
	}
	if s.size > limit {
		return nil, fail(ctx, "get", key, fmt.Errorf("%w: %d bytes, allowed are %d", ErrSize, s.size, limit))
	}
	return s.first(s.size)
}

// Peek reads the first n bytes of an object, all of it if it is smaller.
func (b *Bucket) Peek(ctx context.Context, key string, n int64) ([]byte, error) {
	s := b.whole(ctx, "peek", key)
	defer s.release()
	if err := s.ready(); err != nil {
		return nil, err
	}
	return s.first(min(n, s.size))
}

// Size is the object's size in bytes.
func (b *Bucket) Size(ctx context.Context, key string) (int64, error) {
	var size int64
	err := b.retry(ctx, "size", key, func(ctx context.Context) error {
		b.meter.heads.Add(1)
		attrs, err := b.blobs.Attributes(ctx, b.path(key))
		if err == nil {
			size = attrs.Size
		}
		return err
	})
	if err != nil {
		return 0, fail(ctx, "size", key, err)
	}
	return size, nil
}
