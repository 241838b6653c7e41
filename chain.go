package varve

import (
	"context"
	"fmt"
	"slices"
)

// Chain is a full and what follows it without a gap, up to the point asked for.
type Chain struct {
	Layers []*Layer // the full first
	AsOf   Timestamp
}

// Window is an interval of moments that can be restored, both ends included.
type Window struct{ Oldest, Newest Timestamp }

// Points are the moments that the chain can restore, oldest first.
func (c *Chain) Points() []Window {
	var out []Window
	for _, l := range c.Layers {
		out = append(out, Window{Oldest: l.End, Newest: l.End})
	}
	return out
}

// Resolve finds the chain that restores asOf, zero meaning the end of from. From
// is Latest, the path of a layer, or its ID; "" searches all layers for asOf, the
// newest first. A moment that no layer captured is a *NoRestorePointError with the
// nearest ones.
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
	chain, err := b.chain(ctx, tip)
	if err != nil {
		return nil, err
	}
	return chain.cut(asOf)
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

// at is the newest committed layer that ends at t.
func (x *index) at(ctx context.Context, t Timestamp) (LayerInfo, error) {
	miss := &NoRestorePointError{AsOf: t}
	for l, err := range x.all(ctx) {
		if err != nil {
			return LayerInfo{}, err
		}
		if l.End == t {
			return l, nil
		}
		miss.note(l.End)
	}
	return LayerInfo{}, miss
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

// find is the layer that from names. A path is read directly, without a listing.
func (b *collectionBucket) find(ctx context.Context, from string) (LayerInfo, error) {
	byID := checkID(from) == nil
	if !byID && from != "" && from != Latest {
		if err := checkPath(from); err != nil {
			return LayerInfo{}, &OptionError{Field: "From", Reason: err.Error()}
		}
		m, err := b.manifest(ctx, from)
		if err != nil {
			return LayerInfo{}, err
		}
		return m.info(), nil
	}
	x, err := b.index(ctx)
	if err != nil {
		return LayerInfo{}, err
	}
	if byID {
		return x.layer(ctx, from)
	}
	return x.latest(ctx)
}

// layer is the committed layer with an ID.
func (x *index) layer(ctx context.Context, id string) (LayerInfo, error) {
	if l, known := x.byID[id]; known {
		if ok, err := x.accept(ctx, id); err != nil || ok {
			return l, err
		}
	}
	return LayerInfo{}, fmt.Errorf("layer %s: %w", id, ErrNoLayer)
}

// chain reads the manifests from the full to tip and checks that they follow one
// another.
func (b *collectionBucket) chain(ctx context.Context, tip LayerInfo) (*Chain, error) {
	chain := new(Chain)
	for l := tip; ; {
		m, err := b.manifest(ctx, l.Path)
		if err != nil {
			return nil, err
		}
		if m.info() != l {
			return nil, &CorruptError{Object: manifestObject(l.Path), Want: "the layer of " + formatIndex(l), Got: "that of " + formatIndex(m.info())}
		}
		chain.Layers = append(chain.Layers, m.layer())
		if l.Full() {
			break
		}
		x, err := b.index(ctx)
		if err != nil {
			return nil, err
		}
		parent, known := x.byID[l.ParentID]
		if !known {
			return nil, &ChainGapError{Layer: l.ID, Want: l.ParentID, Got: "no such layer"}
		}
		if err := l.follows(parent); err != nil {
			return nil, err
		}
		l = parent
	}
	slices.Reverse(chain.Layers)
	chain.AsOf = tip.End
	return chain, chain.check()
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

// check compares the stores of the layers.
func (c *Chain) check() error {
	for i, l := range c.Layers[1:] {
		if err := l.Manifest.extends(c.Layers[i].Manifest); err != nil {
			return err
		}
	}
	return nil
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

// cut ends the chain at asOf, zero meaning where it ends.
func (c *Chain) cut(asOf Timestamp) (*Chain, error) {
	if asOf.IsZero() {
		return c, nil
	}
	miss := &NoRestorePointError{AsOf: asOf}
	for i, l := range c.Layers {
		if l.End == asOf {
			return &Chain{Layers: c.Layers[:i+1], AsOf: asOf}, nil
		}
		miss.note(l.End)
	}
	return nil, miss
}

// tip is the chain's last layer, whose state is the one at AsOf.
func (c *Chain) tip() *Layer { return c.Layers[len(c.Layers)-1] }

func (m *Manifest) layer() *Layer {
	return &Layer{LayerInfo: m.info(), Manifest: m, Stats: m.Stats}
}
