package varve_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/dirblob"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// The benchmarks compare varve with the least that anybody could do, on the same
// data, in turn, in one run: only their ratios mean something on a shared machine.
//
//	go test -run '^$' -bench 'Backup|Restore' -benchtime 1x -bench.size 1000 .
var (
	benchMB     = flag.Int64("bench.size", 1000, "logical size of the benchmark databases in MB")
	benchRounds = flag.Int("bench.rounds", 3, "rounds of which the median counts")
	benchDir    = flag.String("bench.dir", "", "where to keep the databases; empty: a temporary folder")
)

// dataset is a kind of rows, and of database.
type dataset struct {
	name      string
	value     func(rng *rand.Rand, buf []byte) []byte
	bytes     int64 // of a row
	plain     bool  // its tables are not compressed
	compacted bool  // all of it is in the bottom level
	cache     int64 // for blocks, with small memtables, which take of it; 0: the default
}

var datasets = []dataset{
	{name: "text100", value: textValue, bytes: 116},
	{name: "random1k", value: randomValue, bytes: 16 + 1024},
}

var words = [...]string{"account", "balance", "customer", "delivery", "employee", "forward", "general", "history", "invoice", "journal",
	"kingdom", "library", "machine", "nothing", "october", "payment", "quarter", "receipt", "storage", "traffic"}

// textValue is 100 bytes: 20 of noise and words.
func textValue(rng *rand.Rand, buf []byte) []byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	buf = buf[:0]
	for range 20 {
		buf = append(buf, digits[rng.IntN(len(digits))])
	}
	for len(buf) < 100 {
		buf = append(append(buf, ' '), words[rng.IntN(len(words))]...)
	}
	return buf[:100]
}

func randomValue(rng *rand.Rand, buf []byte) []byte {
	buf = buf[:0]
	for range 128 {
		buf = binary.LittleEndian.AppendUint64(buf, rng.Uint64())
	}
	return buf
}

func (d dataset) rows() int64 { return *benchMB * 1e6 / d.bytes }

// tableDatasets are databases of tables that are worth to be copied.
var tableDatasets = []dataset{
	{name: "text100-plain", value: textValue, bytes: 116, plain: true},
	{name: "text100-compacted", value: textValue, bytes: 116, plain: true, compacted: true},
	{name: "random1k-compacted", value: randomValue, bytes: 16 + 1024, plain: true, compacted: true},
}

func pebbleOptions() *pebble.Options {
	return &pebble.Options{Logger: silent{}, MemTableSize: 64 << 20}
}

func (d dataset) options() *pebble.Options {
	o := pebbleOptions()
	if d.cache > 0 {
		o.MemTableSize, o.CacheSize = 4<<20, d.cache+8<<20
	}
	if d.plain {
		o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	}
	return o
}

type silent struct{ pebble.Logger }

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}

// open is the database of the dataset, loaded in random order of keys and settled.
func (d dataset) open(b *testing.B) (*pebble.DB, *pebblekv.Store) {
	b.Helper()
	root := *benchDir
	if root == "" {
		root = b.TempDir()
	}
	dir := filepath.Join(root, fmt.Sprintf("%s-%d", d.name, *benchMB))
	_, err := os.Stat(dir)
	fresh := os.IsNotExist(err)
	db, store, err := pebblekv.Open(dir, d.options(), nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	if fresh {
		d.load(b, db)
	}
	if fresh && d.compacted {
		require.NoError(b, db.Compact(b.Context(), []byte("0"), []byte("g"), true))
	}
	return db, store
}

func (d dataset) load(b *testing.B, db *pebble.DB) {
	rng := rand.New(rand.NewPCG(1, 2))
	batch := db.NewBatch()
	var value []byte
	for i := range d.rows() {
		key := fmt.Appendf(nil, "%016x", uint64(i)*0x9e3779b97f4a7c15)
		value = d.value(rng, value)
		if err := batch.Set(key, value, nil); err != nil {
			b.Fatal(err)
		}
		if batch.Len() > 4<<20 {
			require.NoError(b, batch.Commit(pebble.NoSync))
			batch = db.NewBatch()
		}
	}
	require.NoError(b, batch.Commit(pebble.Sync))
	require.NoError(b, db.Flush())
	for quiet := 0; quiet < 10; quiet++ { // settled: nothing was compacted for a second
		if db.Metrics().Compact.NumInProgress > 0 {
			quiet = 0
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// scan reads everything with a plain iterator.
func scan(b *testing.B, db *pebble.DB) (rows int64) {
	it, err := db.NewIter(nil)
	require.NoError(b, err)
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			b.Fatal(err)
		}
		rows += int64(len(v) & 1)
	}
	require.NoError(b, it.Close())
	return rows
}

// plainPipeline does what a backup must in one goroutine: scan, digest, table,
// frames, hash, and the same kind of directory.
func plainPipeline(b *testing.B, db *pebble.DB, codec frame.Codec) {
	dir := b.TempDir()
	blobs, err := dirblob.Open(dir, nil)
	require.NoError(b, err)
	bucket := objectio.New(blobs, "")
	w, err := sink.NewWriter(b.Context(), export.Span{}, sink.Options{
		Bucket: bucket, Compression: codec, TargetBytes: 128 << 20, NoDigest: true,
		Name: func(n int) string { return fmt.Sprintf("data/%d.sst", n) },
	})
	require.NoError(b, err)
	it, err := db.NewIter(nil)
	require.NoError(b, err)
	var d digest.Digest
	var h digest.Hasher
	e := export.Entry{Kind: export.Set}
	for ok := it.First(); ok; ok = it.Next() {
		e.Key = it.Key()
		if e.Value, err = it.ValueAndErr(); err != nil {
			b.Fatal(err)
		}
		h.Add(&d, &e)
		if err := w.Add(&e); err != nil {
			b.Fatal(err)
		}
	}
	_, err = w.Finish()
	require.NoError(b, err)
	require.NoError(b, it.Close())
	require.NoError(b, blobs.Close())
	require.NoError(b, os.RemoveAll(dir))
}

func backupTo(b *testing.B, store export.Store, dir string, opts varve.BackupOptions) *varve.Layer {
	layer, err := varve.Backup(b.Context(), varve.Cluster(store), "file://"+dir, &opts)
	require.NoError(b, err)
	return layer
}

// timed is the wall time of f.
func timed(f func()) time.Duration {
	begun := time.Now()
	f()
	return time.Since(begun)
}

func median(d []time.Duration) time.Duration {
	s := append([]time.Duration(nil), d...)
	for i := range s {
		for j := i; j > 0 && s[j] < s[j-1]; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
	return s[len(s)/2]
}

// peak watches the process's memory while f runs and returns by how much it grew
// above what it cannot do without.
func peak(f func()) (bytes int64) {
	debug.FreeOSMemory()
	base := residentBytes()
	var top atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			top.Store(max(top.Load(), residentBytes()))
			time.Sleep(5 * time.Millisecond)
		}
	})
	f()
	stop()
	wg.Wait()
	return top.Load() - base
}

// residentBytes is what the kernel says the process holds.
func residentBytes() int64 {
	f, err := os.Open("/proc/self/statm")
	if err != nil {
		return 0
	}
	defer f.Close()
	var total, resident int64
	if _, err := fmt.Fscan(io.LimitReader(f, 128), &total, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// BenchmarkBackup compares a full backup with a bare scan and with a plain
// single-threaded pipeline.
func BenchmarkBackup(b *testing.B) {
	if testing.Short() {
		b.Skip("builds databases of a gigabyte")
	}
	for _, d := range datasets {
		b.Run(d.name, func(b *testing.B) {
			db, store := d.open(b)
			scan(b, db) // warm
			var bare, plain, full []time.Duration
			var layer *varve.Layer
			var mallocs uint64
			spare := filepath.Join(b.TempDir(), "collection")
			memory := peak(func() { backupTo(b, store, spare, varve.BackupOptions{}) })
			require.NoError(b, os.RemoveAll(spare))
			for b.Loop() {
				for range *benchRounds {
					bare = append(bare, timed(func() { scan(b, db) }))
					plain = append(plain, timed(func() { plainPipeline(b, db, frame.Zstd) }))
					dir := filepath.Join(b.TempDir(), "collection")
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					full = append(full, timed(func() { layer = backupTo(b, store, dir, varve.BackupOptions{}) }))
					runtime.ReadMemStats(&after)
					mallocs = after.Mallocs - before.Mallocs
					require.NoError(b, os.RemoveAll(dir))
				}
			}
			f := median(full)
			b.ReportMetric(float64(layer.Stats.LogicalBytes)/1e6/f.Seconds(), "MB/s")
			b.ReportMetric(f.Seconds()/median(plain).Seconds(), "×pipeline")
			b.ReportMetric(f.Seconds()/median(bare).Seconds(), "×scan")
			b.ReportMetric(float64(layer.Stats.StoredBytes)/float64(layer.Stats.LogicalBytes), "stored/logical")
			b.ReportMetric(float64(mallocs)/float64(layer.Stats.Keys), "allocs/key")
			b.ReportMetric(float64(memory)/(1<<20), "peak-MiB")
			b.ReportMetric(float64(layer.Stats.Requests), "requests")
		})
	}
}

// BenchmarkRestore compares a restore into a directory with writing and syncing
// the same plain tables.
func BenchmarkRestore(b *testing.B) {
	if testing.Short() {
		b.Skip("builds databases of a gigabyte")
	}
	for _, d := range datasets {
		b.Run(d.name, func(b *testing.B) {
			_, store := d.open(b)
			dir := filepath.Join(b.TempDir(), "collection")
			layer := backupTo(b, store, dir, varve.BackupOptions{})
			plain := plainTables(b, dir)
			restoreOnce := func() time.Duration {
				to := filepath.Join(b.TempDir(), "db")
				defer func() { require.NoError(b, os.RemoveAll(to)) }()
				return timed(func() {
					_, err := varve.Restore(b.Context(), varve.Cluster(pebblekv.Dir(to, &pebblekv.Options{Pebble: pebbleOptions()})), "file://"+dir, nil)
					require.NoError(b, err)
				})
			}
			memory := peak(func() { restoreOnce() })
			var write, restore []time.Duration
			for b.Loop() {
				for range *benchRounds {
					write = append(write, timed(func() { writeSynced(b, plain) }))
					restore = append(restore, restoreOnce())
				}
			}
			r := median(restore)
			b.ReportMetric(float64(layer.Stats.LogicalBytes)/1e6/r.Seconds(), "MB/s")
			b.ReportMetric(r.Seconds()/median(write).Seconds(), "×write")
			b.ReportMetric(float64(memory)/(1<<20), "peak-MiB")
		})
	}
}

// plainTables are the tables that a restore of the collection puts into a database.
func plainTables(b *testing.B, collection string) (tables [][]byte) {
	dir := filepath.Join(b.TempDir(), "plain")
	_, err := varve.Restore(b.Context(), varve.Cluster(pebblekv.Dir(dir, &pebblekv.Options{Pebble: pebbleOptions()})), "file://"+collection, nil)
	require.NoError(b, err)
	files, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	require.NoError(b, err)
	for _, f := range files {
		t, err := os.ReadFile(f)
		require.NoError(b, err)
		tables = append(tables, t)
	}
	require.NoError(b, os.RemoveAll(dir))
	return tables
}

// writeSynced writes tables, each synced, one after the other.
func writeSynced(b *testing.B, tables [][]byte) {
	dir := b.TempDir()
	for i, t := range tables {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		require.NoError(b, err)
		_, err = f.Write(t)
		require.NoError(b, err)
		require.NoError(b, f.Sync())
		require.NoError(b, f.Close())
	}
	require.NoError(b, os.RemoveAll(dir))
}

// copyFiles stores the files of a checkpoint with their hashes, one after the other on
// as many goroutines as there are processors, and syncs them: nothing that backs a
// database up, and can be believed, does less.
func copyFiles(b *testing.B, db *pebble.DB) {
	from, to := filepath.Join(b.TempDir(), "checkpoint"), b.TempDir()
	require.NoError(b, db.Checkpoint(from))
	files, err := os.ReadDir(from)
	require.NoError(b, err)
	g := new(errgroup.Group)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, f := range files {
		g.Go(func() error {
			src, err := os.Open(filepath.Join(from, f.Name()))
			if err != nil {
				return err
			}
			dst, err := os.Create(filepath.Join(to, f.Name()))
			if err != nil {
				return err
			}
			h := blake3.New()
			_, err = io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(dst, h)}, struct{ io.Reader }{src}, make([]byte, 1<<20))
			return errors.Join(err, dst.Sync(), dst.Close(), src.Close())
		})
	}
	require.NoError(b, g.Wait())
	require.NoError(b, errors.Join(os.RemoveAll(from), os.RemoveAll(to)))
}

// BenchmarkTables compares fulls that copy tables with a copy of all files.
func BenchmarkTables(b *testing.B) {
	if testing.Short() {
		b.Skip("builds databases of a gigabyte")
	}
	for _, d := range tableDatasets {
		b.Run(d.name, func(b *testing.B) {
			db, store := d.open(b)
			scan(b, db) // warm
			var bare []time.Duration
			kinds := []varve.BackupOptions{
				{Compression: varve.CompressNone, NoDigest: true, NoBase: true}, {Compression: varve.CompressNone, NoBase: true}, {NoBase: true},
			}
			took, memory := make([][]time.Duration, len(kinds)), int64(0)
			layers := make([]*varve.Layer, len(kinds))
			for b.Loop() {
				for range *benchRounds {
					bare = append(bare, timed(func() { copyFiles(b, db) }))
					for i, opts := range kinds {
						dir := filepath.Join(b.TempDir(), "collection")
						memory = max(memory, peak(func() {
							took[i] = append(took[i], timed(func() { layers[i] = backupTo(b, store, dir, opts) }))
						}))
						require.NoError(b, os.RemoveAll(dir))
					}
				}
			}
			least := median(bare).Seconds()
			for i, name := range []string{"undigested", "digested", "zstd"} {
				b.ReportMetric(median(took[i]).Seconds()/least, "×copy-"+name)
				b.ReportMetric(float64(layers[i].Stats.StoredBytes)/1e6, "MB-"+name)
			}
			b.ReportMetric(least, "copy-s")
			b.ReportMetric(float64(memory)/(1<<20), "peak-MiB")
		})
	}
}
