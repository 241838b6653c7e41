package kvtest

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func abilityChecks() []check {
	return []check{
		{"Abilities/Info", checkInfo},
		{"Abilities/TableLoader", checkTableSupport},
	}
}

func checkInfo(w *world) {
	require.NotEmpty(w, w.info.Engine)
	require.NotEmpty(w, w.info.Lineage)
	require.NotEmpty(w, w.order.Name)
	bare := w.key("k", 0)
	require.True(w, w.order.CutPoint(bare), "%q is a bare prefix", bare)
	for version := 1; version < 3; version++ {
		key := w.key("k", version)
		if !w.order.CutPoint(key) {
			require.Negative(w, w.order.Compare(bare, key), "%q sorts before %q", bare, key)
		}
	}
	for i, reserved := range w.info.Reserved {
		require.False(w, reserved.IsEmpty(w.order), "%s", reserved)
		require.True(w, w.order.CutPoint(reserved.Start) && w.order.CutPoint(reserved.End), "%s", reserved)
		require.False(w, slices.ContainsFunc(w.info.Reserved[:i], func(s export.Span) bool { return s.Overlaps(w.order, reserved) }))
	}
	info, err := w.empty().Info(w.ctx)
	require.NoError(w, err)
	require.Equal(w, w.order.Name, info.Order.WithDefaults().Name, "Empty is of the same order")
}

func checkTableSupport(w *world) {
	in := w.ingest(w.empty(), export.IngestOptions{Spans: everywhere()})
	defer w.aborting(in)
	tables, ok := in.(export.TableLoader)
	if !ok {
		w.Skipf("the ingester takes no tables")
	}
	support := tables.TableSupport()
	require.NotEmpty(w, support.Formats)
	require.GreaterOrEqual(w, support.Levels, 1)
	for _, names := range [][]string{support.Formats, support.KeySchemas} {
		seen := map[string]bool{}
		for _, n := range names {
			require.NotEmpty(w, n)
			require.False(w, seen[n], "%s is there twice", n)
			seen[n] = true
		}
	}
}
