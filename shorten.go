package varve

import "context"

// shorten is what the run extends: parent or, where that would make the chain longer than
// it may be, a synthetic full that stands for it; nil if a full is to be taken. A chain that
// cannot be compacted must not keep backups from being taken.
func (r *run) shorten(ctx context.Context, parent *Manifest) (*Manifest, error) {
	n, err := r.layersBelow(ctx, parent.info())
	if err != nil || r.opts.MaxChain == 0 || n < r.opts.MaxChain {
		return parent, err
	}
	r.c.opts.Logger.Warn("chain is as long as it may be", "collection", r.c.name, "layer", parent.Layer, "layers", n)
	r.report.longChain(LongChainInfo{Tip: parent.info(), Layers: n})
	full, err := r.compactBelow(ctx, parent)
	if err == nil {
		r.bucket.listed = nil // it is listed by now
		return r.bucket.manifest(ctx, full.Path)
	}
	if ctx.Err() != nil {
		return nil, err
	}
	r.c.opts.Logger.Warn("chain is not compacted: a full is taken", "collection", r.c.name, "layer", parent.Layer, "error", err)
	return nil, nil
}

// layersBelow is how many layers a restore of l needs. Parents are counted first, which
// costs nothing; where they are too many, there may be a shorter way.
func (r *run) layersBelow(ctx context.Context, l LayerInfo) (n int, err error) {
	if r.opts.MaxChain == 0 {
		return 0, nil
	}
	x, err := r.bucket.index(ctx)
	if err != nil {
		return 0, err
	}
	for range x.down(l) {
		n++
	}
	if n < r.opts.MaxChain {
		return n, nil
	}
	chain, err := r.bucket.chain(ctx, l)
	switch {
	case err == nil:
		return len(chain.Layers), nil
	case isBroken(err):
		return n, nil // and so it cannot be compacted
	}
	return 0, err
}

func (r *run) compactBelow(ctx context.Context, tip *Manifest) (*Layer, error) {
	m, err := r.c.newCompaction(CompactOptions{
		Concurrency: r.opts.Concurrency, TargetFileBytes: r.opts.TargetFileBytes, BytesPerSecond: r.opts.BytesPerSecond,
		Compression: r.opts.Compression, Events: r.opts.Events,
	})
	if err != nil {
		return nil, err
	}
	return m.compact(ctx, tip.Layer)
}
