package kvtest

import (
	"slices"

	"github.com/varvekv/varve/export"
)

// Apply is the state that changes make of state, in canonical form. Changes are
// applied by ascending timestamp; among those of one timestamp removals of ranges
// come first, for entries of one layer do not undo one another. Both arguments
// may be in any order and are left as they are.
func Apply(order *export.Order, state, changes []export.Entry) []export.Entry {
	c := contents{order: order.WithDefaults(), points: map[string]export.Entry{}}
	for i := range state {
		c.add(&state[i])
	}
	sorted := slices.Clone(changes)
	slices.SortStableFunc(sorted, func(a, b export.Entry) int { return a.Timestamp.Compare(b.Timestamp) })
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && sorted[n].Timestamp == sorted[0].Timestamp {
			n++
		}
		c.apply(sorted[:n])
		sorted = sorted[n:]
	}
	return c.entries()
}

// contents is what a store holds.
type contents struct {
	order  *export.Order
	points map[string]export.Entry
	ranges []export.Entry // of one suffix none overlap
}

// apply applies changes of one timestamp.
func (c *contents) apply(changes []export.Entry) {
	for i := range changes {
		c.remove(&changes[i])
	}
	for i := range changes {
		c.add(&changes[i])
	}
}

// remove carries out the removals of ranges.
func (c *contents) remove(e *export.Entry) {
	span := export.Span{Start: e.Key, End: e.End}
	switch e.Kind {
	case export.DeleteRange:
		for key := range c.points {
			if span.Contains(c.order, []byte(key)) {
				delete(c.points, key)
			}
		}
	case export.RangeKeyUnset:
		c.cut(span, func(r *export.Entry) bool { return c.order.CompareSuffixes(r.Suffix, e.Suffix) == 0 })
	case export.RangeKeyDelete:
		c.cut(span, func(*export.Entry) bool { return true })
	}
}

// add carries out the other changes.
func (c *contents) add(e *export.Entry) {
	switch e.Kind {
	case export.Set:
		c.points[string(e.Key)] = *e
	case export.Delete:
		delete(c.points, string(e.Key))
	case export.RangeKeySet:
		c.cut(export.Span{Start: e.Key, End: e.End}, func(r *export.Entry) bool {
			return c.order.CompareSuffixes(r.Suffix, e.Suffix) == 0
		})
		c.ranges = append(c.ranges, *e)
	}
}

// cut takes span out of the ranges that match.
func (c *contents) cut(span export.Span, match func(*export.Entry) bool) {
	var left []export.Entry
	for _, r := range c.ranges {
		if !match(&r) || !span.Overlaps(c.order, export.Span{Start: r.Key, End: r.End}) {
			left = append(left, r)
			continue
		}
		if c.order.Compare(r.Key, span.Start) < 0 {
			before := r
			before.End = span.Start
			left = append(left, before)
		}
		if c.order.CompareEnds(span.End, r.End) < 0 {
			after := r
			after.Key = span.End
			left = append(left, after)
		}
	}
	c.ranges = left
}

func (c *contents) entries() []export.Entry {
	all := slices.Clone(c.ranges)
	for _, p := range c.points {
		all = append(all, p)
	}
	return Canonical(c.order, all)
}

// Clip is the part of entries that lies in span, ranges cut at its edges: what an
// export of the span yields of them.
func Clip(order *export.Order, entries []export.Entry, span export.Span) []export.Entry {
	var in []export.Entry
	for _, e := range entries {
		if !e.Kind.IsRange() {
			if span.Contains(order, e.Key) {
				in = append(in, e)
			}
			continue
		}
		if part, ok := span.Intersect(order, export.Span{Start: e.Key, End: e.End}); ok {
			e.Key, e.End = part.Start, part.End
			in = append(in, e)
		}
	}
	return Canonical(order, in)
}
