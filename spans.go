package varve

import (
	"slices"
	"sort"

	"github.com/varvekv/varve/export"
)

// Lists of spans are sets of keys: they ascend, none of a list is empty, and none
// overlaps another. What is made of them aliases their bytes.

// subtractSpans is what of the keys in from is not in cut.
func subtractSpans(order *export.Order, from, cut []Span) []Span {
	cmp := order.WithDefaults().Compare
	var out []Span
	for _, rest := range from {
		for len(cut) > 0 && len(cut[0].End) > 0 && cmp(cut[0].End, rest.Start) <= 0 {
			cut = cut[1:]
		}
		gone := false
		for i := 0; i < len(cut) && !gone; i++ {
			part, meets := rest.Intersect(order, cut[i])
			if !meets {
				break
			}
			if cmp(rest.Start, part.Start) < 0 {
				out = append(out, Span{Start: rest.Start, End: part.Start})
			}
			rest.Start = part.End
			gone = len(part.End) == 0 || rest.IsEmpty(order)
		}
		if !gone {
			out = append(out, rest)
		}
	}
	return out
}

// sortSpans are the spans by start.
func sortSpans(order *export.Order, spans []Span) []Span {
	compare := order.WithDefaults().Compare
	out := slices.Clone(spans)
	slices.SortStableFunc(out, func(s, t Span) int { return compare(s.Start, t.Start) })
	return out
}

// joinSpans is what is in any of the spans, which may come in any order: those that touch
// or overlap become one.
func joinSpans(order *export.Order, spans []Span) []Span {
	var out []Span
	for _, s := range sortSpans(order, spans) {
		if n := len(out); n > 0 && (len(out[n-1].End) == 0 || order.WithDefaults().Compare(out[n-1].End, s.Start) >= 0) {
			if order.CompareEnds(s.End, out[n-1].End) > 0 {
				out[n-1].End = s.End
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// equalSpans reports whether two lists of spans are spelled alike.
func equalSpans(a, b []Span) bool {
	return slices.EqualFunc(a, b, func(s, t Span) bool { return string(s.Start) == string(t.Start) && string(s.End) == string(t.End) })
}

// uniteSpans is what is in a or in b, which have nothing in common.
func uniteSpans(order *export.Order, a, b []Span) []Span {
	return sortSpans(order, slices.Concat(a, b))
}

// intersectSpans is what is both in a and in b.
func intersectSpans(order *export.Order, a, b []Span) []Span {
	var out []Span
	for len(a) > 0 && len(b) > 0 {
		if part, ok := a[0].Intersect(order, b[0]); ok {
			out = append(out, part)
		}
		if order.CompareEnds(a[0].End, b[0].End) <= 0 {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// spansFrom are the spans that do not end before key.
func spansFrom(order *export.Order, spans []Span, key []byte) []Span {
	compare := order.WithDefaults().Compare
	i := sort.Search(len(spans), func(i int) bool { return len(spans[i].End) == 0 || compare(spans[i].End, key) > 0 })
	return spans[i:]
}

// coveredBy reports whether spans cover all of w together.
func coveredBy(order *export.Order, spans []Span, w Span) bool {
	cmp := order.WithDefaults().Compare
	for _, s := range spans {
		if cmp(s.Start, w.Start) > 0 {
			return false
		}
		if !s.Contains(order, w.Start) {
			continue
		}
		if order.CompareEnds(w.End, s.End) <= 0 {
			return true
		}
		w.Start = s.End
	}
	return false
}

// areApart reports whether spans are such a list.
func areApart(order *export.Order, spans []Span) bool {
	cmp := order.WithDefaults().Compare
	for i, s := range spans {
		if s.IsEmpty(order) {
			return false
		}
		if i > 0 && (len(spans[i-1].End) == 0 || cmp(spans[i-1].End, s.Start) > 0) {
			return false
		}
	}
	return true
}
