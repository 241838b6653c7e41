package varve

import (
	"context"
	"slices"
	"sync/atomic"

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

func entry(o *objectio.Entry) []objectio.Entry {
	if o == nil {
		return nil
	}
	return []objectio.Entry{*o}
}

// partsOf are the objects at a path that belong to a layer: not the tables of another.
func (p *site) partsOf(id string) (out []objectio.Entry) {
	for _, o := range p.parts {
		if _, layer, _, _, err := parseData(o.Key); err != nil || layer == id {
			out = append(out, o)
		}
	}
	return out
}

// bytesOf counts those of all objects at a path that belong to a layer.
func (p *site) bytesOf(id string) int64 {
	return sizeOf(slices.Concat(entry(p.manifest), entry(p.claim), p.partsOf(id)))
}

func sizeOf(objects []objectio.Entry) (n int64) {
	for _, o := range objects {
		n += o.Size
	}
	return n
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
// gone, whatever was said about layers that are, and records of runs long ago.
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
		for _, v := range c.verified[id] {
			if c.layers[id] == nil && c.homes[id] == nil && !marked && c.old(v.ModTime) {
				out = append(out, v.Entry) // of a layer that went while it was verified
			}
		}
	}
	for _, o := range c.records {
		if c.now.Sub(o.ModTime) > recordAge {
			out = append(out, o)
		}
	}
	if err := e.delete(ctx, out); ctx.Err() != nil {
		return err
	}
	return nil
}

// delete removes objects, several at once. Of several that cannot be removed one is
// noted as a problem.
func (e *expiry) delete(ctx context.Context, objects []objectio.Entry) error {
	var deleted, bytes atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for _, o := range objects {
		g.Go(func() error {
			if err := gctx.Err(); err != nil {
				return err
			}
			if err := e.b.Delete(gctx, o.Key); err != nil {
				return storageError("delete", o.Key, err)
			}
			deleted.Add(1)
			bytes.Add(o.Size)
			return nil
		})
	}
	err := g.Wait()
	e.report.Objects, e.report.Bytes = e.report.Objects+deleted.Load(), e.report.Bytes+bytes.Load()
	e.problem(err)
	return err
}
