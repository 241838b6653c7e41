package varve

import (
	"cmp"
	"context"
	"fmt"
	"iter"
)

// Chain is a full and what follows it without a gap, up to the point asked for.
type Chain struct {
	Layers []*Layer // the full first
	AsOf   Timestamp
}

// Window is an interval of moments that can be restored, both ends included.
type Window struct{ Oldest, Newest Timestamp }

// Points are the moments that the chain can restore, oldest first: of each layer its end,
// and with revision history all that led there, as far as the store still had it. A window
// begins where the one before ends, or later. Of the last layer, all of it is there even
// where the chain ends at a moment in it.
func (c *Chain) Points() []Window {
	var out []Window
	for _, l := range c.Layers {
		out = append(out, Window{Oldest: l.Manifest.Oldest, Newest: l.End})
	}
	return out
}

// Resolve finds the chain that restores asOf, zero meaning the end of from. From
// is Latest, the path of a layer, or its ID; "" searches all layers for asOf, the
// newest first: those that end there, then those that have the history of it. A moment
// that no layer captured is a *NoRestorePointError with the nearest ones. Where a layer
// stands for others there are several ways from a full to the moment, and the chain is
// the one with the fewest stored bytes.
func (c *Collection) Resolve(ctx context.Context, from string, asOf Timestamp) (*Chain, error) {
	var chain *Chain
	err := c.do(ctx, "resolve", func(bucket *collectionBucket) (err error) {
		chain, err = bucket.resolve(ctx, from, asOf)
		return err
	})
	return chain, err
}

func (b *collectionBucket) resolve(ctx context.Context, from string, asOf Timestamp) (*Chain, error) {
	tip, err := b.findAt(ctx, from, asOf)
	if err != nil {
		return nil, err
	}
	return b.chainAt(ctx, tip, asOf)
}

func (b *collectionBucket) findAt(ctx context.Context, from string, asOf Timestamp) (LayerInfo, error) {
	if from != "" || asOf.IsZero() {
		return b.find(ctx, from)
	}
	x, err := b.index(ctx)
	if err != nil {
		return LayerInfo{}, err
	}
	return x.at(ctx, asOf)
}

// at is the first of the committed layers that capture t.
func (x *index) at(ctx context.Context, t Timestamp) (LayerInfo, error) {
	for l, err := range x.allAt(ctx, t) {
		return l, err
	}
	return LayerInfo{}, &NoRestorePointError{AsOf: t}
}

// allAt yields the committed layers that end at t, and then those that have the history
// of it, which their manifests tell. If there is none, the error says which moments are
// nearest.
func (x *index) allAt(ctx context.Context, t Timestamp) iter.Seq2[LayerInfo, error] {
	return func(yield func(LayerInfo, error) bool) {
		var over []LayerInfo // that begin before t and end after it
		miss, found := &NoRestorePointError{AsOf: t}, false
		for l, err := range x.usable(ctx) {
			if err == nil && l.End != t {
				miss.note(l.End)
				if l.Start.Compare(t) < 0 && l.End.Compare(t) > 0 {
					over = append(over, l)
				}
				continue
			}
			found = true
			if !yield(l, err) {
				return
			}
		}
		var damage error
		for _, l := range over {
			m, err := x.b.manifest(ctx, l.Path)
			switch {
			case isNoLayer(err):
				damage = cmp.Or(damage, err) // another one may have the same history
				continue
			case err == nil && !m.covers(t):
				miss.note(m.Oldest)
				continue
			}
			found = true
			if !yield(l, err) || err != nil {
				return
			}
		}
		if !found {
			yield(LayerInfo{}, cmp.Or(damage, error(miss)))
		}
	}
}

// note remembers a point if it is the nearest so far on its side.
func (e *NoRestorePointError) note(t Timestamp) {
	switch {
	case t.Compare(e.AsOf) < 0 && t.Compare(e.Before) > 0:
		e.Before = t
	case t.Compare(e.AsOf) > 0 && (e.After.IsZero() || t.Compare(e.After) < 0):
		e.After = t
	}
}

// find is the layer that from names, which must not be retired, or else held. A path is read
// directly, without the index.
func (b *collectionBucket) find(ctx context.Context, from string) (LayerInfo, error) {
	if from == "" || from == Latest {
		x, err := b.index(ctx)
		if err != nil {
			return LayerInfo{}, err
		}
		return x.latest(ctx)
	}
	l, err := b.named(ctx, from)
	if err != nil {
		return LayerInfo{}, err
	}
	return l, b.checkStays(ctx, l)
}

// named is the committed layer with a path or an ID.
func (b *collectionBucket) named(ctx context.Context, from string) (LayerInfo, error) {
	if checkID(from) == nil {
		x, err := b.index(ctx)
		if err != nil {
			return LayerInfo{}, err
		}
		return x.layer(ctx, from)
	}
	if err := checkPath(from); err != nil {
		return LayerInfo{}, &OptionError{Field: "From", Reason: err.Error()}
	}
	m, err := b.manifest(ctx, from)
	if err != nil {
		return LayerInfo{}, err
	}
	return m.info(), nil
}

// layer is the committed layer with an ID, be it one that no entry names.
func (x *index) layer(ctx context.Context, id string) (LayerInfo, error) {
	if _, known := x.byID[id]; !known {
		if err := x.walk(ctx); err != nil {
			return LayerInfo{}, err
		}
	}
	if l, known := x.byID[id]; known {
		if ok, err := x.accept(ctx, id); err != nil || ok {
			return l, err
		}
	}
	return LayerInfo{}, fmt.Errorf("layer %s: %w", id, ErrNoLayer)
}

// follows says why l does not begin where parent ends. Ends descend from a layer that
// follows its parent to the full, so that no chain of them is a circle.
func (l LayerInfo) follows(parent LayerInfo) error {
	if l.Start == parent.End && l.ChainID == parent.ChainID {
		return nil
	}
	return &ChainGapError{
		Layer: l.ID, Want: fmt.Sprintf("%s of chain %s ending at %s", l.ParentID, l.ChainID, l.Start),
		Got: fmt.Sprintf("one of chain %s ending at %s", parent.ChainID, parent.End),
	}
}

// extends says why the store of m cannot be the one that parent was taken of: it
// must have the same history, or have been told to go on with that one, and the
// same keys.
func (m *Manifest) extends(parent *Manifest) error {
	switch {
	case m.Lineage != parent.Lineage && m.Adopts != parent.Lineage:
		return &LineageError{Want: parent.Lineage, Got: m.Lineage}
	case m.Order != parent.Order || m.Revisions != parent.Revisions:
		return &OrderError{Want: parent.orderName(), Got: m.orderName()}
	}
	return nil
}

// orderName is the order of the layer's keys, for people.
func (m *Manifest) orderName() string {
	if m.Revisions {
		return m.Order + " with revisions"
	}
	return m.Order
}

// tip is the chain's last layer, at whose end or in whose window AsOf is.
func (c *Chain) tip() *Layer { return c.Layers[len(c.Layers)-1] }

// within is AsOf if it comes before the end of the chain, else zero.
func (c *Chain) within() Timestamp {
	if c.AsOf == c.tip().End {
		return Timestamp{}
	}
	return c.AsOf
}

// covers reports whether t, which is not the end of a layer below, can be restored from m.
func (m *Manifest) covers(t Timestamp) bool {
	return t == m.End || t.Compare(m.Start) > 0 && t.Compare(m.Oldest) >= 0 && t.Compare(m.End) < 0
}

func (m *Manifest) layer() *Layer {
	return &Layer{LayerInfo: m.info(), Manifest: m, Stats: m.Stats}
}
