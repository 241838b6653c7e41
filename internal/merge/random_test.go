package merge_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

var suffixes = []string{"", "@1", "@2"}

// world draws levels at random.
type world struct {
	*rand.Rand
	order  *export.Order
	timed  bool
	keys   []string
	bounds []string
}

func newWorld(seed uint64, order *export.Order, timed bool) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), order: order.WithDefaults(), timed: timed}
	for i := range 2 + w.IntN(7) {
		prefix := fmt.Sprintf("%c", 'b'+i)
		w.bounds = append(w.bounds, prefix)
		w.keys = append(w.keys, prefix, prefix+"@1", prefix+"@2")
	}
	w.bounds = append(w.bounds, "z")
	slices.SortFunc(w.keys, func(a, b string) int { return w.order.Compare([]byte(a), []byte(b)) })
	return w
}

func (w *world) time() export.Timestamp {
	if !w.timed {
		return export.Timestamp{}
	}
	return export.Timestamp{WallNanos: 1 + w.Int64N(3), Logical: w.Uint32N(3)}
}

func (w *world) span() export.Span {
	var s export.Span
	if w.IntN(2) == 0 {
		s.Start = []byte(w.bounds[w.IntN(len(w.bounds))])
	}
	if w.IntN(2) == 0 {
		s.End = []byte(w.bounds[w.IntN(len(w.bounds))])
	}
	return s
}

func (w *world) levels() (all []level) {
	for range 1 + w.IntN(6) {
		all = append(all, w.level())
	}
	return all
}

func (w *world) level() (l level) {
	for range w.IntN(8) {
		e := export.Entry{Kind: export.Set, Key: []byte(w.keys[w.IntN(len(w.keys))]), Timestamp: w.time(), Value: w.value()}
		if w.IntN(3) == 0 {
			e.Kind, e.Value = export.Delete, nil
		}
		l = w.add(l, e)
	}
	for range w.IntN(6) {
		l = w.add(l, w.rangeEntry())
	}
	slices.SortStableFunc(l, w.compare)
	return l
}

func (w *world) value() []byte { return fmt.Appendf(nil, "v%d", w.IntN(4)) }

func (w *world) rangeEntry() export.Entry {
	i := w.IntN(len(w.bounds) - 1)
	j := i + 1 + w.IntN(len(w.bounds)-1-i)
	e := export.Entry{
		Kind: export.DeleteRange + export.Kind(w.IntN(4)),
		Key:  []byte(w.bounds[i]), End: []byte(w.bounds[j]), Timestamp: w.time(),
	}
	if e.Kind == export.RangeKeySet || e.Kind == export.RangeKeyUnset {
		e.Suffix = []byte(suffixes[w.IntN(len(suffixes))])
	}
	if e.Kind == export.RangeKeySet {
		e.Value = w.value()
	}
	return e
}

// add leaves out what a level cannot hold: a key twice at one time, a range key over
// another of its suffix and, with revisions, ranges of one time that overlap.
func (w *world) add(l level, e export.Entry) level {
	for i := range l {
		if w.excludes(&l[i], &e) {
			return l
		}
	}
	return append(l, e)
}

func (w *world) excludes(a, b *export.Entry) bool {
	if a.Timestamp != b.Timestamp || a.Kind.IsRange() != b.Kind.IsRange() {
		return false
	}
	if !a.Kind.IsRange() {
		return string(a.Key) == string(b.Key)
	}
	overlap := export.Span{Start: a.Key, End: a.End}.Overlaps(w.order, export.Span{Start: b.Key, End: b.End})
	return overlap && (w.timed || a.Kind == b.Kind && string(a.Suffix) == string(b.Suffix))
}

// compare is the order of a cursor.
func (w *world) compare(a, b export.Entry) int {
	if c := w.order.Compare(a.Key, b.Key); c != 0 {
		return c
	}
	switch {
	case a.Kind.IsRange() && b.Kind.IsRange():
		return 0
	case a.Kind.IsRange():
		return -1
	case b.Kind.IsRange():
		return 1
	}
	return b.Timestamp.Compare(a.Timestamp)
}

// open makes a level of the merge, whose cursor is added to cursors.
func open(l level, cursors *[]*slice) merge.Level {
	c := &slice{}
	var out merge.Level
	for _, e := range l {
		if e.Kind.IsRange() {
			out.Ranges = append(out.Ranges, e)
		} else {
			c.entries = append(c.entries, e)
		}
	}
	*cursors = append(*cursors, c)
	out.Points = c
	return out
}
