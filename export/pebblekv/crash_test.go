package pebblekv_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

// crashes calls act on a crashable file system and inspect on what a crash before
// each of its writes since begin leaves: what was synced, and some of what was not.
func crashes(t *testing.T, act func(fs vfs.FS, begin func()), inspect func(fs vfs.FS)) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	var begun atomic.Bool
	var mu sync.Mutex
	var clones []*vfs.MemFS
	rng := rand.New(rand.NewPCG(1, 1))
	act(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !begun.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		for _, percent := range []int{0, 50, 50, 50, 100} {
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
		}
		return nil
	})), func() { begun.Store(true) })
	begun.Store(false)
	mu.Lock() // a compaction may still write
	all := append(clones, mem.CrashClone(vfs.CrashCloneCfg{}))
	mu.Unlock()
	require.Greater(t, len(all), 10)
	for _, fs := range all {
		inspect(fs)
	}
}

func mustOpen(t *testing.T, fs vfs.FS) (*pebble.DB, *pebblekv.Store) {
	t.Helper()
	db, store, err := pebblekv.Open(dbDir, &pebble.Options{FS: fs, Logger: quiet{t}}, nil)
	require.NoError(t, err)
	return db, store
}

// TestCrashDuringSnapshot: a named snapshot is there as a whole, or not at all;
// leftovers are cleared by the next one.
func TestCrashDuringSnapshot(t *testing.T) {
	var whole, none int
	crashes(t, func(fs vfs.FS, begin func()) {
		db, store := mustOpen(t, fs)
		require.NoError(t, db.Set([]byte("a"), []byte("1"), pebble.Sync))
		begin()
		s, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: "ab"})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.NoError(t, db.Close())
	}, func(fs vfs.FS) {
		db, store := mustOpen(t, fs)
		infos, err := store.Snapshots(t.Context())
		require.NoError(t, err)
		whole += len(infos)
		none += 1 - len(infos)
		s, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: "ab"})
		require.NoError(t, err)
		if len(infos) == 1 {
			require.Equal(t, infos[0].Timestamp, s.Timestamp())
		}
		require.Equal(t, []string{`set "a"-"" ""="1"`}, lines(t, s, export.Request{}))
		require.NoError(t, s.Close())
		u, err := store.Snapshot(t.Context(), export.SnapshotOptions{})
		require.NoError(t, err)
		require.NoError(t, u.Close())
		left, err := fs.List(dbDir + "/varve-snapshots")
		require.NoError(t, err)
		require.Equal(t, []string{"ab"}, left)
		require.NoError(t, db.Close())
	})
	require.Positive(t, whole)
	require.Positive(t, none)
}

// TestCrashDuringRelease: what still has its name can be read.
func TestCrashDuringRelease(t *testing.T) {
	var whole, none int
	crashes(t, func(fs vfs.FS, begin func()) {
		db, store := mustOpen(t, fs)
		require.NoError(t, db.Set([]byte("a"), []byte("1"), pebble.Sync))
		s, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: "ab"})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		begin()
		require.NoError(t, store.Release(t.Context(), "ab"))
		require.NoError(t, db.Close())
	}, func(fs vfs.FS) {
		db, store := mustOpen(t, fs)
		infos, err := store.Snapshots(t.Context())
		require.NoError(t, err)
		whole += len(infos)
		none += 1 - len(infos)
		for _, i := range infos {
			s, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: i.Name})
			require.NoError(t, err)
			require.Len(t, lines(t, s, export.Request{}), 1)
			require.NoError(t, s.Close())
		}
		require.NoError(t, store.Release(t.Context(), "ab"))
		require.NoError(t, db.Close())
	})
	require.Positive(t, whole)
	require.Positive(t, none)
}

// TestCrashDuringReplace: spans apart from each other have all of the old or all of the new,
// and what others write between them meanwhile is never lost.
func TestCrashDuringReplace(t *testing.T) {
	former := []string{`set "a"-"" ""="1"`, `set "b"-"" ""="1"`, `set "h"-"" ""="mine"`, `set "n"-"" ""="1"`}
	now := []string{`set "a"-"" ""="2"`, `set "h"-"" ""="mine"`, `set "m"-"" ""="2"`}
	var whole, none int
	crashes(t, func(fs vfs.FS, begin func()) {
		db, store := mustOpen(t, fs)
		for _, k := range []string{"a", "b", "n"} {
			require.NoError(t, db.Set([]byte(k), []byte("1"), pebble.Sync))
		}
		in, err := store.Ingest(t.Context(), export.IngestOptions{Name: "ab", Spans: []export.Span{span("a", "c"), span("m", "p")}, Replace: true})
		require.NoError(t, err)
		load(t, in, span("a", "b"), set("a", "2"))
		load(t, in, span("m", "p"), set("m", "2"))
		require.NoError(t, db.Set([]byte("h"), []byte("mine"), pebble.Sync))
		begin()
		require.NoError(t, in.Commit(t.Context()))
		require.NoError(t, db.Close())
	}, func(fs vfs.FS) {
		db, _ := mustOpen(t, fs)
		switch got := visible(t, db); {
		case slices.Equal(got, former):
			none++
		default:
			require.Equal(t, now, got)
			whole++
		}
		require.NoError(t, db.Close())
	})
	require.Positive(t, whole)
	require.Positive(t, none)
}

// TestCrashDuringDir: the directory is absent, or whole; a leftover is resumed.
func TestCrashDuringDir(t *testing.T) {
	var whole, none int
	dir := func(fs vfs.FS) *pebblekv.Directory {
		return pebblekv.Dir(dbDir, &pebblekv.Options{Pebble: &pebble.Options{FS: fs, Logger: quiet{t}}})
	}
	opts := export.IngestOptions{Name: "ab", Spans: []export.Span{{}}, Lineage: "mine"}
	crashes(t, func(fs vfs.FS, begin func()) {
		begin()
		in, err := dir(fs).Ingest(t.Context(), opts)
		require.NoError(t, err)
		loadLevels(t, in)
		require.NoError(t, in.Commit(t.Context()))
	}, func(fs vfs.FS) {
		if _, err := fs.Stat(dbDir); err == nil {
			whole++
			checkDir(t, dbDir, &pebble.Options{FS: fs, Logger: quiet{t}})
			return
		}
		none++
		in, err := dir(fs).Ingest(t.Context(), opts)
		require.NoError(t, err)
		loadLevels(t, in)
		require.NoError(t, in.Commit(t.Context()))
		checkDir(t, dbDir, &pebble.Options{FS: fs, Logger: quiet{t}})
	})
	require.Positive(t, whole)
	require.Positive(t, none)
}

// TestCrashDuringCommit of a load into an open database: all or nothing, and new
// data never under the former lineage.
func TestCrashDuringCommit(t *testing.T) {
	counts := map[string]int{}
	var former string
	crashes(t, func(fs vfs.FS, begin func()) {
		db, store := mustOpen(t, fs)
		info, err := store.Info(t.Context())
		require.NoError(t, err)
		former = info.Lineage
		begin()
		in, err := store.Ingest(t.Context(), export.IngestOptions{Name: "1", Spans: []export.Span{{}}, Lineage: "other"})
		require.NoError(t, err)
		load(t, in, span("a", "c"), set("b", "1"))
		load(t, in, span("c", "f"), set("d", "2"))
		require.NoError(t, in.Commit(t.Context()))
		require.NoError(t, db.Close())
	}, func(fs vfs.FS) {
		db, store := mustOpen(t, fs)
		info, err := store.Info(t.Context())
		require.NoError(t, err)
		n := len(visible(t, db))
		require.Contains(t, []int{0, 2}, n)
		require.False(t, n > 0 && info.Lineage == former)
		counts[fmt.Sprint(n, info.Lineage == former)]++
		require.NoError(t, db.Close())
	})
	require.Positive(t, counts["0 true"])
	require.Positive(t, counts["2 false"])
}

// TestSnapshotFaults: whatever write fails, no snapshot of that name is left.
func TestSnapshotFaults(t *testing.T) {
	var fault faultFS
	r := newRig(t, &pebble.Options{FS: fault.wrap(vfs.NewMem())})
	r.set(t, "a")
	require.NoError(t, r.db.Flush(), "which Pebble would try for ever")
	for n := 0; ; n++ {
		fault.failAt(n)
		s, err := r.store.Snapshot(t.Context(), export.SnapshotOptions{Name: "ab"})
		if !fault.stop() {
			require.NoError(t, err)
			require.NoError(t, s.Close())
			require.Greater(t, n, 5)
			return
		}
		if err == nil {
			require.NoError(t, s.Close())
		}
		infos, err := r.store.Snapshots(t.Context())
		require.NoError(t, err)
		for _, i := range infos {
			s, err := r.store.Snapshot(t.Context(), export.SnapshotOptions{Name: i.Name})
			require.NoError(t, err)
			require.Len(t, lines(t, s, export.Request{}), 1)
			require.NoError(t, s.Close())
		}
		require.NoError(t, r.store.Release(t.Context(), "ab"))
	}
}
