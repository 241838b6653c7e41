package kvtest

import (
	"fmt"
	"math/rand/v2"

	"github.com/varvekv/varve/export"
)

const samples = 32 // names that fill writes

func name(i int) string { return fmt.Sprintf("k%03d", i) }

// fill writes a moderate set of data: keys written over, deleted, deleted by
// range and written again, empty values, and range keys that overlap, cross and
// are partly removed, at several depths of the store.
func (w *world) fill() {
	w.Helper()
	for i := range samples {
		for version := range 3 {
			w.set(name(i), version, fmt.Sprintf("first %d.%d", i, version))
		}
	}
	w.rangeKeySet(name(3), name(20), 1, "wide")
	w.rangeKeySet(name(10), name(30), 2, "late")
	w.shake()
	for i := 0; i < samples; i += 3 {
		w.set(name(i), 1, fmt.Sprintf("second %d", i))
		w.delete(name(i), 2)
	}
	w.deleteRange(name(12), name(15))
	w.rangeKeySet(name(8), name(16), 1, "narrow")
	w.shake()
	w.rangeKeyUnset(name(18), name(24), 2)
	w.rangeKeyDelete(name(5), name(6))
	w.set(name(13), 1, "")
	for i := 0; i < samples; i += 7 {
		w.delete(name(i), 0)
		w.set(name(i), 2, fmt.Sprintf("third %d", i))
	}
}

// change writes at random, about n times.
func (w *world) change(r *rand.Rand, n int) {
	w.Helper()
	for range n {
		i, version := r.IntN(samples), r.IntN(3)
		j := min(i+1+r.IntN(6), samples)
		switch r.IntN(12) {
		case 0:
			w.deleteRange(name(i), name(j))
		case 1:
			w.rangeKeySet(name(i), name(j), version, fmt.Sprintf("range %d", r.IntN(3)))
		case 2:
			w.rangeKeyUnset(name(i), name(j), version)
		case 3:
			w.rangeKeyDelete(name(i), name(j))
		case 4, 5, 6:
			w.delete(name(i), version)
		case 7:
			w.shake()
		default:
			w.set(name(i), version, fmt.Sprintf("value %d", r.IntN(4)))
		}
	}
}

// someSpans are spans of all forms: open, half open, narrow, empty of keys.
func (w *world) someSpans() []export.Span {
	return []export.Span{
		{},
		{Start: w.span(name(9), name(10)).Start},
		{End: w.span(name(11), name(12)).Start},
		w.span(name(4), name(19)),
		w.span(name(12), name(13)),
		w.span(name(17), name(29)),
		w.span("y", "z"),
	}
}
