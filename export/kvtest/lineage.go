package kvtest

import (
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func lineageChecks() []check {
	return []check{
		{"E10/Restart", checkLineageRestart},
		{"E10/Restore", checkLineageRestore},
		{"E10/Keep", checkLineageKept},
		{"E10/Names", checkLineageNames},
	}
}

func (w *world) lineage(store export.Store) string {
	w.Helper()
	info, err := store.Info(w.ctx)
	require.NoError(w, err)
	return info.Lineage
}

func checkLineageRestart(w *world) {
	before := w.info.Lineage
	require.NotEmpty(w, before)
	w.set("a", 0, "1")
	w.shake()
	w.reopen()
	require.Equal(w, before, w.info.Lineage)
	require.NotEqual(w, before, w.lineage(w.empty()), "another database has another history")
}

func checkLineageRestore(w *world) {
	before, after := w.info.Lineage, snapshotName(9)
	opts := export.IngestOptions{Spans: everywhere(), Lineage: after}
	in := w.ingest(w.store, opts)
	require.NoError(w, w.load(in, export.Span{}, w.sampleState()))
	require.Equal(w, before, w.lineage(w.store), "before Commit")
	require.NoError(w, in.Abort())
	require.Equal(w, before, w.lineage(w.store), "after Abort")
	w.restore(w.store, opts, w.sampleState())
	require.Equal(w, after, w.lineage(w.store))
	w.reopen()
	require.Equal(w, after, w.info.Lineage)
	w.same(w.sampleState(), w.holds(w.store))
}

func checkLineageKept(w *world) {
	before := w.info.Lineage
	w.restore(w.store, export.IngestOptions{Spans: everywhere()}, w.sampleState())
	require.Equal(w, before, w.lineage(w.store))
	w.reopen()
	require.Equal(w, before, w.info.Lineage)
}

// checkLineageNames lists snapshots of a history that has ended.
func checkLineageNames(w *world) {
	w.mustKeep()
	s := w.snapshot(w.store, export.SnapshotOptions{Name: snapshotName(1)})
	w.closing(s)
	w.restore(w.store, export.IngestOptions{Spans: everywhere(), Lineage: snapshotName(9)}, w.sampleState())
	require.Empty(w, w.list())
}
