package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/varvekv/varve/internal/objectio"
)

// findParent finds the layer that the run extends. Where a full is to be taken it finds
// none.
func (r *run) findParent(ctx context.Context) error {
	if r.opts.Into == "" {
		return nil
	}
	parent, err := r.parentMeant(ctx)
	if err != nil || parent == nil {
		return err
	}
	if err := r.fitsParent(parent); err != nil {
		return err
	}
	if parent, err = r.shorten(ctx, parent); err != nil || parent == nil {
		return err
	}
	r.parent = parent
	r.extends(parent)
	return nil
}

// extend finds what the layer has in common with the one below, and makes sure that this
// stays.
func (r *run) extend(ctx context.Context) (err error) {
	if r.parent == nil {
		return nil
	}
	if r.parent, err = r.extendBlind(r.parent); err != nil {
		return err
	}
	r.kept = intersectSpans(r.info.Order, r.spans, r.parent.Spans)
	r.introduced = subtractSpans(r.info.Order, r.spans, r.parent.Spans)
	if len(r.kept) == 0 && !r.targets.named() {
		return &TargetError{Name: fmt.Sprint(r.spans), Reason: fmt.Sprintf("the layer to extend has none of it, only the spans %v: take a full", r.parent.Spans)}
	}
	if err := r.placeBelow(ctx, r.parent); err != nil {
		return err
	}
	return r.refer(ctx, r.parent.info())
}

// parentMeant is the layer that Into means, nil if FullEvery says that it is time for
// a full.
func (r *run) parentMeant(ctx context.Context) (*Manifest, error) {
	tip, err := r.bucket.tipOf(ctx, r.opts.Into)
	if errors.Is(err, ErrNoLayer) && r.opts.Into == Latest {
		if r.opts.FullEvery > 0 {
			return nil, nil
		}
		return nil, fmt.Errorf("%s: %w", Latest, ErrNoFull)
	}
	if err != nil {
		return nil, err
	}
	if due, err := r.fullDue(ctx, tip); err != nil || due {
		return nil, err
	}
	return r.bucket.manifestOf(ctx, tip)
}

// tipOf is the layer to extend: of a chain that is named by its full, or as the
// latest, the newest; else the one that is named.
func (b *collectionBucket) tipOf(ctx context.Context, into string) (LayerInfo, error) {
	named, err := b.find(ctx, into)
	if err != nil || !named.Full() {
		return named, err
	}
	x, err := b.index(ctx)
	if err != nil {
		return LayerInfo{}, err
	}
	return x.newest(ctx, named)
}

// fullDue reports whether the full began FullEvery ago, or is gone. If it began later than now,
// for the clock was set back, the first of the chain's last layers counts that did
// not.
func (r *run) fullDue(ctx context.Context, tip LayerInfo) (bool, error) {
	if r.opts.FullEvery == 0 {
		return false, nil
	}
	full, err := r.bucket.named(ctx, tip.ChainID)
	var m *Manifest
	if err == nil {
		m, err = r.bucket.manifestOf(ctx, full)
	}
	if errors.Is(err, ErrNoLayer) {
		r.c.opts.Logger.Info("full of the chain is gone, and another one due", "collection", r.c.name, "chain", tip.ChainID)
		return true, nil
	}
	if err != nil {
		return false, err
	}
	begun := m.CreatedAt
	if begun.After(r.begun) {
		chain, err := r.bucket.chain(ctx, tip)
		if err != nil {
			return false, err
		}
		for _, l := range slices.Backward(chain.Layers) {
			if l.Manifest.CreatedAt.After(r.begun) {
				break
			}
			begun = l.Manifest.CreatedAt
		}
	}
	return r.begun.Sub(begun) >= r.opts.FullEvery, nil
}

// fitsParent says why the store cannot extend the layer.
func (r *run) fitsParent(parent *Manifest) error {
	ours := &Manifest{Lineage: r.info.Lineage, Order: r.info.Order.WithDefaults().Name, Revisions: r.info.Revisions}
	if r.opts.Adopt {
		ours.Adopts = parent.Lineage
	}
	if err := ours.extends(parent); err != nil {
		return err
	}
	switch {
	case r.info.Lineage != parent.Lineage && r.info.Revisions:
		return &OptionError{Field: "Adopt", Reason: "the timestamps of this store's revisions mean nothing to the chain: take a full"}
	case !r.asOf.IsZero() && r.asOf.Compare(parent.End) <= 0:
		field := "AsOf"
		if r.opts.Lag > 0 {
			field = "Lag"
		}
		return &OptionError{Field: field, Reason: fmt.Sprintf("%s is not after %s, the end of the layer to extend", r.asOf, parent.End)}
	}
	return nil
}

// placeBelow finds the path that the layer's is appended to: that of its full. Without
// that one a layer could be committed and never restored, so it must be there, or
// another that stands for it; then the layer goes below its parent.
func (r *run) placeBelow(ctx context.Context, parent *Manifest) error {
	r.below = parent.Path
	full, err := r.bucket.named(ctx, parent.Chain)
	if err == nil {
		r.below = full.Path
		_, err = r.bucket.manifestOf(ctx, full)
	}
	if errors.Is(err, ErrNoLayer) {
		r.below = parent.Path
		if _, err = r.bucket.chain(ctx, parent.info()); errors.Is(err, ErrNoLayer) {
			err = fmt.Errorf("chain of %s: %w: %w", r.opts.Into, ErrNoFull, err)
		}
	}
	if err != nil {
		return err
	}
	return checkBelow("Into", r.below)
}

// checkBelow says which path is too long for that of an incremental to be appended.
func checkBelow(field, below string) error {
	if most := maxPath - len(incrementalSuffix) - rivalSuffix; len(below) > most {
		return &OptionError{Field: field, Reason: fmt.Sprintf("the path %q has %d bytes, and more than %d leave no room for an incremental below it: take a full", below, len(below), most)}
	}
	return nil
}

// refer says that the run needs a layer, and only then asks whether it is on its way
// out: whoever retires one looks for references afterwards, so that one of the two
// sees the other.
func (d *draft) refer(ctx context.Context, l LayerInfo) error {
	err := d.create(ctx, formatRef(l.ID, d.layer.ID), kindRef, refRecord{Layer: l.ID, Holder: d.layer.ID, Job: d.job, CreatedAt: d.begun.UTC()})
	if err != nil {
		return err
	}
	d.needs = append(d.needs, l)
	return d.bucket.checkUnmarked(ctx, l.ID)
}

// confirm looks once more after what the run needs, now that its claim is there. Where a
// reference is old, whoever expires layers looks for the claim, so that he can declare
// the run dead. One that is claimed later finds the mark here, or that the layer is gone.
func (d *draft) confirm(ctx context.Context) error {
	for _, l := range d.needs {
		if err := d.bucket.checkThere(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// explain says of a run that misses what it has written, or what it needs, whether it was
// taken for dead while it slept.
func (d *draft) explain(ctx context.Context, err error) error {
	if err == nil || !isNoLayer(err) && !errors.Is(err, objectio.ErrNotExist) || errors.Is(err, ErrConflict) {
		return err
	}
	head, peekErr := d.bucket.Peek(ctx, manifestObject(d.layer.Path), recordHead)
	if peekErr == nil && isVoid(head) {
		return fmt.Errorf("%w: the run was declared dead: %w", ErrConflict, err)
	}
	if gone := d.confirm(ctx); errors.Is(gone, ErrConflict) {
		return fmt.Errorf("%w: %w", gone, err)
	}
	return err
}

// after is what the end of the layer must come after. A store without history has
// the time from a clock, which may have been set back: a new full must still be the
// latest, so it comes after everything that is listed, be it committed or not.
func (r *run) after(ctx context.Context) (Timestamp, error) {
	if r.parent != nil || r.info.Revisions {
		return r.layer.Start, nil
	}
	x, err := r.bucket.index(ctx)
	if err != nil || len(x.layers) == 0 {
		return Timestamp{}, err
	}
	return x.layers[0].End, nil
}
