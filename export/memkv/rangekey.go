package memkv

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/varvekv/varve/export"
)

// rangeWrite is one write of range keys: RangeKeySet, RangeKeyUnset or
// RangeKeyDelete. A version lists them from oldest to newest.
type rangeWrite struct {
	kind          export.Kind
	span          export.Span
	suffix, value []byte
	at            export.Timestamp
}

// window selects revisions in (since, until].
type window struct {
	since, until export.Timestamp
	all          bool // every revision, else the newest
}

func (w window) holds(t export.Timestamp) bool {
	return t.Compare(w.since) > 0 && t.Compare(w.until) <= 0
}

// isState reports whether what is asked for is what a reader sees at until.
func (w window) isState() bool { return w.since.IsZero() && !w.all }

// rangeEntries is what writes come to inside span and window: cut at the edges of
// span, joined where neighbours are equal, in the order of a cursor. The entries
// alias the writes.
func rangeEntries(o *export.Order, writes []rangeWrite, span export.Span, w window) []export.Entry {
	seen := clipWrites(o, writes, span, w)
	edges := rangeEdges(o, seen)
	var all, open []export.Entry // open: what ended at the current edge
	for i := 1; i < len(edges); i++ {
		here := fragment(o, seen, export.Span{Start: edges[i-1], End: edges[i]}, w)
		here, closed := joinFragments(open, here)
		all, open = append(all, closed...), here
	}
	all = append(all, open...)
	slices.SortStableFunc(all, func(a, b export.Entry) int {
		return cmp.Or(o.Compare(a.Key, b.Key), o.CompareSuffixes(a.Suffix, b.Suffix),
			b.Timestamp.Compare(a.Timestamp), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

func clipWrites(o *export.Order, writes []rangeWrite, span export.Span, w window) []rangeWrite {
	var in []rangeWrite
	for _, rw := range writes {
		part, ok := rw.span.Intersect(o, span)
		if ok && w.holds(rw.at) {
			rw.span = part
			in = append(in, rw)
		}
	}
	return in
}

// rangeEdges are the distinct bounds of writes, ascending.
func rangeEdges(o *export.Order, writes []rangeWrite) [][]byte {
	var edges [][]byte
	for _, rw := range writes {
		edges = append(edges, rw.span.Start, rw.span.End)
	}
	slices.SortFunc(edges, o.Compare)
	return slices.CompactFunc(edges, func(a, b []byte) bool { return o.Compare(a, b) == 0 })
}

// fragment is what writes come to in a span that holds none of their bounds but
// its own.
func fragment(o *export.Order, writes []rangeWrite, span export.Span, w window) []export.Entry {
	var entries []export.Entry
	isKnown := func(suffix []byte) bool {
		return slices.ContainsFunc(entries, func(e export.Entry) bool {
			return o.CompareSuffixes(e.Suffix, suffix) == 0
		})
	}
	for _, rw := range slices.Backward(writes) {
		if !rw.span.Covers(o, span) {
			continue
		}
		if !w.all && rw.kind != export.RangeKeyDelete && isKnown(rw.suffix) {
			continue
		}
		entries = append(entries, export.Entry{
			Kind: rw.kind, Key: span.Start, End: span.End,
			Suffix: rw.suffix, Value: rw.value, Timestamp: rw.at,
		})
		if !w.all && rw.kind == export.RangeKeyDelete {
			break
		}
	}
	if w.isState() {
		entries = slices.DeleteFunc(entries, func(e export.Entry) bool { return e.Kind != export.RangeKeySet })
	}
	return entries
}

// joinFragments lets entries of left go on in right where they say the same, and
// is right with that done and what of left has no continuation.
func joinFragments(left, right []export.Entry) (joined, closed []export.Entry) {
	for _, l := range left {
		i := slices.IndexFunc(right, func(r export.Entry) bool {
			return bytes.Equal(l.End, r.Key) && l.Kind == r.Kind && l.Timestamp == r.Timestamp &&
				bytes.Equal(l.Suffix, r.Suffix) && bytes.Equal(l.Value, r.Value)
		})
		if i < 0 {
			closed = append(closed, l)
			continue
		}
		right[i].Key = l.Key
	}
	return right, closed
}

// collectRanges is writes without what no reader at or after t can tell apart.
func collectRanges(o *export.Order, writes []rangeWrite, t export.Timestamp) []rangeWrite {
	var kept []rangeWrite
	for _, e := range rangeEntries(o, writes, export.Span{}, window{until: t}) {
		kept = append(kept, rangeWrite{
			kind: e.Kind, span: export.Span{Start: e.Key, End: e.End},
			suffix: e.Suffix, value: e.Value, at: e.Timestamp,
		})
	}
	for _, rw := range writes {
		if rw.at.Compare(t) > 0 {
			kept = append(kept, rw)
		}
	}
	return kept
}
