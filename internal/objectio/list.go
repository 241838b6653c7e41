package objectio

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"gocloud.dev/blob"
)

// pageSize is what every service serves at once.
const pageSize = 1000

// Entry is one listed object.
type Entry struct {
	Key     string    // without the bucket's prefix
	Size    int64     // bytes
	ModTime time.Time // when it was written, by the bucket's clock
}

// List yields the objects whose keys start with prefix, keys ascending. At most one
// error comes, last. Objects written meanwhile may be missing. A bucket that does
// not list in order would hide objects from whoever relies on it: that is an error.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		last := ""
		for token := blob.FirstPageToken; len(token) > 0; {
			page, next, err := b.page(ctx, prefix, token)
			if err != nil {
				yield(Entry{}, fail(ctx, "list", prefix, err))
				return
			}
			for _, o := range page {
				e := Entry{Key: strings.TrimPrefix(o.Key, b.prefix), Size: o.Size, ModTime: o.ModTime}
				if e.Key < last {
					yield(Entry{}, fail(ctx, "list", prefix, fmt.Errorf("key %q comes after %q", e.Key, last)))
					return
				}
				if !yield(e, nil) {
					return
				}
				last = e.Key
			}
			token = next
		}
	}
}

// page is one page of a listing and the token of the next.
func (b *Bucket) page(ctx context.Context, prefix string, token []byte) (page []*blob.ListObject, next []byte, err error) {
	err = b.retry(ctx, "list", prefix, func(ctx context.Context) error {
		b.meter.lists.Add(1)
		var err error
		page, next, err = b.blobs.ListPage(ctx, token, pageSize, &blob.ListOptions{Prefix: b.path(prefix)})
		return err
	})
	return page, next, err
}
