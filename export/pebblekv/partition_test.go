package pebblekv_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

// TestPartitionCovers is E2 for random data: pieces follow one another, cover the
// span, are cut at bare prefixes, and say together what the span says.
func TestPartitionCovers(t *testing.T) {
	for _, f := range flavors() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, f.options())
			rng := rand.New(rand.NewPCG(5, 6))
			churn(t, r, f, rng, 3000, 400)
			s := r.snapshot(t, export.SnapshotOptions{})
			defer s.Close()
			info, err := r.store.Info(t.Context())
			require.NoError(t, err)
			for _, span := range []export.Span{{}, {Start: f.prefix(40), End: f.prefix(200)}, {End: f.prefix(300)}} {
				pieces := pieces(t, s, info.Order, span)
				var points []string
				for _, p := range pieces {
					points = append(points, pointsOf(lines(t, s, export.Request{Span: p.Span}))...)
				}
				require.Equal(t, pointsOf(lines(t, s, export.Request{Span: span})), points)
			}
			_, err = s.Partition(t.Context(), export.Span{Start: f.prefix(40), End: f.prefix(40)}, export.Timestamp{})
			require.Error(t, err)
		})
	}
}

func pointsOf(lines []string) []string {
	return slices.DeleteFunc(lines, func(l string) bool { return l[:3] != "set" })
}

func pieces(t *testing.T, s export.Snapshot, order *export.Order, span export.Span) []export.Partition {
	t.Helper()
	pieces, err := s.Partition(t.Context(), span, export.Timestamp{})
	require.NoError(t, err)
	require.NotEmpty(t, pieces)
	require.Equal(t, span.Start, pieces[0].Span.Start)
	require.Equal(t, span.End, pieces[len(pieces)-1].Span.End)
	for i, p := range pieces {
		require.False(t, p.Span.IsEmpty(order))
		require.True(t, order.CutPoint(p.Span.Start))
		if i > 0 {
			require.Equal(t, pieces[i-1].Span.End, p.Span.Start)
		}
	}
	return pieces
}

// TestPartitionBalance: the pieces hold about what they say, none more than twice
// the average, in a settled tree, in one huge table, with values in blob files,
// and with many versions a prefix.
func TestPartitionBalance(t *testing.T) {
	const keys, valueBytes = 60_000, 200
	for _, f := range flavors() {
		if f.name == "no log" || f.name == "own merger" {
			continue
		}
		for _, layout := range []string{"settled", "one table", "memtables"} {
			t.Run(f.name+"/"+layout, func(t *testing.T) {
				t.Parallel()
				o := f.options()
				o.MemTableSize = 1 << 20
				if layout == "memtables" {
					o.DisableAutomaticCompactions = true
					o.L0StopWritesThreshold = 1000
				}
				r := newRig(t, o)
				fillLayout(t, r, f, layout, keys, valueBytes)
				s := r.snapshot(t, export.SnapshotOptions{})
				defer s.Close()
				info, err := r.store.Info(t.Context())
				require.NoError(t, err)
				checkBalance(t, s, pieces(t, s, info.Order, export.Span{}))
				checkBalance(t, s, pieces(t, s, info.Order, export.Span{Start: f.prefix(keys / 8), End: f.prefix(keys / 8 * 7)}))
			})
		}
	}
}

func fillLayout(t *testing.T, r *rig, f flavor, layout string, keys, valueBytes int) {
	value := func(i int) []byte {
		v := slices.Repeat([]byte{byte(i)}, valueBytes) // compresses well
		return append(v, fmt.Sprint(i)...)
	}
	if layout == "one table" {
		o := r.popts.Clone()
		o.EnsureDefaults()
		file, err := r.popts.FS.Create("/one.sst", vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		w := sstable.NewWriter(objstorageprovider.NewFileWritable(file), o.MakeWriterOptions(6, r.db.TableFormat()))
		sorted := make([][]byte, keys)
		for i := range sorted {
			sorted[i] = f.key(i)
		}
		slices.SortFunc(sorted, o.Comparer.Compare)
		for i, k := range sorted {
			require.NoError(t, w.Set(k, value(i)))
		}
		require.NoError(t, w.Close())
		require.NoError(t, r.db.Ingest(t.Context(), []string{"/one.sst"}))
		return
	}
	for _, i := range rand.New(rand.NewPCG(7, 8)).Perm(keys) {
		require.NoError(t, r.db.Set(f.key(i), value(i), pebble.NoSync))
	}
}

func checkBalance(t *testing.T, s export.Snapshot, pieces []export.Partition) {
	t.Helper()
	var total int64
	real := make([]int64, len(pieces))
	for i, p := range pieces {
		cur, err := s.Export(t.Context(), export.Request{Span: p.Span})
		require.NoError(t, err)
		for cur.Next() {
			real[i] += cur.Entry().Size()
		}
		require.NoError(t, cur.Err())
		require.NoError(t, cur.Close())
		total += real[i]
	}
	average := total / int64(len(pieces))
	require.GreaterOrEqual(t, len(pieces), 4*runtime.GOMAXPROCS(0)*3/4)
	for i, p := range pieces {
		require.InEpsilon(t, real[i], p.Bytes, 0.5, "piece %d of %d says %d, has %d", i, len(pieces), p.Bytes, real[i])
		require.Less(t, real[i], 2*average, "piece %d of %d", i, len(pieces))
		require.Greater(t, real[i], average/2, "piece %d of %d", i, len(pieces))
	}
}
