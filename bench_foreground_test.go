package varve_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

// foreground is a live database and who uses it: readers of a tenth of its keys,
// which its block cache has room for, and writers anywhere.
type foreground struct {
	dataset
	db    *pebble.DB
	store *pebblekv.Store
}

// stream is operations at a steady rate. Each is due at its moment, whatever became
// of those before, and late by the time from then until it is done: one that stalls
// makes those behind it late, as it would make clients wait.
type stream struct {
	name  string
	every time.Duration
	do    func(f *foreground, rng *rand.Rand) error
}

var streams = [...]stream{
	{name: "get", every: time.Second / 2000, do: (*foreground).get},
	{name: "set", every: time.Second / 2000, do: func(f *foreground, rng *rand.Rand) error { return f.set(rng, pebble.NoSync) }},
	{name: "sync", every: time.Second / 50, do: func(f *foreground, rng *rand.Rand) error { return f.set(rng, pebble.Sync) }},
}

// key is that of a row as load makes it.
func (d dataset) key(row int64) uint64 { return uint64(row) * 0x9e3779b97f4a7c15 }

func (f *foreground) get(rng *rand.Rand) error {
	key := uint64(math.MaxUint64)
	for key >= math.MaxUint64/10 {
		key = f.key(rng.Int64N(f.rows()))
	}
	_, closer, err := f.db.Get(fmt.Appendf(nil, "%016x", key))
	if err != nil {
		return err
	}
	return closer.Close()
}

func (f *foreground) set(rng *rand.Rand, sync *pebble.WriteOptions) error {
	return f.db.Set(fmt.Appendf(nil, "%016x", f.key(rng.Int64N(f.rows()))), f.value(rng, nil), sync)
}

// run does the operations until ctx ends.
func (s stream) run(ctx context.Context, f *foreground) (late []time.Duration, err error) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	late = make([]time.Duration, 0, 1<<16)
	for due := time.Now(); ctx.Err() == nil; due = due.Add(s.every) {
		time.Sleep(time.Until(due))
		if err := s.do(f, rng); err != nil {
			return nil, err
		}
		late = append(late, time.Since(due))
	}
	return late, nil
}

// atOnce runs task beside all streams, again until they have run for a window, and
// returns by how much their operations were late.
func (f *foreground) atOnce(b *testing.B, task func()) (late [len(streams)][]time.Duration) {
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var g errgroup.Group
	for i, s := range streams {
		g.Go(func() (err error) {
			late[i], err = s.run(ctx, f)
			return err
		})
	}
	const window = 5 * time.Second
	for begun := time.Now(); time.Since(begun) < window; {
		task()
	}
	stop()
	require.NoError(b, g.Wait())
	return late
}

// warm brings the database to where every phase begins: compacted, so that none has to
// for the one before, and with what is read in the cache.
func (f *foreground) warm(b *testing.B) {
	require.NoError(b, f.db.Compact(b.Context(), []byte("0"), []byte("g"), true))
	settled(b, f.db)
	for range 2 { // the cache keeps what was asked for again
		it, err := f.db.NewIter(&pebble.IterOptions{UpperBound: fmt.Appendf(nil, "%016x", uint64(math.MaxUint64/10))})
		require.NoError(b, err)
		for it.First(); it.Valid(); it.Next() {
		}
		require.NoError(b, it.Close())
	}
}

// coldness is how many blocks a thousand reads do not find in the cache.
func (f *foreground) coldness(b *testing.B) float64 {
	before := f.db.Metrics().BlockCache.Misses
	for range 1000 {
		require.NoError(b, f.get(rand.New(rand.NewPCG(rand.Uint64(), 0))))
	}
	return float64(f.db.Metrics().BlockCache.Misses - before)
}

// phase is what runs beside the foreground, and what was seen in each round.
type phase struct {
	name string
	task func()

	late                   [len(streams)][len(quantiles)][]time.Duration
	took                   []time.Duration // of the task, the last in a window
	cold, debt, compaction float64         // the most that a round left
}

var quantiles = [...]struct {
	name string
	of   float64
}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}}

func (p *phase) round(b *testing.B, f *foreground) {
	f.warm(b)
	before := f.db.Metrics()
	var took time.Duration
	late := f.atOnce(b, func() { took = timed(p.task) })
	after := f.db.Metrics()
	p.took = append(p.took, took)
	p.cold = max(p.cold, f.coldness(b))
	p.debt = max(p.debt, float64(after.Compact.EstimatedDebt)/1e6)
	p.compaction = max(p.compaction, float64(after.Compact.Count-before.Compact.Count))
	for i, l := range late {
		slices.Sort(l)
		for j, q := range quantiles {
			p.late[i][j] = append(p.late[i][j], l[int(float64(len(l))*q.of)])
		}
	}
}

// report gives the medians of the rounds, and their ratios to those of idle.
func (p *phase) report(b *testing.B, idle *phase) {
	for b.Loop() { // all was measured before
	}
	b.ReportMetric(0, "ns/op")
	for i, s := range streams {
		for j, q := range quantiles {
			d := median(p.late[i][j])
			b.ReportMetric(float64(d.Microseconds()), s.name+"-"+q.name+"-µs")
			b.ReportMetric(d.Seconds()/median(idle.late[i][j]).Seconds(), "×idle-"+s.name+"-"+q.name)
		}
	}
	b.ReportMetric(median(p.took).Seconds(), "task-s")
	b.ReportMetric(p.cold, "misses/1000gets")
	b.ReportMetric(p.debt, "debt-MB")
	b.ReportMetric(p.compaction, "compactions")
}

// BenchmarkForeground tells how late reads and writes of a live database are while
// nothing else runs, while backups do, and while the simplest export that is
// consistent does. To sleep and to be woken is a part of it in all phases.
//
//	go test -run '^$' -bench Foreground -benchtime 1x -bench.size 100 -bench.rounds 5 .
func BenchmarkForeground(b *testing.B) {
	if testing.Short() {
		b.Skip("builds databases of a gigabyte")
	}
	for _, d := range datasets {
		b.Run(d.name, func(b *testing.B) {
			d.cache = *benchMB * 1e6 / 4
			f := &foreground{dataset: d}
			f.db, f.store = d.open(b)
			phases := f.phases(b)
			for range *benchRounds {
				for _, p := range phases {
					p.round(b, f)
				}
			}
			for _, p := range phases {
				b.Run(p.name, func(b *testing.B) { p.report(b, phases[0]) })
			}
		})
	}
}

func (f *foreground) phases(b *testing.B) []*phase {
	var quarter int64 // of the traffic of a backup that is not paced
	return []*phase{
		{name: "idle", task: func() { time.Sleep(time.Second) }},
		{name: "backup", task: func() {
			s := f.backup(b, varve.BackupOptions{}).Stats
			quarter = int64(float64(s.StoredBytes) / s.Duration.Seconds() / 4)
		}},
		{name: "backup-quarter", task: func() { f.backup(b, varve.BackupOptions{BytesPerSecond: quarter}) }},
		{name: "backup-one", task: func() { f.backup(b, varve.BackupOptions{Concurrency: 1}) }},
		{name: "export", task: func() { exportPlainly(b, f.db) }},
	}
}

// backup takes a full and removes all that it leaves, in the database, too.
func (f *foreground) backup(b *testing.B, opts varve.BackupOptions) *varve.Layer {
	dir := filepath.Join(b.TempDir(), "collection")
	layer := backupTo(b, f.store, dir, opts)
	require.NoError(b, errors.Join(os.RemoveAll(dir), f.store.Release(b.Context(), layer.ID)))
	return layer
}

// exportPlainly writes what a snapshot has into one synced file, in one goroutine.
func exportPlainly(b *testing.B, db *pebble.DB) {
	file, err := os.Create(filepath.Join(b.TempDir(), "export"))
	require.NoError(b, err)
	z, err := zstd.NewWriter(file, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	require.NoError(b, err)
	w := bufio.NewWriterSize(z, 1<<20)
	snapshot := db.NewSnapshot()
	it, err := snapshot.NewIter(nil)
	require.NoError(b, err)
	var row []byte
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			b.Fatal(err)
		}
		row = binary.AppendUvarint(row[:0], uint64(len(it.Key())))
		row = binary.AppendUvarint(append(row, it.Key()...), uint64(len(value)))
		w.Write(append(row, value...)) // its error is Flush's, too
	}
	require.NoError(b, errors.Join(it.Error(), it.Close(), snapshot.Close(), w.Flush(), z.Close(), file.Sync(), file.Close(), os.Remove(file.Name())))
}
