package varve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// maxLayers bounds a chain.
const maxLayers = 1 << 16

// way is layers from a full upward, each following the one below it.
type way struct {
	top   *Layer
	below *way // nil: top is a full
	count int
	bytes int64 // stored, of the files of all layers
}

// compare orders ways to one layer by how much there is to read.
func (w *way) compare(v *way) int {
	if c := cmp.Or(cmp.Compare(w.bytes, v.bytes), w.count-v.count); c != 0 {
		return c
	}
	for ; w != nil && v != nil; w, v = w.below, v.below {
		if c := strings.Compare(w.top.ID, v.top.ID); c != 0 {
			return c
		}
	}
	return 0
}

// chain is the way as what callers see.
func (w *way) chain() *Chain {
	c := &Chain{AsOf: w.top.End}
	for ; w != nil; w = w.below {
		c.Layers = append(c.Layers, w.top)
	}
	slices.Reverse(c.Layers)
	return c
}

// storedBytes are those of the files of the layer's list, as far as it says.
func (m *Manifest) storedBytes() int64 {
	if m.FileList.Stored == 0 {
		return m.Stats.StoredBytes
	}
	return m.FileList.Stored
}

// resolver finds ways down from a layer.
type resolver struct {
	b     *collectionBucket
	asOf  Timestamp
	miss  *NoRestorePointError
	known map[string]answer // ways to layers
	seen  map[string]answer // ways to the layer at asOf, from layers above it
	depth int               // of the search
}

type answer struct {
	way *way
	err error
}

// chain is the chain that ends with tip.
func (b *collectionBucket) chain(ctx context.Context, tip LayerInfo) (*Chain, error) {
	return b.chainAt(ctx, tip, Timestamp{})
}

// chainAt is the chain below tip that captures asOf, zero meaning the end of tip. Of all
// complete ones it is that with the fewest stored bytes.
func (b *collectionBucket) chainAt(ctx context.Context, tip LayerInfo, asOf Timestamp) (*Chain, error) {
	r := &resolver{b: b, asOf: asOf, miss: &NoRestorePointError{AsOf: asOf}, known: map[string]answer{}, seen: map[string]answer{}}
	find := r.down
	if !asOf.IsZero() {
		find = r.at
	}
	if err := r.prefetch(ctx, tip); err != nil {
		return nil, err
	}
	w, err := find(ctx, tip)
	if err != nil {
		return nil, err
	}
	c := w.chain()
	if !asOf.IsZero() {
		c.AsOf = asOf
	}
	return c, nil
}

// prefetch reads the manifests of a long chain side by side. One that cannot be had is
// left to whoever needs it.
func (r *resolver) prefetch(ctx context.Context, tip LayerInfo) error {
	if tip.Full() {
		return nil
	}
	x, err := r.b.index(ctx)
	if err != nil {
		return err
	}
	var paths []string
	for l := range x.down(tip) {
		if r.b.read[l.Path] == nil {
			paths = append(paths, l.Path)
		}
		if len(paths) > maxLayers {
			return tooLong(tip)
		}
	}
	manifests, _, err := r.b.readAll(ctx, paths)
	if err != nil {
		return err
	}
	for _, m := range manifests {
		if m != nil && m.Collection == r.b.id {
			err = errors.Join(err, r.b.admit(ctx, m))
		}
	}
	return err
}

// down yields l and the parents below it, as far as there are entries.
func (x *index) down(l LayerInfo) iter.Seq[LayerInfo] {
	return func(yield func(LayerInfo) bool) {
		for yield(l) && !l.Full() {
			p, known := x.byID[l.ParentID]
			if !known || p.End.Compare(l.End) >= 0 {
				return
			}
			l = p
		}
	}
}

// down is the best way from a full to l.
func (r *resolver) down(ctx context.Context, l LayerInfo) (*way, error) {
	if a, ok := r.known[l.ID]; ok {
		return a.way, a.err
	}
	w, err := r.findDown(ctx, l)
	r.known[l.ID] = answer{way: w, err: err}
	return w, err
}

func (r *resolver) findDown(ctx context.Context, l LayerInfo) (*way, error) {
	m, err := r.b.manifestOf(ctx, l)
	if err != nil {
		return nil, err
	}
	w := &way{top: m.layer(), count: 1, bytes: m.storedBytes()}
	if l.Full() {
		return w, nil
	}
	if r.depth++; r.depth > maxLayers {
		return nil, tooLong(l)
	}
	defer func() { r.depth-- }()
	if w.below, err = r.best(ctx, m, r.down); err != nil {
		return nil, err
	}
	w.count, w.bytes = w.count+w.below.count, w.bytes+w.below.bytes
	if w.count > maxLayers {
		return nil, tooLong(l)
	}
	return w, nil
}

func tooLong(l LayerInfo) error {
	return &CorruptError{Object: manifestObject(l.Path), Want: fmt.Sprintf("a chain of at most %d layers", maxLayers), Got: "a longer one"}
}

// at is the best way from a full to the layer at or below l that ends at asOf, or has its
// history.
func (r *resolver) at(ctx context.Context, l LayerInfo) (*way, error) {
	if a, ok := r.seen[l.ID]; ok {
		return a.way, a.err
	}
	w, err := r.findAt(ctx, l)
	r.seen[l.ID] = answer{way: w, err: err}
	return w, err
}

func (r *resolver) findAt(ctx context.Context, l LayerInfo) (*way, error) {
	if l.End == r.asOf {
		return r.down(ctx, l)
	}
	r.miss.note(l.End)
	m, err := r.b.manifestOf(ctx, l)
	if err != nil {
		return nil, err
	}
	if m.covers(r.asOf) {
		return r.down(ctx, l)
	}
	r.miss.note(m.Oldest)
	if l.Full() || l.End.Compare(r.asOf) < 0 {
		return nil, r.miss
	}
	if r.depth++; r.depth > maxLayers {
		return nil, tooLong(l)
	}
	defer func() { r.depth-- }()
	return r.best(ctx, m, r.at)
}

// best is the best of the ways that find knows from what m extends. An error is
// that of the first of them: the parent's.
func (r *resolver) best(ctx context.Context, m *Manifest, find func(context.Context, LayerInfo) (*way, error)) (*way, error) {
	parents, err := r.parents(ctx, m.info())
	if err != nil {
		return nil, err
	}
	var best *way
	var first error
	for _, p := range parents {
		w, err := r.step(ctx, m, p, find)
		switch {
		case err != nil && !isBroken(err):
			return nil, err
		case err != nil:
			first = cmp.Or(first, err)
		case best == nil || w.compare(best) < 0:
			best = w
		}
	}
	if err := r.agree(parents, m.Parent); err != nil {
		return nil, err
	}
	if best == nil {
		return nil, first
	}
	return best, nil
}

// step is the way that find knows from p, if m can follow it.
func (r *resolver) step(ctx context.Context, m *Manifest, p LayerInfo, find func(context.Context, LayerInfo) (*way, error)) (*way, error) {
	w, err := find(ctx, p)
	if err != nil {
		return nil, err
	}
	parent, err := r.b.manifestOf(ctx, p)
	if err != nil {
		return nil, err
	}
	return w, m.extends(parent)
}

// isBroken reports whether err says that a way leads nowhere, so that another may be
// tried, and not that storage could not be asked.
func isBroken(err error) bool {
	var gap *ChainGapError
	var lineage *LineageError
	var order *OrderError
	var miss *NoRestorePointError
	return isNoLayer(err) || errors.As(err, &gap) || errors.As(err, &lineage) || errors.As(err, &order) || errors.As(err, &miss)
}

// parents are the layer that l extends, if there is one, and those that stand for
// it. Where no entry names one, the collection is searched.
func (r *resolver) parents(ctx context.Context, l LayerInfo) ([]LayerInfo, error) {
	x, err := r.b.index(ctx)
	if err != nil {
		return nil, err
	}
	out, err := x.parents(ctx, l)
	if err == nil && len(out) == 0 {
		if err = x.walk(ctx); err == nil {
			out, err = x.parents(ctx, l)
		}
	}
	if err == nil && len(out) == 0 {
		err = &ChainGapError{Layer: l.ID, Want: l.ParentID, Got: "no such layer"}
	}
	return out, err
}

func (x *index) parents(ctx context.Context, l LayerInfo) (out []LayerInfo, err error) {
	var gap error
	if p, known := x.byID[l.ParentID]; known {
		if gap = l.follows(p); gap == nil {
			out = append(out, p)
		}
	}
	for _, id := range x.byEnd[l.Start] {
		if id == l.ParentID || id == l.ID {
			continue
		}
		other, err := x.standsFor(ctx, x.byID[id])
		if err != nil {
			return nil, err
		}
		if other == l.ParentID {
			out = append(out, x.byID[id])
		}
	}
	if len(out) == 0 {
		return nil, gap
	}
	return out, nil
}

// agree compares the digests of a layer and of those that stand for it, as far as
// their manifests were read.
func (r *resolver) agree(parents []LayerInfo, id string) error {
	if len(parents) < 2 || parents[0].ID != id {
		return nil
	}
	layer := r.b.read[parents[0].Path]
	for _, p := range parents[1:] {
		other := r.b.read[p.Path]
		if layer == nil || other == nil || layer.Digest == nil || other.Digest == nil {
			continue
		}
		if want, got := layer.Digest.sum(), other.Digest.sum(); want != got {
			return &CorruptError{Object: manifestObject(p.Path), Want: "the state of " + id + ": " + describe(want), Got: describe(got)}
		}
	}
	return nil
}

// survey reads the manifests from tip down as far as the index knows the way, also
// below one that is damaged: the layers that are whole, the lowest first, and what is
// wrong with the others.
func (b *collectionBucket) survey(ctx context.Context, tip LayerInfo) (whole []*Layer, errs []error) {
	x, err := b.index(ctx)
	if err != nil {
		return nil, []error{err}
	}
	r := &resolver{b: b}
	for l := range x.down(tip) {
		m, err := r.b.manifestOf(ctx, l)
		if err != nil {
			errs = append(errs, err)
		} else {
			whole = append(whole, m.layer())
		}
	}
	slices.Reverse(whole)
	return whole, errs
}
