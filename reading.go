package varve

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A retired layer stays for grace, and so whatever reads it has that time without having
// said so. What takes longer says so, again and again: each reference is good for
// grace, by the bucket's clock. In the same way a backup says that it lives: of its own
// layer.

const (
	// grace is how long, by the bucket's clock, a retired layer stays for those who read
	// it, and an object of a run, or a reference, proves that its maker lives.
	grace = 24 * time.Hour
	// readingInterval is how often a reader says that it goes on. It leaves room for
	// failures, and for a clock that is not the bucket's.
	readingInterval = 6 * time.Hour
)

// reading is somebody who needs layers.
type reading struct {
	c      *Collection
	b      *collectionBucket
	layers []string // IDs
	made   []string // references that are there
}

// reads lets the layers of a chain stay until the function that it returns is called,
// which waits for what is under way. Whoever may not write into the bucket has a day. A
// layer that is on its way out, and which somebody holds, may have had its day: he may let
// go of it.
func (c *Collection) reads(ctx context.Context, b *collectionBucket, chain *Chain) (end func()) {
	r := &reading{c: c, b: b}
	for _, l := range chain.Layers {
		r.layers = append(r.layers, l.ID)
	}
	if retired, err := b.retired(ctx); err != nil || retired[chain.tip().ID] {
		r.renew(ctx)
	}
	return r.begin(ctx)
}

// lives says that a run goes on, until the function that it returns is called.
func (d *draft) lives(ctx context.Context) (end func()) {
	return (&reading{c: d.c, b: d.bucket, layers: []string{d.layer.ID}}).begin(ctx)
}

func (r *reading) begin(ctx context.Context) (end func()) {
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
	for _, id := range r.layers {
		if err != nil {
			break
		}
		object := formatRef(id, holder)
		r.made = append(r.made, object) // also if that fails: it may be there
		err = r.b.create(ctx, object, kindRef, refRecord{Layer: id, Holder: holder, Use: useRead, CreatedAt: r.c.opts.Now().UTC()})
	}
	if err != nil {
		r.c.opts.Logger.WarnContext(ctx, "layers that are needed may be expired", "collection", r.c.name, "layers", r.layers, "error", err)
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
