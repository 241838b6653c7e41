package varve

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A retired layer stays for grace, and so whatever reads it has that time without having
// said so. What takes longer says so, again and again: each reference is good for
// grace, by the bucket's clock.

const (
	// grace is how long, by the bucket's clock, a retired layer stays for those who read
	// it, and an object of a run, or a reference, proves that its maker lives.
	grace = 24 * time.Hour
	// readingInterval is how often a reader says that it goes on. It leaves room for
	// failures, and for a clock that is not the bucket's.
	readingInterval = 6 * time.Hour
)

// reading is somebody who reads a chain.
type reading struct {
	c     *Collection
	b     *collectionBucket
	chain *Chain
	made  []string // references that are there
}

// reads lets the layers of a chain stay until the function that it returns is called,
// which waits for what is under way. Whoever may not write into the bucket has a day.
func (c *Collection) reads(ctx context.Context, b *collectionBucket, chain *Chain) (end func()) {
	r := &reading{c: c, b: b, chain: chain}
	stopping, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(readingInterval)
		defer ticker.Stop()
		for {
			select {
			case <-stopping.Done():
				r.clear(context.WithoutCancel(ctx), r.made)
				return
			case <-ticker.C:
				r.renew(stopping)
			}
		}
	})
	return func() {
		stop()
		wg.Wait()
	}
}

// renew makes references, and removes those that were there before.
func (r *reading) renew(ctx context.Context) {
	before := r.made
	r.made = nil
	holder, err := newID(r.c.opts.Rand)
	for _, l := range r.chain.Layers {
		if err != nil {
			break
		}
		object := formatRef(l.ID, holder)
		r.made = append(r.made, object) // also if that fails: it may be there
		err = r.b.create(ctx, object, kindRef, refRecord{Layer: l.ID, Holder: holder, Use: useRead, CreatedAt: r.c.opts.Now().UTC()})
	}
	if err != nil {
		r.c.opts.Logger.WarnContext(ctx, "layers that are read may be expired", "collection", r.c.name, "layer", r.chain.tip().ID, "error", err)
		r.made = append(r.made, before...)
		return
	}
	r.clear(ctx, before)
}

// clear removes references. Those that cannot be removed are good for a day.
func (r *reading) clear(ctx context.Context, objects []string) {
	var failed error
	for _, object := range objects {
		failed = errors.Join(failed, r.b.Delete(ctx, object))
	}
	if failed != nil {
		r.c.opts.Logger.DebugContext(ctx, "references of a reader stay for a day", "collection", r.c.name, "error", failed)
	}
}
