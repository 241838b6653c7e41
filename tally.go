package varve

import (
	"sort"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/sink"
)

// tally counts entries by the objects whose they are. It is used by one goroutine. A nil
// one counts nothing.
type tally struct {
	order  *export.Order
	owned  []ownedSpan // by start
	counts map[uint64]ObjectCounts
	at     int // in owned, where the last key was
}

// ownedSpan is a span of an object.
type ownedSpan struct {
	Span
	object uint64
	rows   bool // and no index
}

// newTally counts the objects of these versions. What one of them had at different times may
// overlap, as two objects never do: it counts once.
func newTally(order *export.Order, versions []export.ObjectVersion) *tally {
	t := &tally{order: order, counts: map[uint64]ObjectCounts{}}
	for _, v := range versions {
		for i, s := range v.Object.Spans {
			t.owned = append(t.owned, ownedSpan{Span: s, object: v.Object.ID, rows: i == 0})
		}
	}
	cmp := order.WithDefaults().Compare
	sort.SliceStable(t.owned, func(i, j int) bool { return cmp(t.owned[i].Start, t.owned[j].Start) < 0 })
	apart := t.owned[:0]
	for _, s := range t.owned {
		if n := len(apart); n == 0 || !s.Overlaps(order, apart[n-1].Span) {
			apart = append(apart, s)
		}
	}
	t.owned = apart
	return t
}

// part counts a part of the keyspace.
func (t *tally) part() *tally {
	if t == nil {
		return nil
	}
	return &tally{order: t.order, owned: t.owned, counts: map[uint64]ObjectCounts{}}
}

// join adds what a part has counted.
func (t *tally) join(part *tally) {
	if t == nil {
		return
	}
	for id, c := range part.counts {
		t.counts[id] = t.counts[id].plus(c)
	}
}

// flush is what was counted since the last call.
func (t *tally) flush() map[uint64]ObjectCounts {
	if t == nil {
		return nil
	}
	counts := t.counts
	t.counts = map[uint64]ObjectCounts{}
	return counts
}

func (t *tally) add(e *export.Entry) { t.count(e, 1) }

// remove takes back a set that is not there any more.
func (t *tally) remove(e *export.Entry) { t.count(e, -1) }

func (t *tally) count(e *export.Entry, n int64) {
	if t == nil || len(t.owned) == 0 {
		return
	}
	if e.Kind.IsRange() {
		t.countRange(e)
		return
	}
	s := t.find(e.Key)
	if s == nil {
		return
	}
	c := ObjectCounts{LogicalBytes: n * e.Size()}
	switch {
	case e.Kind == export.Delete:
		c.Deletions = n
	case s.rows:
		c.Rows = n
	default:
		c.IndexEntries = n
	}
	t.counts[s.object] = t.counts[s.object].plus(c)
}

func (t *tally) countRange(e *export.Entry) {
	if e.Kind == export.RangeKeySet {
		return
	}
	seen := map[uint64]bool{}
	cmp := t.order.WithDefaults().Compare
	i := sort.Search(len(t.owned), func(i int) bool { return t.order.CompareEnds(t.owned[i].End, e.Key) > 0 })
	for ; i < len(t.owned) && cmp(t.owned[i].Start, e.End) < 0; i++ {
		if id := t.owned[i].object; !seen[id] {
			seen[id] = true
			t.counts[id] = t.counts[id].plus(ObjectCounts{Deletions: 1})
		}
	}
}

// find is the span that key lies in. Most often it is that of the key before.
func (t *tally) find(key []byte) *ownedSpan {
	if s := &t.owned[t.at]; s.Contains(t.order, key) {
		return s
	}
	cmp := t.order.WithDefaults().Compare
	i := sort.Search(len(t.owned), func(i int) bool { return cmp(t.owned[i].Start, key) > 0 }) - 1
	if i < 0 || !t.owned[i].Contains(t.order, key) {
		return nil
	}
	t.at = i
	return &t.owned[i]
}

func (c ObjectCounts) plus(d ObjectCounts) ObjectCounts {
	return ObjectCounts{
		Rows: c.Rows + d.Rows, IndexEntries: c.IndexEntries + d.IndexEntries,
		Deletions: c.Deletions + d.Deletions, LogicalBytes: c.LogicalBytes + d.LogicalBytes,
	}
}

// tallyWriter counts what it writes.
type tallyWriter struct {
	*sink.Writer
	tally *tally
	part  *rowPart  // of the ledger, of changes that tell what they replaced
	live  *liveRows // of a state with its history
}

// Add writes and counts an entry. What is told of a file that it ends is not counted with
// the entry, which lies in the next one.
func (w *tallyWriter) Add(e *export.Entry) error {
	if err := w.Writer.Add(e); err != nil {
		return err
	}
	w.tally.add(e)
	return nil
}
