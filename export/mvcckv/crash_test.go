package mvcckv_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

// crashes calls act on a crashable file system and inspect on what a crash before each
// of its writes since begin leaves: what was synced, and some of what was not.
func crashes(t *testing.T, act func(s *mvcckv.Store, begin func()), inspect func(s *mvcckv.Store)) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	var begun atomic.Bool
	var mu sync.Mutex
	var clones []*vfs.MemFS
	rng := rand.New(rand.NewPCG(1, 1))
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !begun.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		for _, percent := range []int{0, 50, 100} {
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
		}
		return nil
	}))
	s := newStore(t, options(fs))
	act(s, func() { begun.Store(true) })
	begun.Store(false)
	mu.Lock() // a compaction may still write
	all := append(clones, mem.CrashClone(vfs.CrashCloneCfg{}))
	mu.Unlock()
	require.Greater(t, len(all), 5)
	for _, fs := range all {
		crashed, err := mvcckv.Open(dbDir, options(fs))
		require.NoError(t, err)
		inspect(crashed)
		require.NoError(t, crashed.Close())
	}
}

// pushed is what the store holds after everything dead was pushed.
func pushed(t *testing.T, s *mvcckv.Store) []string {
	t.Helper()
	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	return exported(t, snap, export.Request{Locks: export.PushLocks})
}

// TestCrashDuringCommit: a transaction of many keys is committed as a whole or not at
// all, and if Commit has returned it is.
func TestCrashDuringCommit(t *testing.T) {
	t.Parallel()
	var old, now []string
	for i := range 50 {
		old = append(old, fmt.Sprintf("set k%02d=old", i))
		now = append(now, fmt.Sprintf("set k%02d=now", i))
	}
	writeAll := func(s *mvcckv.Store, value string) {
		tx := begin(t, s, nil)
		for i := range 50 {
			put(t, tx, fmt.Sprintf("k%02d", i), value)
		}
		commit(t, tx)
	}
	var before, after, last int
	crashes(t, func(s *mvcckv.Store, begin func()) {
		writeAll(s, "old")
		begin()
		writeAll(s, "now")
		require.NoError(t, s.Shake(t.Context()))
	}, func(s *mvcckv.Store) {
		got := pushed(t, s)
		if got[0] == old[0] {
			require.Equal(t, old, got)
			before++
			last = 0
		} else {
			require.Equal(t, now, got)
			after++
			last = 1
		}
		set(t, s, "k00", "goes on")
	})
	require.Positive(t, before)
	require.Positive(t, after)
	require.Equal(t, 1, last, "after Commit has returned")
}

// TestDecidedThenCrashed: a committed transaction whose locks still stand is resolved
// when the store is opened: nobody meets them, nor can push it.
func TestDecidedThenCrashed(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	s := newStore(t, options(mem))
	set(t, s, "a", "1")
	tx := begin(t, s, nil)
	put(t, tx, "a", "2")
	put(t, tx, "b", "2")
	commit(t, tx) // its locks go without a sync
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	for range 2 {
		next, err := mvcckv.Open(dbDir, options(crashed))
		require.NoError(t, err)
		require.Equal(t, []string{"set a=2", "set b=2"}, holds(t, next))
		require.NoError(t, next.Close())
	}
}

// TestCrashLeavesLock: of a transaction that was open, once somebody has synced.
func TestCrashLeavesLock(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	s := newStore(t, options(mem))
	set(t, s, "a", "1")
	tx := begin(t, s, nil)
	put(t, tx, "a", "2")
	set(t, s, "z", "1")
	crashed := open(t, options(mem.CrashClone(vfs.CrashCloneCfg{})))
	snap := snapshot(t, crashed, export.SnapshotOptions{})
	defer snap.Close()
	c, err := snap.Export(t.Context(), export.Request{})
	require.NoError(t, err)
	require.False(t, c.Next())
	var locked *export.LockedError
	require.ErrorAs(t, c.Err(), &locked)
	require.NoError(t, c.Close())
	require.Equal(t, []string{"set a=1", "set z=1"}, pushed(t, crashed))
}

// TestCrashAfterRead: what was read before a crash is not written below after it.
func TestCrashAfterRead(t *testing.T) {
	t.Parallel()
	mem, now := vfs.NewCrashableMem(), newWall()
	opts := options(mem)
	opts.Now = now.Now
	s := newStore(t, opts)
	set(t, s, "a", "1")
	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	require.Equal(t, []string{"set a=1"}, exported(t, snap, export.Request{}))
	opts = options(mem.CrashClone(vfs.CrashCloneCfg{}))
	now.add(-5e9)
	opts.Now = now.Now
	crashed := open(t, opts)
	require.Positive(t, set(t, crashed, "a", "2").Compare(snap.Timestamp()))
	require.Equal(t, "1", get(t, at(t, crashed, snap.Timestamp()), "a"))
}

// TestCrashDuringCollect: no version that a deletion covered shows again.
func TestCrashDuringCollect(t *testing.T) {
	t.Parallel()
	var end export.Timestamp
	crashes(t, func(s *mvcckv.Store, begin func()) {
		for n := range 5 {
			set(t, s, "a", fmt.Sprint(n))
			set(t, s, "b", fmt.Sprint(n))
		}
		_, err := write(t.Context(), s, func(tx *mvcckv.Tx) error { return tx.Delete(t.Context(), []byte("a")) })
		require.NoError(t, err)
		end = set(t, s, "c", "1")
		begin()
		require.Equal(t, end, collect(t, s, end))
	}, func(s *mvcckv.Store) {
		require.Equal(t, []string{"set b=4", "set c=1"}, scanned(t, at(t, s, end), export.Span{}))
		info, err := s.Info(t.Context())
		require.NoError(t, err)
		if info.Oldest.IsZero() {
			snap := snapshot(t, s, export.SnapshotOptions{})
			require.Len(t, exported(t, snap, export.Request{Revisions: true}), 12, "nothing is gone before it is said")
			require.NoError(t, snap.Close())
		}
		require.Equal(t, end, collect(t, s, end))
		snap := snapshot(t, s, export.SnapshotOptions{})
		defer snap.Close()
		require.Equal(t, []string{"set b=4", "set c=1"}, exported(t, snap, export.Request{Revisions: true}))
	})
}

// TestCrashDuringSnapshot: a name is there when Snapshot has returned, and gone when
// Release has.
func TestCrashDuringSnapshot(t *testing.T) {
	t.Parallel()
	var listed []int
	crashes(t, func(s *mvcckv.Store, begin func()) {
		set(t, s, "a", "1")
		begin()
		snap := snapshot(t, s, export.SnapshotOptions{Name: name})
		require.NoError(t, snap.Close())
		require.NoError(t, s.Flush(t.Context()))
		require.NoError(t, s.Release(t.Context(), name))
	}, func(s *mvcckv.Store) {
		list, err := s.Snapshots(t.Context())
		require.NoError(t, err)
		listed = append(listed, len(list))
		snap := snapshot(t, s, export.SnapshotOptions{Name: name})
		require.Equal(t, []string{"set a=1"}, exported(t, snap, export.Request{}))
		require.NoError(t, snap.Close())
	})
	require.Contains(t, listed, 1)
	require.Zero(t, listed[len(listed)-1])
}

// TestCrashDuringIngest: a load is there as a whole or not at all, and never under the
// former lineage if it brings another.
func TestCrashDuringIngest(t *testing.T) {
	t.Parallel()
	lineages := map[string]int{}
	var former string
	crashes(t, func(s *mvcckv.Store, begin func()) {
		set(t, s, "a", "old")
		set(t, s, "z", "old")
		info, err := s.Info(t.Context())
		require.NoError(t, err)
		former = info.Lineage
		begin()
		load(t, s, export.IngestOptions{Spans: []export.Span{{}}, Replace: true, Lineage: name}, "a=new", "b=new")
	}, func(s *mvcckv.Store) {
		info, err := s.Info(t.Context())
		require.NoError(t, err)
		got := holds(t, s)
		if got[0] == "set a=new" {
			require.Equal(t, []string{"set a=new", "set b=new"}, got)
			require.Equal(t, name, info.Lineage)
			lineages["new"]++
			return
		}
		require.Equal(t, []string{"set a=old", "set z=old"}, got)
		require.Contains(t, []string{former, name}, info.Lineage)
		lineages["old"]++
	})
	require.Positive(t, lineages["old"])
	require.Positive(t, lineages["new"])
}
