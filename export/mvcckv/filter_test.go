package mvcckv_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

// TestTimeFilter counts the blocks that an incremental export reads after one key in
// a hundred has changed and was flushed.
func TestTimeFilter(t *testing.T) {
	t.Parallel()
	const keys = 20_000
	opts := options(vfs.NewMem())
	opts.Pebble.DisableAutomaticCompactions = true // which would mix old and new
	s := newStore(t, opts)
	key := func(i int) []byte { return fmt.Appendf(nil, "key %06d", i) }
	fill := func(round, step int) {
		for from := 0; from < keys; from += 1000 {
			_, err := write(t.Context(), s, func(tx *mvcckv.Tx) error {
				for i := from; i < from+1000; i += step {
					if err := tx.Put(t.Context(), key(i), fmt.Appendf(nil, "%0100d", i+round)); err != nil {
						return err
					}
				}
				return nil
			})
			require.NoError(t, err)
		}
	}
	fill(0, 1)
	require.NoError(t, s.Shake(t.Context()))
	base := snapshot(t, s, export.SnapshotOptions{})
	defer base.Close()
	whole, _ := read(t, base, export.Request{})
	fill(1, 100)
	require.NoError(t, s.Flush(t.Context()))

	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	since := export.Request{Since: base.Timestamp()}
	changed, n := read(t, snap, since)
	require.Equal(t, keys/100, n)
	require.Less(t, changed*100, whole*5, "%d bytes of blocks, a full scan reads %d", changed, whole)

	pieces, err := snap.Partition(t.Context(), export.Span{}, base.Timestamp())
	require.NoError(t, err)
	var bytes int64
	for _, p := range pieces {
		bytes += p.Bytes
	}
	require.Less(t, bytes*100, int64(whole)*5, "tables without changes count nothing")
	pieces, err = snap.Partition(t.Context(), export.Span{}, snap.Timestamp())
	require.NoError(t, err)
	require.Len(t, pieces, 1)
	require.Zero(t, pieces[0].Bytes)
}

// read is how many bytes of blocks an export reads, and how many entries it yields.
func read(t *testing.T, snap export.Snapshot, req export.Request) (bytes uint64, entries int) {
	t.Helper()
	c, err := snap.Export(t.Context(), req)
	require.NoError(t, err)
	for c.Next() {
		entries++
	}
	require.NoError(t, c.Err())
	bytes = mvcckv.BlockBytes(c)
	require.NoError(t, c.Close())
	return bytes, entries
}
