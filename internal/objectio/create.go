package objectio

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"gocloud.dev/gcerrors"
)

// Create makes a small object, or returns [ErrExist] if there is another under key.
// Of several writers exactly one succeeds. Their bodies must differ, so each holds
// something drawn for it: after any error the object is read back, and whose body
// it has tells who won. An absent object is tried again, a bounded number of times.
//
// Other errors leave open whether the object was or will be created. The same call
// may be made again, with the same body. Body is not kept.
func (b *Bucket) Create(ctx context.Context, key string, body []byte) error {
	return b.CreateWhile(ctx, key, body, nil)
}

// CreateWhile is [Bucket.Create] of an object that others may delete. An absent one is
// tried again only while still says so: a write whose reply was lost may have taken
// effect long ago, and what it made may have had its day. nil: always.
func (b *Bucket) CreateWhile(ctx context.Context, key string, body []byte, still func(context.Context) error) error {
	for n := 0; ; n++ {
		err := b.createOnce(ctx, key, body)
		if err == nil {
			return nil
		}
		stored, readErr := b.Peek(ctx, key, int64(len(body))+1)
		switch {
		case readErr == nil && bytes.Equal(stored, body):
			return nil
		case readErr == nil:
			return &opError{op: "create", key: key, kind: ErrExist, cause: err}
		case !errors.Is(readErr, ErrNotExist):
			return fail(ctx, "create", key, fmt.Errorf("%w; then %w", err, readErr))
		case !absentTransient(err) || !b.again(ctx, "create", key, n, err):
			return fail(ctx, "create", key, err)
		}
		if still != nil {
			if err := still(ctx); err != nil {
				return err
			}
		}
	}
}

// createOnce asks storage once. The body is not a stream that could fail half way.
func (b *Bucket) createOnce(ctx context.Context, key string, body []byte) error {
	if err := b.meter.pace(ctx, len(body)); err != nil {
		return err
	}
	return once(ctx, b.retries.deadline(len(body)), func(ctx context.Context) error {
		b.meter.puts.Add(1)
		return b.blobs.Upload(ctx, b.path(key), bytes.NewReader(body), streamOptions())
	})
}

// absentTransient reports whether to write again after err where no object is. A
// conflict with an object that is not there is one with a write that failed.
func absentTransient(err error) bool {
	return transient(err) || gcerrors.Code(err) == gcerrors.FailedPrecondition
}
