package varve

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/varvekv/varve/export"
)

// ReaderOptions say what is read. A nil pointer and the zero value are the defaults.
type ReaderOptions struct {
	// AsOf is the moment that is read. Zero: the end of the layer.
	AsOf Timestamp
}

// Reader reads a backup where it lies, without restoring it: the state that a restore
// would bring back. Every byte is checked against its hash before it is used; a file that
// is damaged or gone is a *CorruptError that names it, wherever the reader comes upon it.
//
// A reader has the lists of its chain in memory, and of files that were used what it takes
// to find a key in them. It is safe for concurrent use. Close it after use, and before it
// all cursors that it has opened.
type Reader struct {
	name    string // of the collection
	id      string // likewise
	chain   *Chain
	content *content
	order   *export.Order
	layers  []layerViews // the lowest first
	files   *openFiles
}

// layerViews is what of one layer counts, by level. The views of a level ascend and are
// apart.
type layerViews struct {
	layer  *Layer
	levels [][]view
}

// idleFiles is how many files stay open that nobody reads, if the chain is not higher than
// that. Of each some kilobytes are in memory.
const idleFiles = 64

// OpenReader opens the backup that from names, up to a moment: Latest, the path of a layer,
// or its ID; "" is what [Collection.Resolve] finds. The manifests and file lists of the
// chain are read, and no data. Layers that are not in bytewise order need
// theirs in CollectionOptions.Orders.
func (c *Collection) OpenReader(ctx context.Context, from string, opts *ReaderOptions) (*Reader, error) {
	o := valueOf(opts)
	var r *Reader
	err := c.do(ctx, "open reader of", func(b *collectionBucket) (err error) {
		r, err = b.reader(ctx, from, o.AsOf)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.name = c.name
	return r, nil
}

func (b *collectionBucket) reader(ctx context.Context, from string, asOf Timestamp) (*Reader, error) {
	chain, err := b.resolve(ctx, from, asOf)
	if err != nil {
		return nil, err
	}
	content, err := b.content(ctx, chain)
	if err != nil {
		return nil, err
	}
	order, err := chain.tip().Manifest.checkOrder(b.orders...)
	if err != nil {
		return nil, err
	}
	if err := content.fit(order); err != nil {
		return nil, err
	}
	if t := chain.within(); !t.IsZero() {
		content.endAt(t)
	}
	r := &Reader{id: b.id, chain: chain, content: content, order: order, layers: content.byLayer(chain)}
	r.files = newOpenFiles(b.Bucket, max(idleFiles, content.levels))
	return r, nil
}

// byLayer sorts what counts by layer and level.
func (c *content) byLayer(chain *Chain) []layerViews {
	out := make([]layerViews, len(chain.Layers))
	place := map[*Manifest]int{}
	for i, l := range chain.Layers {
		out[i].layer, place[l.Manifest] = l, i
	}
	byLevel := make([][]view, c.levels)
	for _, v := range c.views {
		byLevel[v.level] = append(byLevel[v.level], v)
	}
	for _, views := range byLevel {
		if len(views) > 0 {
			s := &out[place[views[0].layer]]
			s.levels = append(s.levels, views)
		}
	}
	return out
}

// Layer is the layer that is read, or at a moment in whose window.
func (r *Reader) Layer() LayerInfo { return r.chain.tip().LayerInfo }

// AsOf is the moment that is read.
func (r *Reader) AsOf() Timestamp { return r.chain.AsOf }

// Spans are the keys that the layer speaks for, ascending and apart. Of others it is not
// known whether the store had them.
func (r *Reader) Spans() []Span {
	var out []Span
	for _, s := range r.spans() {
		out = append(out, s.Clone())
	}
	return out
}

func (r *Reader) spans() []Span { return r.chain.tip().Manifest.Spans }

// Close ends the reader; calls after it fail.
func (r *Reader) Close() error {
	if err := r.files.close(); err != nil {
		return fmt.Errorf("close reader of %s: %w", r.name, err)
	}
	return nil
}

// about gives an error of the reader its place.
func (r *Reader) about(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", verb, r.name, denied("read", "files", err))
}

// until is the moment after which revisions do not count; zero: all do.
func (r *Reader) until() Timestamp { return r.chain.within() }

// find is the view of a level that speaks for key, if its file can have it.
func (r *Reader) find(level []view, key []byte) (view, bool) {
	compare := r.order.WithDefaults().Compare
	i := sort.Search(len(level), func(i int) bool { return compare(level[i].span.Start, key) > 0 })
	if i == 0 {
		return view{}, false
	}
	v := level[i-1]
	return v, v.span.Contains(r.order, key) && compare(v.Smallest, key) <= 0 && compare(key, v.Largest) <= 0
}

// holders are the views of a layer that may have something to say of key, by level.
func (r *Reader) holders(s layerViews, key []byte) []view {
	var out []view
	for _, level := range s.levels {
		if v, ok := r.find(level, key); ok {
			out = append(out, v)
		}
	}
	return out
}

// checkKey says why key cannot be one of the layer's. An order need not bear with what is
// no key of its engine.
func (r *Reader) checkKey(field string, key []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &OptionError{Field: field, Reason: fmt.Sprintf("%q is no key in the order %s: %v", key, r.order.WithDefaults().Name, p)}
		}
	}()
	o := r.order.WithDefaults()
	if n := o.Split(key); n < 0 || n > len(key) || o.Compare(key, bytes.Clone(key)) != 0 {
		return &OptionError{Field: field, Reason: fmt.Sprintf("%q is no key in the order %s", key, o.Name)}
	}
	return nil
}

// outside says that the layer does not speak for something.
func (r *Reader) outside(what string) error {
	return &TargetError{Name: what, Reason: fmt.Sprintf("the backup holds only the spans %v", r.spans())}
}

// within is what of span the layer speaks for: all of it, or of the zero span whatever the
// layer has. Deliberate holes are left out.
func (r *Reader) within(span Span) ([]Span, error) {
	for _, key := range [][]byte{span.Start, span.End} {
		if len(key) > 0 {
			if err := r.checkKey("span", key); err != nil {
				return nil, err
			}
		}
	}
	if len(span.Start) == 0 && len(span.End) == 0 {
		return r.spans(), nil
	}
	if span.IsEmpty(r.order) {
		return nil, &OptionError{Field: "span", Reason: span.String() + " is empty"}
	}
	span = span.Clone()
	wanted := subtractSpans(r.order, []Span{span}, sortSpans(r.order, r.chain.tip().Manifest.Excluded))
	if len(wanted) == 0 {
		return nil, &TargetError{Name: span.String(), Reason: "was excluded from the backup"}
	}
	for _, w := range wanted {
		if !coveredBy(r.order, r.spans(), w) {
			return nil, r.outside(span.String())
		}
	}
	return slices.Clip(intersectSpans(r.order, wanted, r.spans())), nil
}
