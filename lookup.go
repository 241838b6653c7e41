package varve

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

// Get is the entry that the store held under key, and whether it held one: a set, with its
// revision if the store keeps them. It is the caller's. A key that the layer does not speak for is a
// *TargetError. Of each layer, the newest first, that one file is opened whose bounds have
// the key, and the search ends with the first layer that knows of it.
func (r *Reader) Get(ctx context.Context, key []byte) (e export.Entry, found bool, err error) {
	if err := r.checkGet(ctx, key); err != nil {
		return e, false, r.about("get from", err)
	}
	for i := len(r.layers) - 1; i >= 0; i-- {
		known, err := r.known(ctx, r.holders(r.layers[i], key), key)
		if err != nil {
			return e, false, r.about("get from", err)
		}
		if known != nil && known.Kind == export.Set {
			return *known, true, nil
		}
		if known != nil {
			return e, false, nil
		}
	}
	return e, false, nil
}

func (r *Reader) checkGet(ctx context.Context, key []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.checkKey("key", key); err != nil {
		return err
	}
	if rest := spansFrom(r.order, r.spans(), key); len(rest) == 0 || !rest[0].Contains(r.order, key) {
		return r.outside(fmt.Sprintf("%q", key))
	}
	return nil
}

// known is what views of one layer say of key: a Set, a Delete, or nothing.
func (r *Reader) known(ctx context.Context, views []view, key []byte) (_ *export.Entry, err error) {
	if len(views) == 0 {
		return nil, nil
	}
	levels, done, err := r.slices(ctx, views, key)
	defer func() { err = errors.Join(err, done()) }()
	if err != nil {
		return nil, err
	}
	m := merge.New(levels, merge.Options{Order: r.order, Span: Span{Start: key}, AsOf: r.until(), Output: merge.Changes})
	defer func() { err = errors.Join(err, m.Close()) }()
	var out *export.Entry
	for m.Next() {
		switch e := m.Entry(); e.Kind {
		case export.Set, export.Delete:
			point := e.Clone()
			return &point, nil
		case export.DeleteRange:
			out = &export.Entry{Kind: export.Delete, Key: key, Timestamp: e.Timestamp}
		}
	}
	return out, m.Err()
}

// slices are what each of the views has of key alone. Done gives back what they were read
// from, whatever the error.
func (r *Reader) slices(ctx context.Context, views []view, key []byte) (_ []merge.Level, done func() error, err error) {
	var lent []*leveledFile
	var out []merge.Level
	done = func() (err error) {
		for _, f := range lent {
			err = errors.Join(err, r.files.giveBack(f))
		}
		return err
	}
	fail := func(err error) ([]merge.Level, func() error, error) {
		for _, l := range out {
			err = errors.Join(err, l.Points.Close())
		}
		return nil, done, err
	}
	compare := r.order.WithDefaults().Compare
	for _, v := range views {
		f, err := r.files.borrow(ctx, v.leveledFile)
		if err != nil {
			return fail(err)
		}
		lent = append(lent, v.leveledFile)
		span := Span{Start: key, End: v.span.End}
		ranges, err := f.Ranges(ctx, span)
		if err != nil {
			return fail(err)
		}
		points, err := f.Points(ctx, span)
		if err != nil {
			return fail(err)
		}
		l := merge.Level{Points: &oneKey{Cursor: points, key: key, compare: compare}}
		for _, e := range ranges {
			if compare(e.Key, key) == 0 && e.Kind == export.DeleteRange {
				l.Ranges = append(l.Ranges, e)
			}
		}
		out = append(out, l)
	}
	return out, done, nil
}

// oneKey ends a cursor that begins at a key behind that one's entries.
type oneKey struct {
	export.Cursor
	key     []byte
	compare func(a, b []byte) int
	ended   bool
}

func (o *oneKey) Next() bool {
	o.ended = o.ended || !o.Cursor.Next() || o.compare(o.Entry().Key, o.key) != 0
	return !o.ended
}

// Revision is what a key was from a moment on.
type Revision struct {
	// Layer is the one that tells of it.
	Layer LayerInfo
	// Timestamp is that of the revision, in a store that keeps them. Of another store it is
	// the end of Layer: the key became so after Layer.Start, and not after that.
	Timestamp Timestamp
	// Deleted is whether the key was gone.
	Deleted bool
	// Value is the caller's.
	Value []byte
}

// History yields what is known of the past of a key, the newest first, up to the moment
// that is read. Of a store with revisions these are all that the layers hold, also those
// that set what was there or delete what was not: in the windows of [Chain.Points] every one,
// between them the newest of each layer. Of another store they are the layers that changed
// what the key was. At most one error is yielded, last. A loop that is left reads no further.
func (r *Reader) History(ctx context.Context, key []byte) iter.Seq2[Revision, error] {
	return func(yield func(Revision, error) bool) {
		err := r.checkGet(ctx, key)
		if err == nil && r.chain.tip().Manifest.Revisions {
			err = r.revisions(ctx, key, yield)
		} else if err == nil {
			err = r.turns(ctx, key, yield)
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(Revision{}, r.about("read history from", err))
		}
	}
}

// turns are the layers in which the key became another.
func (r *Reader) turns(ctx context.Context, key []byte, yield func(Revision, error) bool) error {
	var newer *Revision // and it is not known yet what it was before
	for i := len(r.layers) - 1; i >= 0; i-- {
		s := r.layers[i]
		e, err := r.known(ctx, r.holders(s, key), key)
		if err != nil {
			return err
		}
		if e == nil {
			continue
		}
		this := &Revision{Layer: s.layer.LayerInfo, Timestamp: s.layer.End, Deleted: e.Kind != export.Set, Value: e.Value}
		if newer != nil && !newer.same(this) && !yield(*newer, nil) {
			return errStopped
		}
		newer = this
	}
	if newer != nil && !newer.Deleted {
		yield(*newer, nil)
	}
	return nil
}

func (v *Revision) same(w *Revision) bool {
	return v.Deleted == w.Deleted && string(v.Value) == string(w.Value)
}

// revisions are those that the layers hold.
func (r *Reader) revisions(ctx context.Context, key []byte, yield func(Revision, error) bool) error {
	for i := len(r.layers) - 1; i >= 0; i-- {
		if err := r.revisionsIn(ctx, r.layers[i], key, yield); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) revisionsIn(ctx context.Context, s layerViews, key []byte, yield func(Revision, error) bool) (err error) {
	levels, done, err := r.slices(ctx, r.holders(s, key), key)
	defer func() { err = errors.Join(err, done()) }()
	if err != nil {
		return err
	}
	p := newPast(levels)
	defer func() { err = errors.Join(err, p.close()) }()
	for {
		e, err := p.next()
		if e == nil || err != nil {
			return err
		}
		if t := r.until(); !t.IsZero() && e.Timestamp.Compare(t) > 0 {
			continue
		}
		v := Revision{Layer: s.layer.LayerInfo, Timestamp: e.Timestamp, Deleted: e.Kind != export.Set, Value: e.Clone().Value}
		if !yield(v, nil) {
			return errStopped
		}
	}
}
