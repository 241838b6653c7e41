package varve

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/internal/objectio"
)

// A layer goes in stages, each when the one before is done: a crash between any two
// deletions leaves what the next run continues. The index entry goes first, by which the
// writer of the layer, should it still wait for a reply, knows that it is gone; then the
// manifest, by which it exists; what it consists of; the claim; what was said about it;
// and last the mark that says that all this may go.

// sweepLayer deletes a layer that is retired, or what is left of it. There may be no
// site. A problem is noted.
func (e *expiry) sweepLayer(ctx context.Context, c *census, id string, p *site) error {
	var manifest, parts, claim []objectio.Entry
	if p != nil {
		manifest, claim = entry(p.manifest), entry(p.claim)
		parts = p.partsOf(id)
	}
	var said []objectio.Entry
	for _, v := range c.verified[id] {
		said = append(said, v.Entry)
	}
	for _, r := range c.refs {
		if r.layer == id || r.holder == id {
			said = append(said, r.Entry)
		}
	}
	mark := []objectio.Entry{{Key: formatRetired(id)}}
	for _, stage := range [][]objectio.Entry{c.index[id], manifest, parts, claim, said, mark} {
		if err := e.delete(ctx, stage); err != nil {
			return err
		}
	}
	e.c.opts.Logger.InfoContext(ctx, "layer expired", "collection", e.c.name, "run", e.job, "layer", id)
	return nil
}

// sweepDead deletes what a run has left that was declared dead. Its claim and the void
// manifest stay.
func (e *expiry) sweepDead(ctx context.Context, c *census, p *site) error {
	if p.state != siteVoid || p.layer == "" || c.leftovers(p) == 0 {
		return nil
	}
	d := DeadRun{Path: p.path, Layer: p.layer, LastSeen: c.lastSeen(p.layer), Declared: p.manifest != nil}
	var refs []objectio.Entry
	for _, r := range c.refs {
		if r.holder == p.layer {
			refs = append(refs, r.Entry)
		}
	}
	parts := p.partsOf(p.layer)
	d.StoredBytes = sizeOf(parts)
	for _, stage := range [][]objectio.Entry{c.index[p.layer], parts, refs} {
		if err := e.delete(ctx, stage); err != nil {
			return err
		}
	}
	e.report.Dead = append(e.report.Dead, d)
	return nil
}

// sweepSmall deletes what means nothing any more: references of readers that are long
// gone, whatever was said about layers that are, and records of runs and jobs long ago.
func (e *expiry) sweepSmall(ctx context.Context, c *census) error {
	var out []objectio.Entry
	for _, r := range c.refs {
		_, marked := c.marks[r.layer]
		gone := c.layers[r.layer] == nil && c.homes[r.layer] == nil && !marked
		if c.old(r.ModTime) && r.read && (r.use == useRead || gone && c.homes[r.holder] == nil) {
			out = append(out, r.Entry)
		}
	}
	for _, id := range sortedKeys(c.verified) {
		_, marked := c.marks[id]
		gone := c.layers[id] == nil && c.homes[id] == nil && !marked // the layer went while it was verified
		last := lastProof(c.verified[id])
		for i, v := range c.verified[id] {
			age := c.now.Sub(v.ModTime)
			if gone && age > grace || last >= 0 && i != last && age > recordAge {
				out = append(out, v.Entry)
			}
		}
	}
	for _, o := range c.records {
		if c.now.Sub(o.ModTime) > recordAge {
			out = append(out, o)
		}
	}
	for _, o := range c.probes {
		if c.old(o.ModTime) {
			out = append(out, o)
		}
	}
	for _, p := range c.sites {
		if p.state == siteKeys && c.old(newestOf(p.parts)) {
			out = append(out, p.parts...)
		}
	}
	earlier, last, err := c.pastJobs(ctx)
	if err != nil {
		return err
	}
	for _, stage := range [][]objectio.Entry{append(out, earlier...), last} {
		if err := e.delete(ctx, stage); err != nil {
			if e.gaveUp(ctx) {
				return err
			}
			return nil
		}
	}
	return nil
}

func newestOf(objects []objectio.Entry) (last time.Time) {
	for _, o := range objects {
		last = later(last, o.ModTime)
	}
	return last
}

// maxFailures is how many objects of one stage are tried in vain, and maxDown how many
// stages in a row, before storage is taken to be out of order.
const maxFailures, maxDown = 16, 16

// delete removes objects, several at once. Those that cannot be removed are noted as
// problems, and do not keep it from the others.
func (e *expiry) delete(ctx context.Context, objects []objectio.Entry) error {
	var mu sync.Mutex
	var failures []error
	var deleted, bytes int64
	var g errgroup.Group
	g.SetLimit(readAtOnce)
	for _, o := range objects {
		mu.Lock()
		enough := len(failures) >= maxFailures
		mu.Unlock()
		if enough || ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			err := storageError("delete", o.Key, e.b.Delete(ctx, o.Key))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures = append(failures, err)
				return err
			}
			deleted, bytes = deleted+1, bytes+o.Size
			return nil
		})
	}
	err := g.Wait()
	e.report.Objects, e.report.Bytes = e.report.Objects+deleted, e.report.Bytes+bytes
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e.report.Problems = append(e.report.Problems, failures...)
	var denied *AccessError
	switch {
	case deleted > 0:
		e.down = 0
	case err != nil && !errors.As(err, &denied):
		e.down++
	}
	return err
}

// gaveUp reports whether there is no point in going on.
func (e *expiry) gaveUp(ctx context.Context) bool { return ctx.Err() != nil || e.down >= maxDown }
