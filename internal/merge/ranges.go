package merge

import (
	"bytes"
	"slices"

	"github.com/varvekv/varve/export"
)

// aged is a range entry with its age.
type aged struct {
	age   age
	entry export.Entry
}

type rangeDelete struct {
	age  age
	span export.Span
}

func rangeDeletes(ranges []aged, order *export.Order) []rangeDelete {
	var out []rangeDelete
	for _, r := range ranges {
		if r.entry.Kind == export.DeleteRange {
			out = append(out, rangeDelete{age: r.age, span: export.Span{Start: r.entry.Key, End: r.entry.End}})
		}
	}
	slices.SortFunc(out, func(a, b rangeDelete) int { return order.Compare(a.span.Start, b.span.Start) })
	return out
}

// mergeRanges is what the ranges amount to, clipped to the span, by start.
func mergeRanges(ranges []aged, order *export.Order, opts Options) []export.Entry {
	var out []export.Entry
	var keys []aged
	for _, r := range ranges {
		part, ok := opts.Span.Intersect(order, export.Span{Start: r.entry.Key, End: r.entry.End})
		if !ok {
			continue
		}
		r.entry.Key, r.entry.End = part.Start, part.End
		switch {
		case opts.Output == History:
			out = append(out, r.entry)
		case r.entry.Kind != export.DeleteRange:
			keys = append(keys, r)
		case opts.Output == Changes:
			out = append(out, r.entry)
		}
	}
	out = append(out, rangeKeys(keys, order, opts.Output)...)
	slices.SortStableFunc(out, func(a, b export.Entry) int { return order.Compare(a.Key, b.Key) })
	return out
}

// LiveRanges is what ranges of one level, with their revisions, amount to as a state.
func LiveRanges(order *export.Order, ranges []export.Entry) []export.Entry {
	all := make([]aged, len(ranges))
	for i, e := range ranges {
		all[i] = aged{age: age{time: e.Timestamp}, entry: e}
	}
	return mergeRanges(all, order.WithDefaults(), Options{Output: State})
}

// rangeKeys cuts overlapping range keys at every start and end, decides each piece
// by age, and joins pieces that came out alike.
func rangeKeys(keys []aged, order *export.Order, output Output) []export.Entry {
	slices.SortStableFunc(keys, func(a, b aged) int { return order.Compare(a.entry.Key, b.entry.Key) })
	var cuts [][]byte
	for _, k := range keys {
		cuts = append(cuts, k.entry.Key, k.entry.End)
	}
	slices.SortFunc(cuts, order.Compare)
	cuts = slices.CompactFunc(cuts, bytes.Equal)

	var done, open, active []export.Entry
	var live []aged
	for i := 0; i+1 < len(cuts); i++ {
		start, end := cuts[i], cuts[i+1]
		live = slices.DeleteFunc(live, func(a aged) bool { return order.Compare(a.entry.End, start) <= 0 })
		for len(keys) > 0 && order.Compare(keys[0].entry.Key, start) <= 0 {
			live, keys = append(live, keys[0]), keys[1:]
		}
		active = decide(live, output)
		done, open = extend(done, open, active, start, end)
	}
	return append(done, open...)
}

// decide is what the range keys over one piece amount to, by kind and suffix.
func decide(live []aged, output Output) []export.Entry {
	byAge := slices.Clone(live)
	slices.SortStableFunc(byAge, func(a, b aged) int {
		if c := b.age.compare(a.age); c != 0 {
			return c
		}
		return int(a.entry.Kind) - int(b.entry.Kind) // at one age: set before unset before delete
	})
	var out []export.Entry
	seen := map[string]bool{}
	for _, r := range byAge {
		e := r.entry
		if e.Kind == export.RangeKeyDelete {
			if output == Changes {
				out = append(out, e)
			}
			break
		}
		if seen[string(e.Suffix)] {
			continue
		}
		seen[string(e.Suffix)] = true
		if e.Kind == export.RangeKeySet || output == Changes {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b export.Entry) int { return bytes.Compare(a.Suffix, b.Suffix) })
	return out
}

// extend adds the piece [start, end) to what is open, where it goes on unchanged,
// else begins anew.
func extend(done, open, piece []export.Entry, start, end []byte) (_, _ []export.Entry) {
	if len(open) > 0 && slices.EqualFunc(open, piece, alike) {
		for i := range open {
			open[i].End = end
		}
		return done, open
	}
	done = append(done, open...)
	open = nil
	for _, e := range piece {
		e.Key, e.End = start, end
		open = append(open, e)
	}
	return done, open
}

func alike(a, b export.Entry) bool {
	return a.Kind == b.Kind && a.Timestamp == b.Timestamp && bytes.Equal(a.Suffix, b.Suffix) && bytes.Equal(a.Value, b.Value)
}
