package varve

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/sink"
)

// synthesize finds the tables that a synthetic full need not store again, and makes sure
// that their layers stay. Where it finds no full that it can rely on, all is stored.
func (r *run) synthesize(ctx context.Context) error {
	if !r.opts.Synthetic || r.parent != nil || r.info.Revisions {
		return nil
	}
	m, err := r.latestFull(ctx)
	if isNoLayer(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if m.locked != nil {
		return nil // what it has cannot be known
	}
	if m.Order != r.info.Order.WithDefaults().Name {
		return nil
	}
	x, err := r.bucket.index(ctx)
	if err != nil {
		return err
	}
	for _, id := range append([]string{m.Layer}, m.Refers...) {
		l, err := x.layer(ctx, id)
		if err == nil {
			err = r.refer(ctx, l)
		}
		if errors.Is(err, ErrConflict) || errors.Is(err, ErrNoLayer) {
			r.needs = nil
			return nil
		}
		if err != nil {
			return err
		}
	}
	list, err := readFileList(ctx, r.bucket.Bucket, m)
	if err != nil {
		return err
	}
	for _, f := range list.files {
		if f.Content != "" {
			r.stored = append(r.stored, f)
		}
	}
	slices.SortStableFunc(r.stored, func(a, b sink.File) int { return cmp.Compare(a.Plain, b.Plain) })
	return nil
}

func (r *run) latestFull(ctx context.Context) (*Manifest, error) {
	latest, err := r.bucket.find(ctx, Latest)
	if err != nil {
		return nil, err
	}
	full, err := r.bucket.find(ctx, latest.ChainID)
	if err != nil {
		return nil, err
	}
	return r.bucket.manifestOf(ctx, full)
}

// reuse is the entry of a table that the bucket has already, if it does: then it is as
// long as it must be there. The facts are those that were read of the table.
func (r *run) reuse(ctx context.Context, t export.Table, facts sink.File) (_ sink.File, found bool, err error) {
	info, cmp := t.Info(), r.info.Order.WithDefaults().Compare
	from, _ := slices.BinarySearchFunc(r.stored, info.Bytes, func(f sink.File, n int64) int {
		if f.Plain < n {
			return -1
		}
		return 1
	})
	for _, f := range r.stored[from:] {
		if f.Plain != info.Bytes {
			break
		}
		if f.Format != info.Format || f.KeySchema != info.KeySchema || f.Merger != info.Merger || f.Counts != facts.Counts ||
			cmp(f.Smallest, facts.Smallest) != 0 || cmp(f.Largest, facts.Largest) != 0 {
			continue
		}
		same, err := sameBytes(t, f)
		if err != nil {
			return f, false, err
		}
		if !same || r.bucket.checkSize(ctx, f) != nil {
			continue
		}
		f.Tier, f.Span = 0, info.Span
		return f, true, nil
	}
	return facts, false, nil
}

func sameBytes(t export.Table, f sink.File) (_ bool, err error) {
	src, err := t.Open()
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	return f.Same(src)
}
