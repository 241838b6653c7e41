package pebblekv_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

// BenchmarkScan compares a cursor with a plain iterator over a checkpoint of the
// same database, opened for reading with a cache of the same size. The live
// database is settled, so that no compaction runs beside them.
func BenchmarkScan(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "db")
	db, store, err := pebblekv.Open(dir, &pebble.Options{Logger: quiet{b}, FormatMajorVersion: pebble.FormatNewest}, nil)
	require.NoError(b, err)
	defer db.Close()
	size := fillBench(b, db, 300<<20)
	require.NoError(b, db.Compact(b.Context(), []byte("0"), []byte("g"), false))
	require.NoError(b, db.Checkpoint(dir+"-plain"))
	plain, err := pebble.Open(dir+"-plain", &pebble.Options{Logger: quiet{b}, ReadOnly: true, CacheSize: 16 << 20})
	require.NoError(b, err)
	defer plain.Close()
	s, err := store.Snapshot(b.Context(), export.SnapshotOptions{})
	require.NoError(b, err)
	defer s.Close()

	b.Run("iterator", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			it, err := plain.NewIter(nil)
			require.NoError(b, err)
			var n int
			for ok := it.First(); ok; ok = it.Next() {
				n += len(it.Key()) + len(it.Value())
			}
			require.NoError(b, it.Close())
			require.EqualValues(b, size, n)
		}
	})
	b.Run("cursor", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			cur, err := s.Export(b.Context(), export.Request{})
			require.NoError(b, err)
			var n int64
			for cur.Next() {
				n += cur.Entry().Size()
			}
			require.NoError(b, cur.Close())
			require.Equal(b, size, n)
		}
	})
}

func fillBench(b *testing.B, db *pebble.DB, size int) int64 {
	rng := rand.New(rand.NewPCG(1, 1))
	var total int64
	batch := db.NewBatch()
	for total < int64(size) {
		key, value := fmt.Appendf(nil, "%016x", rng.Uint64()), fmt.Appendf(nil, "%0100d", rng.Uint64())
		require.NoError(b, batch.Set(key, value, nil))
		total += int64(len(key) + len(value))
		if batch.Len() > 1<<20 {
			require.NoError(b, batch.Commit(pebble.NoSync))
			batch = db.NewBatch()
		}
	}
	require.NoError(b, batch.Commit(pebble.NoSync))
	require.NoError(b, db.Flush())
	return total
}

// BenchmarkLoad measures entries into tables, fsync included.
func BenchmarkLoad(b *testing.B) {
	const n = 100_000
	e := export.Entry{Kind: export.Set, Value: make([]byte, 100)}
	b.SetBytes(n * 116)
	b.ReportAllocs()
	for b.Loop() {
		in, err := pebblekv.Dir(filepath.Join(b.TempDir(), "db"), &pebblekv.Options{Pebble: &pebble.Options{Logger: quiet{b}}}).
			Ingest(b.Context(), export.IngestOptions{Name: "1", Spans: []export.Span{{}}})
		require.NoError(b, err)
		l, err := in.Load(b.Context(), export.Span{})
		require.NoError(b, err)
		for i := range n {
			e.Key = fmt.Appendf(e.Key[:0], "%016d", i)
			require.NoError(b, l.Add(&e))
		}
		require.NoError(b, l.Finish())
		require.NoError(b, in.Commit(b.Context()))
	}
}
