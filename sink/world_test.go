package sink_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/sink"
)

// suffixed orders keys by what stands before '@', then bare before suffixed, then
// from the highest to the lowest suffix.
var suffixed = &export.Order{
	Name: "suffixed",
	Compare: func(a, b []byte) int {
		i, j := splitAt(a), splitAt(b)
		if c := bytes.Compare(a[:i], b[:j]); c != 0 {
			return c
		}
		return compareSuffixes(a[i:], b[j:])
	},
	Split:           splitAt,
	CompareSuffixes: compareSuffixes,
}

func splitAt(key []byte) int {
	if i := bytes.IndexByte(key, '@'); i >= 0 {
		return i
	}
	return len(key)
}

func compareSuffixes(a, b []byte) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(a), len(b))
	}
	return bytes.Compare(b, a)
}

// forms are all the shapes that a table has.
var forms = map[string]sink.Form{
	"bytewise":  {},
	"suffixed":  {Order: suffixed},
	"revisions": {Revisions: true},
}

// world draws entries of one level at random.
type world struct {
	*rand.Rand
	form     sink.Form
	order    *export.Order
	prefixes int
	valueMax int
	rangeMax int // prefixes that a range covers at most
	state    bool
	clock    uint32
}

func newWorld(seed uint64, form sink.Form) *world {
	return &world{
		Rand: rand.New(rand.NewPCG(seed, 7)), form: form, order: form.Order.WithDefaults(),
		prefixes: 400, valueMax: 300, rangeMax: 40,
	}
}

func prefix(n int) []byte { return fmt.Appendf(nil, "k%06d", n) }

// entries draws a level in the order of a cursor.
func (w *world) entries() (all []export.Entry) {
	for n := range w.prefixes {
		all = append(all, w.ranges(n)...)
		all = append(all, w.points(n)...)
	}
	return dropOverlaps(w, all)
}

func (w *world) points(n int) (all []export.Entry) {
	if w.IntN(5) == 0 {
		return nil
	}
	if w.form.Revisions {
		for i := 1 + w.IntN(4); i > 0; i-- {
			all = append(all, w.point(prefix(n), export.Timestamp{WallNanos: int64(10 * i), Logical: w.Uint32N(2)}))
		}
		return all
	}
	if w.form.Order == nil || w.IntN(2) == 0 {
		all = append(all, w.point(prefix(n), export.Timestamp{}))
	}
	if w.form.Order != nil {
		for i := w.IntN(5); i > 0; i-- {
			all = append(all, w.point(fmt.Appendf(prefix(n), "@%03d", i), export.Timestamp{}))
		}
	}
	return all
}

func (w *world) point(key []byte, at export.Timestamp) export.Entry {
	if !w.state && w.IntN(4) == 0 {
		return export.Entry{Kind: export.Delete, Key: key, Timestamp: at}
	}
	return export.Entry{Kind: export.Set, Key: key, Value: w.noise(w.IntN(w.valueMax + 1)), Timestamp: at}
}

func (w *world) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.Uint32())
	}
	return b
}

func (w *world) ranges(n int) (all []export.Entry) {
	for range w.IntN(4) - 1 {
		e := export.Entry{Kind: export.RangeKeySet, Key: prefix(n), End: prefix(n + 1 + w.IntN(w.rangeMax))}
		if !w.state {
			e.Kind = export.DeleteRange + export.Kind(w.IntN(4))
		}
		if e.Kind == export.RangeKeySet || e.Kind == export.RangeKeyUnset {
			e.Suffix = fmt.Appendf(nil, "@%03d", w.IntN(3))
		}
		if e.Kind == export.RangeKeySet {
			e.Value = w.noise(w.IntN(w.valueMax + 1))
		}
		if w.clock++; w.form.Revisions {
			e.Timestamp = export.Timestamp{WallNanos: 5, Logical: w.clock}
		}
		all = append(all, e)
	}
	return all
}

// dropOverlaps leaves out range keys over others of their kind and suffix, which a
// level without revisions cannot hold.
func dropOverlaps(w *world, all []export.Entry) []export.Entry {
	ends := map[string][]byte{}
	return slices.DeleteFunc(all, func(e export.Entry) bool {
		if !e.Kind.IsRange() || e.Kind == export.DeleteRange || w.form.Revisions {
			return false
		}
		name := string(byte(e.Kind)) + string(e.Suffix)
		if w.order.Compare(e.Key, ends[name]) < 0 {
			return true
		}
		ends[name] = e.End
		return false
	})
}

// canonical is the same level in the one form that does not depend on where ranges
// were cut: the points as they are, then the ranges with the pieces joined.
func canonical(order *export.Order, entries []export.Entry) (points, ranges []string) {
	order = order.WithDefaults()
	open := map[string][]export.Span{}
	for _, e := range entries {
		if !e.Kind.IsRange() {
			points = append(points, fmt.Sprintf("%s %q %s %x", e.Kind, e.Key, e.Timestamp, e.Value))
			continue
		}
		name := fmt.Sprintf("%s %q %s %x", e.Kind, e.Suffix, e.Timestamp, e.Value)
		open[name] = append(open[name], export.Span{Start: e.Key, End: e.End})
	}
	for name, spans := range open {
		slices.SortFunc(spans, func(a, b export.Span) int { return order.Compare(a.Start, b.Start) })
		for _, s := range joined(order, spans) {
			ranges = append(ranges, fmt.Sprintf("%s %s", s, name))
		}
	}
	slices.Sort(ranges)
	return points, ranges
}

func joined(order *export.Order, spans []export.Span) (out []export.Span) {
	for _, s := range spans {
		if n := len(out); n > 0 && order.Compare(s.Start, out[n-1].End) <= 0 {
			if order.Compare(s.End, out[n-1].End) > 0 {
				out[n-1].End = s.End
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// clipped is what of the entries lies in span.
func clipped(order *export.Order, entries []export.Entry, span export.Span) (out []export.Entry) {
	for _, e := range entries {
		if !e.Kind.IsRange() {
			if span.Contains(order, e.Key) {
				out = append(out, e)
			}
			continue
		}
		if part, ok := span.Intersect(order, export.Span{Start: e.Key, End: e.End}); ok {
			e.Key, e.End = part.Start, part.End
			out = append(out, e)
		}
	}
	return out
}

// sort puts entries in the order of a cursor; revisions keep theirs.
func (w *world) sort(entries []export.Entry) {
	slices.SortStableFunc(entries, func(a, b export.Entry) int {
		if c := w.order.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return cmp.Compare(pointsLast(a.Kind), pointsLast(b.Kind))
	})
}

func pointsLast(k export.Kind) int {
	if k.IsRange() {
		return 0
	}
	return 1
}
