package varve_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/dirblob"
	"github.com/varvekv/varve/internal/faultblob"
)

var soakRounds = flag.Int("soak.rounds", 30, "how many incrementals a database lives through")

// soakStep is how much time passes with each round: 500 of them are twice as long as what is
// kept longest, the records of jobs.
const soakStep = 3 * time.Hour

// soak is a database of constant size that lives for long: it is backed up, its chain
// compacted, its backups expired, verified and restored.
type soak struct {
	testing.TB
	rng    *rand.Rand
	now    time.Time
	dir    string
	db     *pebble.DB
	store  *pebblekv.Store
	bucket *faultblob.Bucket
	c      *varve.Collection

	states map[varve.Timestamp][32]byte // of the database, at the ends of layers
	layer  *varve.Layer                 // the newest
}

// soakSample is what the life costs at one moment.
type soakSample struct {
	round, points, objects, chain int
	storedKB, requests            int64
	heapMB                        float64
	goroutines, handles           int
	snapshots                     int
	pinnedKB, databaseKB          int64
}

const soakKeys = 3000

func newSoak(t testing.TB) *soak {
	s := &soak{
		TB: t, rng: rand.New(rand.NewPCG(7, 7)), now: time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC),
		dir: t.TempDir(), states: map[varve.Timestamp][32]byte{},
	}
	clock := func() time.Time { return s.now }
	path := filepath.Join(s.dir, "db")
	var err error
	s.db, s.store, err = pebblekv.Open(path, &pebble.Options{Logger: quiet{}, MemTableSize: 128 << 10}, &pebblekv.Options{Now: clock})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.db.Close()) })
	under, err := dirblob.Open(filepath.Join(s.dir, "collection"), nil)
	require.NoError(t, err)
	s.bucket = faultblob.New(t, &faultblob.Options{Over: under, Now: clock})
	s.c, err = varve.NewCollection(s.bucket.Open(), &varve.CollectionOptions{Now: clock})
	require.NoError(t, err)
	for i := range soakKeys {
		s.set(i)
	}
	return s
}

func (s *soak) set(i int) {
	value := fmt.Appendf(nil, "%x of %d", s.rng.Uint64(), i)
	require.NoError(s, s.db.Set(fmt.Appendf(nil, "key-%05d", i), value, pebble.NoSync))
}

// live lets time pass.
func (s *soak) live() {
	s.now = s.now.Add(soakStep)
	for range 40 {
		s.set(s.rng.IntN(soakKeys))
	}
	at := s.rng.IntN(soakKeys)
	require.NoError(s, s.db.DeleteRange(fmt.Appendf(nil, "key-%05d", at), fmt.Appendf(nil, "key-%05d", at+5), pebble.NoSync))
	for i := at; i < min(at+5, soakKeys); i++ {
		if s.rng.IntN(2) == 0 {
			s.set(i)
		}
	}
}

// backup takes one and remembers what it must restore.
func (s *soak) backup() {
	opts := &varve.BackupOptions{Into: varve.Latest, Concurrency: 1}
	if s.layer == nil {
		opts.Into = ""
	}
	var err error
	s.layer, err = s.c.Backup(s.Context(), varve.Cluster(s.store), opts)
	require.NoError(s, err)
	s.states[s.layer.End] = stateOfPebble(s, s.db)
}

func stateOfPebble(t testing.TB, db *pebble.DB) (sum [32]byte) {
	h := sha256.New()
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	for it.First(); it.Valid(); it.Next() {
		fmt.Fprintf(h, "%q=%q\n", it.Key(), it.Value())
	}
	require.NoError(t, it.Close())
	h.Sum(sum[:0])
	return sum
}

// compact merges the last incrementals into one, or the whole chain into a full.
func (s *soak) compact(whole bool) {
	opts := &varve.CompactOptions{Concurrency: 1}
	if !whole {
		chain, err := s.c.Resolve(s.Context(), varve.Latest, varve.Timestamp{})
		require.NoError(s, err)
		if n := len(chain.Layers); n > 3 {
			opts.First = chain.Layers[max(1, n-12)].ID
		}
	}
	_, err := s.c.Compact(s.Context(), varve.Latest, opts)
	require.NoError(s, err)
}

func (s *soak) expire() {
	plan, err := s.c.PlanExpire(s.Context(), varve.Policy{KeepWithin: 24 * soakStep, KeepDaily: 12})
	require.NoError(s, err)
	report, err := s.c.Expire(s.Context(), plan)
	require.NoError(s, err)
	require.NoError(s, report.Err())
}

// points are the layers that can be restored.
func (s *soak) points() (out []varve.ExpirePoint) {
	plan, err := s.c.PlanExpire(s.Context(), varve.Policy{KeepLast: 1 << 20})
	require.NoError(s, err)
	for _, pt := range plan.Points {
		if !pt.Retired {
			out = append(out, pt)
		}
	}
	return out
}

// restore restores one of all points into a new database, and compares.
func (s *soak) restore() {
	points := s.points()
	pt := points[s.rng.IntN(len(points))]
	_, err := s.c.Verify(s.Context(), pt.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
	require.NoError(s, err)
	path := filepath.Join(s.dir, "restored")
	_, err = s.c.Restore(s.Context(), varve.Cluster(pebblekv.Dir(path, nil)), &varve.RestoreOptions{From: pt.ID, Concurrency: 1})
	require.NoError(s, err)
	db, err := pebble.Open(path, &pebble.Options{Logger: quiet{}})
	require.NoError(s, err)
	require.Equal(s, s.states[pt.End], stateOfPebble(s, db), pt.Path)
	require.NoError(s, db.Close())
	require.NoError(s, os.RemoveAll(path))
}

// pinned counts what the next backup needs, and what of it the database would have deleted,
// at the worst: all of its tables have just been rewritten.
func (s *soak) pinned() (snapshots int, kb int64) {
	require.NoError(s, s.db.Compact(s.Context(), nil, []byte("l"), false))
	all, err := s.store.Snapshots(s.Context())
	require.NoError(s, err)
	for _, n := range all {
		kb += n.PinnedBytes >> 10
	}
	return len(all), kb
}

func (s *soak) sample(round int) soakSample {
	out := soakSample{round: round, requests: s.layer.Stats.Requests, goroutines: runtime.NumGoroutine()}
	out.points = len(s.points())
	chain, err := s.c.Resolve(s.Context(), varve.Latest, varve.Timestamp{})
	require.NoError(s, err)
	out.chain = len(chain.Layers)
	objects, kb := treeSize(s, filepath.Join(s.dir, "collection"))
	out.objects, out.storedKB = objects, kb
	_, out.databaseKB = treeSize(s, filepath.Join(s.dir, "db"))
	fds, err := os.ReadDir("/proc/self/fd")
	if err == nil { // elsewhere there is no such folder
		out.handles = len(fds)
	}
	s.bucket.Reset()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	out.heapMB = float64(m.HeapAlloc) / (1 << 20)
	return out
}

// treeSize counts the files of a folder, and their kilobytes.
func treeSize(t testing.TB, dir string) (files int, kb int64) {
	var size int64
	require.NoError(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files, size = files+1, size+info.Size()
		}
		return err
	}))
	return files, size >> 10
}

// TestSoak: what backups cost does not grow with how many there were, and all of them that
// a policy keeps can be restored at any time.
func TestSoak(t *testing.T) {
	s := newSoak(t)
	t.Log("round points chain objects stored requests  heap goroutines handles snapshots pinned database")
	var samples []soakSample
	every := max(24, *soakRounds/10/48*48) // whole rounds of what comes around
	for round := range *soakRounds {
		s.live()
		sampled := round%every == every-1
		var snapshots int
		var pinnedKB int64
		if sampled {
			snapshots, pinnedKB = s.pinned()
		}
		s.backup()
		if round%12 == 11 {
			s.compact(round%48 == 47)
		}
		if round%24 == 23 {
			s.expire()
		}
		if round%10 == 9 {
			s.restore()
		}
		s.bucket.Reset()
		if sampled {
			n := s.sample(round + 1)
			n.snapshots, n.pinnedKB = snapshots, pinnedKB
			require.Positive(t, n.pinnedKB, "a snapshot pins nothing")
			samples = append(samples, n)
			t.Logf("%5d %6d %5d %7d %5dK %8d %4.1fM %10d %7d %9d %5dK %7dK", n.round, n.points, n.chain, n.objects, n.storedKB,
				n.requests, n.heapMB, n.goroutines, n.handles, n.snapshots, n.pinnedKB, n.databaseKB)
		}
	}
	requireFlat(t, samples)
}

// requireFlat compares the last samples with those when the oldest of all had begun to go.
func requireFlat(t testing.TB, samples []soakSample) {
	if len(samples) < 10 || samples[len(samples)-1].round < 300 {
		return // everything is still growing
	}
	peak := func(of []soakSample, what func(soakSample) float64) (high float64) {
		for _, n := range of {
			high = max(high, what(n))
		}
		return high
	}
	for name, what := range map[string]func(soakSample) float64{
		"points":   func(n soakSample) float64 { return float64(n.points) },
		"chain":    func(n soakSample) float64 { return float64(n.chain) },
		"objects":  func(n soakSample) float64 { return float64(n.objects) },
		"stored":   func(n soakSample) float64 { return float64(n.storedKB) },
		"requests": func(n soakSample) float64 { return float64(n.requests) },
		"heap":     func(n soakSample) float64 { return n.heapMB },
		"routines": func(n soakSample) float64 { return float64(n.goroutines) },
		"handles":  func(n soakSample) float64 { return float64(n.handles) },
		"pinned":   func(n soakSample) float64 { return float64(n.pinnedKB) },
		"database": func(n soakSample) float64 { return float64(n.databaseKB) },
	} {
		early, late := peak(samples[3:6], what), peak(samples[len(samples)-3:], what)
		require.LessOrEqual(t, late, early*1.3+8, name)
	}
}
