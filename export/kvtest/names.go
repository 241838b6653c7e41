package kvtest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func nameChecks() []check {
	return []check{
		{"E9/Restart", checkRestart},
		{"E9/List", checkList},
		{"E9/Reopen", checkReopenName},
		{"E9/Fit", checkFit},
		{"E9/Release", checkRelease},
		{"E9/ReleaseOpen", checkReleaseOpen},
	}
}

// snapshotName looks like a layer ID.
func snapshotName(n int) string { return fmt.Sprintf("%032x", 0xa0+n) }

// keeper is the store's ability to keep snapshots, nil if it has none.
func (w *world) keeper() export.SnapshotKeeper {
	k, _ := w.store.(export.SnapshotKeeper)
	return k
}

func (w *world) mustKeep() {
	w.Helper()
	if w.keeper() == nil {
		w.Skipf("the store keeps no snapshots")
	}
}

func (w *world) list() []export.SnapshotInfo {
	w.Helper()
	list, err := w.keeper().Snapshots(w.ctx)
	require.NoError(w, err)
	return list
}

func (w *world) names() []string {
	w.Helper()
	names := []string{}
	for _, info := range w.list() {
		names = append(names, info.Name)
	}
	return names
}

func checkRestart(w *world) {
	w.mustKeep()
	w.fill()
	want := w.state()
	opts := export.SnapshotOptions{Name: snapshotName(1), Note: "for restarts"}
	s := w.snapshot(w.store, opts)
	at := s.Timestamp()
	w.closing(s)
	for range 2 {
		w.deleteRange(name(0), name(9))
		w.set(name(3), 1, "later")
		w.delete(name(20), 1)
		w.rangeKeyDelete(name(0), name(samples))
		w.shake()
		w.reopen()
		s = w.snapshot(w.store, opts)
		require.Equal(w, at, s.Timestamp())
		w.same(want, w.read(s, export.Request{}))
		w.same(want, w.readPieces(s, export.Span{}, export.Timestamp{}))
		w.closing(s)
	}
	w.same(w.state(), w.holds(w.store), "the store went on")
}

func checkList(w *world) {
	w.mustKeep()
	require.Empty(w, w.list())
	w.set("a", 0, "1")
	first := w.snapshot(w.store, export.SnapshotOptions{Name: snapshotName(2), Note: "first"})
	second := w.snapshot(w.store, export.SnapshotOptions{Name: snapshotName(1), Note: "second", After: first.Timestamp()})
	unnamed := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(unnamed)

	check := func(inUse bool) {
		list := w.list()
		require.Len(w, list, 2)
		for i, want := range []export.SnapshotInfo{
			{Name: snapshotName(2), Note: "first", Timestamp: first.Timestamp()},
			{Name: snapshotName(1), Note: "second", Timestamp: second.Timestamp()},
		} {
			require.Equal(w, want.Name, list[i].Name)
			require.Equal(w, want.Note, list[i].Note)
			require.Equal(w, want.Timestamp, list[i].Timestamp)
			require.False(w, list[i].CreatedAt.IsZero())
			require.GreaterOrEqual(w, list[i].PinnedBytes, int64(0))
			require.Equal(w, inUse, list[i].InUse, "InUse of %s", list[i].Name)
		}
	}
	check(true)
	w.closing(first)
	w.closing(first) // a second Close does nothing
	w.closing(second)
	check(false)
	w.closing(unnamed)
	w.reopen()
	check(false)
}

// checkReopenName opens one name twice at a time.
func checkReopenName(w *world) {
	w.mustKeep()
	w.fill()
	want := w.state()
	opts := export.SnapshotOptions{Name: snapshotName(1)}
	first := w.snapshot(w.store, opts)
	w.set(name(3), 1, "later")
	second := w.snapshot(w.store, opts)
	defer w.closing(second)
	require.Equal(w, first.Timestamp(), second.Timestamp())
	w.same(want, w.read(first, export.Request{}))
	w.closing(first)
	w.same(want, w.read(second, export.Request{}))
	require.Len(w, w.list(), 1)
}

// checkFit opens a name with options that its snapshot does not satisfy.
func checkFit(w *world) {
	w.mustKeep()
	w.set("a", 0, "1")
	s := w.snapshot(w.store, export.SnapshotOptions{Name: snapshotName(1)})
	at := s.Timestamp()
	w.closing(s)
	_, err := w.store.Snapshot(w.ctx, export.SnapshotOptions{Name: snapshotName(1), After: at})
	require.Error(w, err, "After is not before the snapshot")
	_, err = w.store.Snapshot(w.ctx, export.SnapshotOptions{Name: snapshotName(1), AsOf: at.Next()})
	require.Error(w, err, "AsOf is another moment")
	require.Equal(w, []string{snapshotName(1)}, w.names())
}

func checkRelease(w *world) {
	w.mustKeep()
	w.set("a", 0, "1")
	require.NoError(w, w.keeper().Release(w.ctx, snapshotName(1)), "there is none")
	for n := range 2 {
		s := w.snapshot(w.store, export.SnapshotOptions{Name: snapshotName(n)})
		w.closing(s)
	}
	require.NoError(w, w.keeper().Release(w.ctx, snapshotName(0)))
	require.NoError(w, w.keeper().Release(w.ctx, snapshotName(0)), "a second time")
	require.Equal(w, []string{snapshotName(1)}, w.names())
	w.reopen()
	require.Equal(w, []string{snapshotName(1)}, w.names())

	w.set("a", 0, "2")
	s := w.snapshot(w.store, export.SnapshotOptions{Name: snapshotName(0)})
	defer w.closing(s)
	w.same(w.state(), w.read(s, export.Request{}), "a released name is free")
}

// checkReleaseOpen releases what is being read.
func checkReleaseOpen(w *world) {
	w.mustKeep()
	w.fill()
	want := w.state()
	s := w.snapshot(w.store, export.SnapshotOptions{Name: snapshotName(1)})
	defer w.closing(s)
	require.NoError(w, w.keeper().Release(w.ctx, snapshotName(1)))
	w.set(name(3), 1, "later")
	w.shake()
	w.same(want, w.read(s, export.Request{}))
	w.closing(s)
	require.Empty(w, w.list())
	w.reopen()
	require.Empty(w, w.list())
}
