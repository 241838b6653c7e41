package objectio

import (
	"context"
	"errors"
)

// Delete removes an object. That there is none is no error: an earlier try, whose
// reply was lost, or somebody else has removed it.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	err := b.retry(ctx, "delete", key, func(ctx context.Context) error {
		b.meter.deletes.Add(1)
		return b.blobs.Delete(ctx, b.path(key))
	})
	if err != nil {
		if err = fail(ctx, "delete", key, err); !errors.Is(err, ErrNotExist) {
			return err
		}
	}
	return nil
}
