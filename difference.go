package varve

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

// Diff opens a cursor over what must be done to the state of before to get that of r: each
// key that changed once, as a set or a delete, and parts of range keys as range-key-sets
// and -unsets. Former is what stood in its place. Where entries have timestamps, another
// one is a change; if only one of the two has, none counts.
//
// Where r reads a chain that goes on from that of before, the files of the layers in
// between are read, and of the others the blocks with the keys that these name. Else both
// states are read. The zero span is all that both speak for; any other is a *TargetError if
// one of them does not speak for all of it. The keys of both must be in one order. The cursor
// must be closed, before the readers are.
func (r *Reader) Diff(ctx context.Context, before *Reader, span Span) (export.Changes, error) {
	d, err := r.diff(ctx, before, span)
	if err != nil {
		return nil, r.about("compare with", err)
	}
	return d, nil
}

func (r *Reader) diff(ctx context.Context, before *Reader, span Span) (*diff, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if want, got := before.order.WithDefaults().Name, r.order.WithDefaults().Name; want != got {
		return nil, &OrderError{Want: want, Got: got}
	}
	now, err := r.within(span)
	if err != nil {
		return nil, err
	}
	then, err := before.within(span)
	if err != nil {
		return nil, err
	}
	both := intersectSpans(r.order, now, then)
	d := &diff{r: r, before: before, ctx: ctx}
	if !r.continues(before) {
		d.stretches = stretches(both, true)
		return d, nil
	}
	var introduced []Span // by the layers in between
	for _, b := range r.layers[len(before.layers):] {
		introduced = append(introduced, b.layer.Manifest.Introduced...)
	}
	introduced = intersectSpans(r.order, both, joinSpans(r.order, introduced))
	d.stretches = append(stretches(introduced, true), stretches(subtractSpans(r.order, both, introduced), false)...)
	compare := r.order.WithDefaults().Compare
	slices.SortFunc(d.stretches, func(a, b stretch) int { return compare(a.span.Start, b.span.Start) })
	return d, nil
}

// continues reports whether what r reads is what before does, and layers on it.
func (r *Reader) continues(before *Reader) bool {
	n := len(before.layers)
	if r.id != before.id || !before.until().IsZero() || n > len(r.layers) || n == len(r.layers) && !r.until().IsZero() {
		return false
	}
	return slices.EqualFunc(r.layers[:n], before.layers, func(a, b layerViews) bool { return a.layer.ID == b.layer.ID })
}

// stretch is a part of the keyspace that is compared in one way.
type stretch struct {
	span  Span
	whole bool // all of both states is read
}

func stretches(spans []Span, whole bool) []stretch {
	var out []stretch
	for _, s := range spans {
		out = append(out, stretch{span: s, whole: whole})
	}
	return out
}

// diff goes through the stretches, one after the other.
type diff struct {
	r, before *Reader
	ctx       context.Context // bound to one cursor
	stretches []stretch

	current export.Changes // nil: between stretches
	err     error
}

func (d *diff) Next() bool {
	for d.err == nil {
		if d.current != nil {
			for d.current.Next() {
				if d.current.Entry().Kind != export.DeleteRange { // whose keys come each by itself
					return true
				}
			}
			d.err = errors.Join(d.current.Err(), d.current.Close())
			d.current = nil
			continue
		}
		if len(d.stretches) == 0 {
			return false
		}
		d.current = d.open(d.stretches[0])
		d.stretches = d.stretches[1:]
	}
	return false
}

func (d *diff) open(s stretch) export.Changes {
	if s.whole {
		was, is := export.Cursor(d.before.scan(d.ctx, []Span{s.span})), export.Cursor(d.r.scan(d.ctx, []Span{s.span}))
		if d.before.form() != d.r.form() {
			was, is = timeless{was}, timeless{is}
		}
		return export.Compare(d.r.order, was, is)
	}
	return d.update(s.span)
}

// form is whether entries have timestamps.
func (r *Reader) form() bool { return r.chain.tip().Manifest.Revisions }

// timeless hides when a state came to be.
type timeless struct{ export.Cursor }

func (t timeless) Next() bool {
	if !t.Cursor.Next() {
		return false
	}
	t.Cursor.Entry().Timestamp = Timestamp{}
	return true
}

func (d *diff) Entry() *export.Entry {
	if d.current == nil {
		return nil
	}
	return d.current.Entry()
}

func (d *diff) Former() *export.Entry {
	if d.current == nil {
		return nil
	}
	return d.current.Former()
}

func (d *diff) Err() error { return d.r.about("compare with", d.err) }

func (d *diff) Close() error {
	d.stretches = nil
	if d.current == nil {
		return nil
	}
	err := d.current.Close()
	d.current = nil
	return d.r.about("compare with", err)
}

// update is what the layers of r over those of before make of that state in span.
func (d *diff) update(span Span) export.Changes {
	var upper, ranged []view
	level := d.before.content.levels
	for _, v := range clipViews(d.r.order, d.r.content.views, []Span{span}) {
		if v.level >= level {
			upper = append(upper, v)
		}
		if v.Counts.RangeKeys > 0 {
			ranged = append(ranged, v)
		}
	}
	changes := merge.Options{Order: d.r.order, AsOf: d.r.until(), Output: merge.Changes}
	points := &pointUpdate{
		order: d.r.order.WithDefaults(),
		news:  &scan{r: d.r, ctx: d.ctx, opts: changes, parts: d.r.parts(upper)},
		olds:  d.before.scan(d.ctx, []Span{span}),
	}
	return &interleaved{order: d.r.order.WithDefaults(), first: d.rangeUpdate(ranged, level), second: points}
}

// rangeUpdate compares range keys where a layer from level on has some.
func (d *diff) rangeUpdate(ranged []view, level int) export.Changes {
	parts := slices.DeleteFunc(d.r.parts(ranged), func(p piece) bool {
		return !slices.ContainsFunc(p.views, func(v view) bool { return v.level >= level })
	})
	is := &scan{r: d.r, ctx: d.ctx, opts: merge.Options{Order: d.r.order, AsOf: d.r.until()}, parts: parts, bare: true}
	lower := make([]piece, len(parts))
	for i, p := range parts {
		lower[i], _ = p.cutAbove(level - 1)
	}
	was := &scan{r: d.r, ctx: d.ctx, opts: merge.Options{Order: d.r.order}, parts: lower, bare: true}
	return export.Compare(d.r.order, was, is)
}

// interleaved merges two cursors over changes by key, the first one's first.
type interleaved struct {
	order         *export.Order
	first, second export.Changes
	begun         bool
	heads         [2]bool        // whether each is at an entry
	current       export.Changes // nil: before the beginning, or at the end
}

func (o *interleaved) Next() bool {
	if o.Err() != nil {
		return false
	}
	if !o.begun || o.current == o.first {
		o.heads[0] = o.first.Next()
	}
	if !o.begun || o.current == o.second {
		o.heads[1] = o.second.Next()
	}
	o.begun, o.current = true, nil
	switch {
	case o.Err() != nil:
	case o.heads[0] && (!o.heads[1] || o.order.Compare(o.first.Entry().Key, o.second.Entry().Key) <= 0):
		o.current = o.first
	case o.heads[1]:
		o.current = o.second
	}
	return o.current != nil
}

func (o *interleaved) Entry() *export.Entry  { return o.current.Entry() }
func (o *interleaved) Former() *export.Entry { return o.current.Former() }
func (o *interleaved) Err() error            { return cmp.Or(o.first.Err(), o.second.Err()) }
func (o *interleaved) Close() error          { return errors.Join(o.first.Close(), o.second.Close()) }
