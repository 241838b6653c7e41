package kvtest

import (
	"math/rand/v2"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func resolutionChecks() []check {
	return []check{
		{"E6/State", checkState},
		{"E6/Random", checkRandomStates},
		{"E6/Values", checkValues},
		{"E6/Bytes", checkBinaryKeys},
	}
}

func checkState(w *world) {
	w.fill()
	for range 2 {
		got := w.holds(w.store)
		for i := range got {
			require.Contains(w, []export.Kind{export.Set, export.RangeKeySet}, got[i].Kind, line(&got[i]))
		}
		w.same(w.state(), got)
		w.shake()
	}
	w.reopen()
	w.same(w.state(), w.holds(w.store), "after a restart")
}

func checkRandomStates(w *world) {
	r := rand.New(rand.NewPCG(6, 6))
	for range 8 {
		w.change(r, 60)
		w.same(w.state(), w.holds(w.store))
	}
	for i := range samples {
		for version := range 3 {
			w.delete(name(i), version)
		}
	}
	w.rangeKeyDelete(name(0), name(samples))
	require.Empty(w, w.holds(w.store), "all was deleted")
}

func checkValues(w *world) {
	w.set("empty", 0, "")
	w.set("large", 0, strings.Repeat("0123456789abcdef", 20<<10))
	w.set("zeros", 0, strings.Repeat("\x00", 300))
	w.same(w.state(), w.holds(w.store))
}

// checkBinaryKeys is for the bytewise order, whose keys may be any bytes.
func checkBinaryKeys(w *world) {
	if w.order.Name != export.BytewiseName {
		w.Skipf("the order is not bytewise")
	}
	for _, key := range []string{"\x00", "\x00\x00", "\x00\xff", "a", "a\x00", "\xff", "\xff\xff", "\xff\xff\xff"} {
		e := export.Entry{Kind: export.Set, Key: []byte(key), Value: []byte("of " + key)}
		w.wrote(e, w.h.Set(e.Key, e.Value))
	}
	got := w.holds(w.store)
	w.ordered(got)
	w.same(w.state(), got)
}
