package varve_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

// change is a way to change a database of the text dataset, and what the store made
// of it before the backup.
type change struct {
	name   string
	rows   func(rng *rand.Rand, rows int64) (first, step int64) // one in a hundred, at random or in a row
	settle func(b *testing.B, db *pebble.DB)
}

var changesOfRows = []change{
	{name: "nothing"},
	{name: "flushed", rows: scattered, settle: func(b *testing.B, db *pebble.DB) { require.NoError(b, db.Flush()) }},
	{name: "settled", rows: scattered, settle: settled},
	{name: "compacted", rows: scattered, settle: func(b *testing.B, db *pebble.DB) {
		require.NoError(b, db.Compact(context.Background(), []byte("0"), []byte("g"), true))
	}},
	{name: "clustered", rows: clustered, settle: func(b *testing.B, db *pebble.DB) { require.NoError(b, db.Flush()) }},
}

func scattered(rng *rand.Rand, _ int64) (first, step int64) { return rng.Int64N(100), 100 }
func clustered(rng *rand.Rand, rows int64) (first, step int64) {
	return rng.Int64N(rows - rows/100), 1
}

func settled(b *testing.B, db *pebble.DB) {
	require.NoError(b, db.Flush())
	for quiet := 0; quiet < 10; quiet++ { // nothing was compacted for a second
		if db.Metrics().Compact.NumInProgress > 0 {
			quiet = 0
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// update writes new values to one row in a hundred, and returns their logical bytes.
// Keys are those of load: clustered rows are neighbours by key.
func (d dataset) update(b *testing.B, db *pebble.DB, c change, rng *rand.Rand) (logical int64) {
	if c.rows == nil {
		return 0
	}
	keys := d.keysOf(b, db, c, rng)
	batch := db.NewBatch()
	var value []byte
	for _, key := range keys {
		value = d.value(rng, value)
		require.NoError(b, batch.Set(key, value, nil))
		logical += int64(len(key) + len(value))
	}
	require.NoError(b, batch.Commit(pebble.Sync))
	c.settle(b, db)
	return logical
}

func (d dataset) keysOf(b *testing.B, db *pebble.DB, c change, rng *rand.Rand) (keys [][]byte) {
	first, step := c.rows(rng, d.rows())
	it, err := db.NewIter(nil)
	require.NoError(b, err)
	n := int64(0)
	for ok := it.First(); ok && int64(len(keys)) < d.rows()/100; ok = it.Next() {
		if n >= first && (n-first)%step == 0 {
			keys = append(keys, append([]byte(nil), it.Key()...))
		}
		n++
	}
	require.NoError(b, it.Close())
	return keys
}

// BenchmarkIncremental compares incrementals of one changed row in a hundred with a
// bare scan of the database, with digests and without.
func BenchmarkIncremental(b *testing.B) {
	if testing.Short() {
		b.Skip("builds databases of a gigabyte")
	}
	d := datasets[0]
	db, store := d.open(b)
	with, without := filepath.Join(b.TempDir(), "with"), filepath.Join(b.TempDir(), "without")
	backupTo(b, store, with, varve.BackupOptions{})
	backupTo(b, store, without, varve.BackupOptions{NoDigest: true})
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0)) // a database that is kept must change each time
	for _, c := range changesOfRows {
		b.Run(c.name, func(b *testing.B) {
			var bare, digested, undigested []time.Duration
			var layer *varve.Layer
			var logical int64
			for b.Loop() {
				for range *benchRounds {
					digest := func() { layer = backupTo(b, store, with, varve.BackupOptions{Into: varve.Latest}) }
					pass := func() { backupTo(b, store, without, varve.BackupOptions{Into: varve.Latest, NoDigest: true}) }
					scan(b, db) // warm
					bare = append(bare, timed(func() { scan(b, db) }))
					settled(b, db) // scans, too, make Pebble compact: that is not what is measured
					digest()
					pass()
					logical = d.update(b, db, c, rng)
					digested, undigested = append(digested, timed(digest)), append(undigested, timed(pass))
					require.Equal(b, varve.Checkpoints, layer.Stats.Changes)
				}
			}
			b.ReportMetric(median(digested).Seconds()/median(bare).Seconds(), "×scan")
			b.ReportMetric(median(undigested).Seconds()/median(bare).Seconds(), "×scan-undigested")
			b.ReportMetric(median(digested).Seconds()*1000, "ms")
			b.ReportMetric(float64(layer.Stats.Requests), "requests")
			if logical > 0 {
				b.ReportMetric(float64(layer.Stats.StoredBytes)/float64(logical), "stored/changed")
			}
		})
	}
}

// BenchmarkComparison compares an incremental without a base, after one row in a
// hundred changed, with a bare scan.
func BenchmarkComparison(b *testing.B) {
	if testing.Short() {
		b.Skip("builds databases of a gigabyte")
	}
	d := datasets[0]
	db, store := d.open(b)
	dir := filepath.Join(b.TempDir(), "collection")
	backupTo(b, store, dir, varve.BackupOptions{NoBase: true})
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for _, c := range []change{changesOfRows[0], changesOfRows[4], changesOfRows[1]} {
		b.Run(c.name, func(b *testing.B) {
			var bare, compared []time.Duration
			for b.Loop() {
				for range *benchRounds {
					d.update(b, db, c, rng)
					scan(b, db)
					bare = append(bare, timed(func() { scan(b, db) }))
					compared = append(compared, timed(func() { backupTo(b, store, dir, varve.BackupOptions{Into: varve.Latest, NoBase: true}) }))
				}
			}
			b.ReportMetric(median(compared).Seconds()/median(bare).Seconds(), "×scan")
		})
	}
}

// BenchmarkRestoreChain compares restoring a full and ten incrementals into a
// directory with restoring a full of the same state.
func BenchmarkRestoreChain(b *testing.B) {
	if testing.Short() {
		b.Skip("builds databases of a gigabyte")
	}
	d := datasets[0]
	db, store := d.open(b)
	chain, fresh := filepath.Join(b.TempDir(), "chain"), filepath.Join(b.TempDir(), "fresh")
	backupTo(b, store, chain, varve.BackupOptions{})
	rng := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for range 10 {
		d.update(b, db, changesOfRows[1], rng)
		backupTo(b, store, chain, varve.BackupOptions{Into: varve.Latest})
	}
	backupTo(b, store, fresh, varve.BackupOptions{})
	restore := func(dir string) time.Duration {
		to := filepath.Join(b.TempDir(), "db")
		defer func() { require.NoError(b, os.RemoveAll(to)) }()
		return timed(func() {
			_, err := varve.Restore(b.Context(), varve.Cluster(pebblekv.Dir(to, &pebblekv.Options{Pebble: pebbleOptions()})), "file://"+dir, nil)
			require.NoError(b, err)
		})
	}
	restore(fresh)
	var whole, layered []time.Duration
	for b.Loop() {
		for range *benchRounds {
			whole = append(whole, restore(fresh))
			layered = append(layered, restore(chain))
		}
	}
	b.ReportMetric(median(layered).Seconds()/median(whole).Seconds(), "×fresh")
	b.ReportMetric(median(layered).Seconds()*1000, "ms")
}
