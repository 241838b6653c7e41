package kvtest

import (
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func abilityChecks() []check {
	return []check{
		{"Abilities/Info", checkInfo},
		{"Abilities/TableLoader", checkTableSupport},
		{"Abilities/Cataloger", checkObjects},
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

func checkObjects(w *world) {
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	c, ok := s.(export.Cataloger)
	if !ok {
		w.Skipf("the snapshot has no catalog")
	}
	objects, err := c.Objects(w.ctx)
	require.NoError(w, err)
	known := map[uint64]bool{}
	for _, o := range objects {
		require.False(w, known[o.ID], "object %d is there twice", o.ID)
		require.NotEmpty(w, o.Name)
		known[o.ID] = true
		for _, span := range o.Spans {
			require.False(w, span.IsEmpty(w.order), "%s of %s", span, o.Name)
			require.True(w, w.order.CutPoint(span.Start) && w.order.CutPoint(span.End), "%s of %s", span, o.Name)
		}
	}
	for _, o := range objects {
		require.True(w, o.Parent == 0 || known[o.Parent], "the parent of %s", o.Name)
	}
}
