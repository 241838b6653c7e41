package mvcckv_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

var (
	filterMB    = flag.Int("filter.mb", 0, "count the blocks that are read of changes in a store of so many MB; 0: do not")
	filterValue = flag.Int("filter.value", 1000, "bytes of a value there")
)

// TestTimeFilterLarge is TestTimeFilter and TestChangesReadFew of a large store on disk.
func TestTimeFilterLarge(t *testing.T) {
	if *filterMB == 0 {
		t.Skip("takes minutes; -filter.mb 1000")
	}
	opts := options(vfs.Default)
	opts.Pebble.DisableAutomaticCompactions = true // which would mix old and new
	opts.Pebble.L0StopWritesThreshold = 1000       // so nothing else clears level 0
	s, err := mvcckv.Open(filepath.Join(t.TempDir(), dbDir), opts)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	keys := *filterMB * 1_000_000 / (*filterValue + len(largeKey(0)))
	values := rand.NewChaCha8([32]byte{1})
	loadLarge(t, s, keys, values)

	base := snapshot(t, s, export.SnapshotOptions{})
	defer base.Close()
	whole, n := read(t, base, export.Request{})
	require.Equal(t, keys, n)
	t.Logf("%d keys, values of %d bytes: a full scan reads %d bytes of blocks", keys, *filterValue, whole)
	for _, change := range []struct {
		name           string
		from, to, step int
	}{
		{"together", keys / 2, keys/2 + keys/100, 1},
		{"apart", 0, keys, 100},
	} {
		before := snapshot(t, s, export.SnapshotOptions{})
		n := changeLarge(t, s, values, change.from, change.to, change.step)
		after := snapshot(t, s, export.SnapshotOptions{})
		req := export.Request{Since: before.Timestamp()}
		alone, changed := read(t, after, req)
		require.Equal(t, n, changed)
		c, err := after.(export.Differ).Changes(t.Context(), req)
		require.NoError(t, err)
		told, changed := drainedBlocks(t, c)
		require.Equal(t, n, changed)
		t.Logf("%d keys changed %s: %.2f %% of the blocks are read, %.2f %% with what was replaced",
			n, change.name, percent(alone, whole), percent(told, whole))
		require.Less(t, percent(alone, whole), 5.0)
		if change.step == 1 {
			require.Less(t, percent(told, whole), 5.0)
		}
		require.NoError(t, before.Close())
		require.NoError(t, after.Close())
	}
}

func percent(part, whole uint64) float64 { return 100 * float64(part) / float64(whole) }

func largeKey(i int) []byte { return fmt.Appendf(nil, "key %09d", i) }

// fresh fills a value with what does not compress.
func fresh(values *rand.ChaCha8, value []byte) {
	for i := 0; i < len(value); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], values.Uint64())
		copy(value[i:], word[:])
	}
}

func loadLarge(t *testing.T, s *mvcckv.Store, keys int, values *rand.ChaCha8) {
	t.Helper()
	in, err := s.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{}}})
	require.NoError(t, err)
	l, err := in.Load(t.Context(), export.Span{})
	require.NoError(t, err)
	e := export.Entry{Kind: export.Set, Value: make([]byte, *filterValue)}
	for i := range keys {
		e.Key = largeKey(i)
		fresh(values, e.Value)
		if err := l.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	require.NoError(t, l.Finish())
	require.NoError(t, in.Commit(t.Context()))
}

// changeLarge writes every step-th key in [from, to) anew, flushes, and is how many.
func changeLarge(t *testing.T, s *mvcckv.Store, values *rand.ChaCha8, from, to, step int) (n int) {
	t.Helper()
	value := make([]byte, *filterValue)
	for from < to {
		_, err := write(t.Context(), s, func(tx *mvcckv.Tx) error {
			for range 1000 {
				if from >= to {
					return nil
				}
				fresh(values, value)
				if err := tx.Put(t.Context(), largeKey(from), value); err != nil {
					return err
				}
				from += step
				n++
			}
			return nil
		})
		require.NoError(t, err)
	}
	require.NoError(t, s.Flush(t.Context()))
	return n
}
