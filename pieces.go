package varve

import (
	"cmp"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/sink"
)

// leveledFile is a file with its place in the chain: the higher level wins.
type leveledFile struct {
	sink.File
	level int
	layer *Manifest // that lists it
	form  sink.Form // known once the order is
}

// view is a part of the keyspace for which a file speaks. It is less than the
// file's span where a newer layer introduces a span anew, or where less is wanted.
type view struct {
	*leveledFile
	span Span
}

// whole reports whether all that the file speaks for is in view.
func (v view) whole(order *export.Order) bool { return v.span.Covers(order, v.Span) }

// sortViews orders views by start, those of one start by level.
func sortViews(order *export.Order, views []view) {
	compare := order.WithDefaults().Compare
	slices.SortStableFunc(views, func(a, b view) int {
		return cmp.Or(compare(a.span.Start, b.span.Start), a.level-b.level)
	})
}

// clipViews is what of the views lies in spans, in order.
func clipViews(order *export.Order, views []view, spans []Span) []view {
	var out []view
	for _, v := range views {
		for _, part := range intersectSpans(order, spansFrom(order, spans, v.span.Start), []Span{v.span}) {
			out = append(out, view{leveledFile: v.leveledFile, span: part})
		}
	}
	sortViews(order, out)
	return out
}

// piece is a part of the keyspace, and the views that must be read together to
// know what is in it.
type piece struct {
	span  Span
	views []view // inside span, in order
	bytes int64  // stored; an estimate, for a file need not lie in one piece
}

// planPieces parts the keyspace into the smallest pieces no view of which overlaps
// another piece. What no view speaks for belongs to none.
func planPieces(order *export.Order, views []view) []piece {
	var out []piece
	for _, v := range views {
		if n := len(out); n > 0 && out[n-1].span.Overlaps(order, v.span) {
			last := &out[n-1]
			if order.CompareEnds(v.span.End, last.span.End) > 0 {
				last.span.End = v.span.End
			}
			last.views, last.bytes = append(last.views, v), last.bytes+v.Size
			continue
		}
		out = append(out, piece{span: v.span, views: []view{v}, bytes: v.Size})
	}
	return out
}

const (
	// partBytes is about how many stored bytes a part of a piece has, unless there
	// would be more than maxParts: each looks into every file that lies over it.
	partBytes = 8 << 20
	maxParts  = 1 << 10
)

// split cuts a piece at the edges of its views, which are bare prefixes, into parts
// of about limit bytes: a few files that lie over everything make one piece of all
// that there is, and yet it is read by many workers.
func (p piece) split(order *export.Order, limit int64) []piece {
	limit = max(limit, p.bytes/maxParts)
	if p.bytes <= limit || len(p.views) == 1 {
		return []piece{p}
	}
	parts := p.cut(order, limit)
	var active []view
	rest := p.views
	for i := range parts {
		part := &parts[i]
		active = slices.DeleteFunc(active, func(v view) bool { return order.CompareEnds(v.span.End, part.span.Start) <= 0 })
		for len(rest) > 0 && part.span.Overlaps(order, rest[0].span) {
			active, rest = append(active, rest[0]), rest[1:]
		}
		for _, v := range active {
			v.span, _ = v.span.Intersect(order, part.span)
			part.views = append(part.views, v)
		}
		sortViews(order, part.views)
	}
	return parts
}

// cut finds the parts, as yet without views. What a view has is taken to be spread
// evenly over the edges in it.
func (p piece) cut(order *export.Order, limit int64) []piece {
	edges := p.edges(order)
	steps := make([]int64, len(edges)+1) // by which the bytes at an edge differ from those before
	at := func(key []byte) int {
		i, _ := slices.BinarySearchFunc(edges, key, order.WithDefaults().Compare)
		return i
	}
	for _, v := range p.views {
		from, to := at(v.span.Start), len(edges)
		if order.CompareEnds(v.span.End, p.span.End) < 0 {
			to = at(v.span.End)
		}
		share := v.Size / int64(to-from)
		steps[from], steps[to] = steps[from]+share, steps[to]-share
	}
	out := []piece{{span: p.span}}
	var here int64
	for i, edge := range edges {
		if last := &out[len(out)-1]; last.bytes >= limit {
			last.span.End = edge
			out = append(out, piece{span: Span{Start: edge, End: p.span.End}})
		}
		here += steps[i]
		out[len(out)-1].bytes += here
	}
	return out
}

// edges are the keys where a view of the piece starts or ends, its own end left out.
func (p piece) edges(order *export.Order) [][]byte {
	compare := order.WithDefaults().Compare
	var out [][]byte
	for _, v := range p.views {
		out = append(out, v.span.Start)
		if order.CompareEnds(v.span.End, p.span.End) < 0 {
			out = append(out, v.span.End)
		}
	}
	slices.SortFunc(out, compare)
	return slices.CompactFunc(out, func(a, b []byte) bool { return compare(a, b) == 0 })
}

// depth is how many views lie on one another where they are most.
func (p piece) depth(order *export.Order) int {
	edges := p.edges(order)
	steps := make([]int, len(edges)+1)
	for _, v := range p.views {
		from, _ := slices.BinarySearchFunc(edges, v.span.Start, order.WithDefaults().Compare)
		steps[from]++
		if order.CompareEnds(v.span.End, p.span.End) < 0 {
			to, _ := slices.BinarySearchFunc(edges, v.span.End, order.WithDefaults().Compare)
			steps[to]--
		}
	}
	deepest, here := 0, 0
	for _, s := range steps {
		here += s
		deepest = max(deepest, here)
	}
	return deepest
}

// levels are those of the views, the lowest first.
func (p piece) levels() []int {
	var out []int
	for _, v := range p.views {
		out = append(out, v.level)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// cutAbove parts the views up to a level from those that lie on them.
func (p piece) cutAbove(level int) (lower, upper piece) {
	lower.span, upper.span = p.span, p.span
	for _, v := range p.views {
		side := &lower
		if v.level > level {
			side = &upper
		}
		side.views, side.bytes = append(side.views, v), side.bytes+v.Size
	}
	return lower, upper
}
