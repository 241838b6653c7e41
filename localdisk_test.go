package varve_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/pebblekv"
)

// disk is a file system in memory that may fill up, and that remembers what losing power
// at each of its writes would leave.
type disk struct {
	vfs.FS
	mem *vfs.MemFS

	armed atomic.Bool
	mu    sync.Mutex
	room  int // writes that still fit; below zero: there is always room
	full  bool
	rng   *rand.Rand
	lost  []*vfs.MemFS // after power was lost; nil rng: nobody remembers
}

func newDisk(mem *vfs.MemFS) *disk {
	d := &disk{mem: mem, room: -1}
	d.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(d.inject))
	return d
}

func (d *disk) inject(op errorfs.Op) error {
	if !d.armed.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rng != nil {
		for _, percent := range []int{0, 50, 100} {
			d.lost = append(d.lost, d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: d.rng}))
		}
	}
	if d.room < 0 || !takesRoom(op) {
		return nil
	}
	if d.room > 0 {
		d.room--
		return nil
	}
	d.full = true
	return syscall.ENOSPC
}

// takesRoom leaves out the log and the manifest of a database, where Pebble ends the
// process rather than go on.
func takesRoom(op errorfs.Op) bool {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpLink, errorfs.OpFileWrite, errorfs.OpMkdirAll:
		return strings.HasSuffix(op.Path, ".sst") || strings.Contains(op.Path, "varve-") &&
			!strings.HasSuffix(op.Path, ".log") && !strings.Contains(op.Path, "MANIFEST")
	}
	return false
}

// bedstead is a kind of place on a disk to restore to.
type bedstead struct {
	name  string
	make  func(t *testing.T, fs vfs.FS)                               // what is there before
	store func(t *testing.T, fs vfs.FS) (s export.Store, done func()) // to restore into
}

func onDisk(fs vfs.FS) *pebble.Options {
	return &pebble.Options{FS: fs, Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest}
}

func openOn(t *testing.T, fs vfs.FS) (*pebble.DB, *pebblekv.Store) {
	t.Helper()
	db, store, err := pebblekv.Open("/db", onDisk(fs), nil)
	require.NoError(t, err)
	return db, store
}

func bedsteads() []bedstead {
	return []bedstead{
		{"a directory", func(*testing.T, vfs.FS) {}, func(_ *testing.T, fs vfs.FS) (export.Store, func()) {
			return pebblekv.Dir("/db", &pebblekv.Options{Pebble: onDisk(fs)}), func() {}
		}},
		{"an open database", func(t *testing.T, fs vfs.FS) {
			db, _ := openOn(t, fs)
			require.NoError(t, db.Close())
		}, func(t *testing.T, fs vfs.FS) (export.Store, func()) {
			db, store := openOn(t, fs)
			return store, func() { require.NoError(t, db.Close()) }
		}},
	}
}

// contentOn is all that a database on the disk holds. There may be no database.
func contentOn(t *testing.T, fs vfs.FS) []export.Entry {
	t.Helper()
	if _, err := fs.Stat("/db"); err != nil {
		return nil
	}
	db, store := openOn(t, fs)
	defer func() { require.NoError(t, db.Close()) }()
	snapshot, err := store.Snapshot(t.Context(), export.SnapshotOptions{})
	require.NoError(t, err)
	all, err := kvtest.Collect(t.Context(), snapshot, export.Request{})
	require.NoError(t, err)
	require.NoError(t, snapshot.Close())
	return kvtest.Canonical(nil, kvtest.Timeless(all))
}

// keptChain is a chain to restore.
func keptChain(t *testing.T) *scene {
	s := newScene(t, varve.BackupOptions{})
	require.NoError(t, s.attempt(t.Context()))
	s.opts.Into = varve.Latest
	s.change(1)
	require.NoError(t, s.attempt(t.Context()))
	return s
}

func (s *scene) restoreTo(store export.Store) error {
	_, err := s.collection().Restore(s.Context(), varve.Cluster(store), &varve.RestoreOptions{From: s.last.ID, Concurrency: 1})
	return err
}

// TestDiskFillsUp: whichever write of a restore finds no room, nothing shows, the reason is
// told, and the same restore succeeds when there is room again.
func TestDiskFillsUp(t *testing.T) {
	t.Parallel()
	for _, b := range bedsteads() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := keptChain(t)
			for n := 0; ; n++ {
				d := newDisk(vfs.NewMem())
				b.make(t, d)
				store, done := b.store(t, d)
				d.room = n
				d.armed.Store(true)
				err := s.restoreTo(store)
				d.armed.Store(false)
				if !d.full {
					require.NoError(t, err)
					done()
					require.Equal(t, s.states[s.last.ID].entries, contentOn(t, d.mem))
					require.Greater(t, n, 5)
					t.Logf("%d writes", n)
					return
				}
				if err != nil {
					require.ErrorIs(t, err, syscall.ENOSPC, "write %d", n)
					done()
					require.Empty(t, contentOn(t, d.mem), "write %d", n)
					store, done = b.store(t, d)
					require.NoError(t, s.restoreTo(store), "after write %d", n)
				}
				done()
				require.Equal(t, s.states[s.last.ID].entries, contentOn(t, d.mem), "write %d", n)
			}
		})
	}
}

// TestPowerIsLost at each write of a restore: then all of it is there, or nothing, and the
// same restore succeeds.
func TestPowerIsLost(t *testing.T) {
	t.Parallel()
	for _, b := range bedsteads() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			s := keptChain(t)
			want := s.states[s.last.ID].entries
			d := newDisk(vfs.NewCrashableMem())
			b.make(t, d)
			store, done := b.store(t, d)
			d.rng = rand.New(rand.NewPCG(1, 1))
			d.armed.Store(true)
			require.NoError(t, s.restoreTo(store))
			d.armed.Store(false)
			d.mu.Lock() // a compaction may still write
			lost := append(d.lost, d.mem.CrashClone(vfs.CrashCloneCfg{}))
			d.mu.Unlock()
			done()
			found := map[bool]int{}
			for i, fs := range lost {
				got := contentOn(t, fs)
				found[got != nil]++
				if got != nil {
					require.Equal(t, want, got, "crash %d", i)
					continue
				}
				if i%5 == 0 {
					again, done := b.store(t, fs)
					require.NoError(t, s.restoreTo(again), "crash %d", i)
					done()
					require.Equal(t, want, contentOn(t, fs), "crash %d", i)
				}
			}
			require.Equal(t, want, contentOn(t, lost[len(lost)-1]), "what Restore has returned is durable")
			require.Positive(t, found[false])
			t.Logf("%d crashes: %d left nothing, %d all of it", len(lost), found[false], found[true])
		})
	}
}
