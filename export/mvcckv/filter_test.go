package mvcckv_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

// filled is a store of so many keys of 100 bytes, and what writes every step-th key in
// [from, to) anew.
func filled(t *testing.T, keys int) (*mvcckv.Store, func(from, to, step int)) {
	t.Helper()
	opts := options(vfs.NewMem())
	opts.Pebble.DisableAutomaticCompactions = true // which would mix old and new
	s := newStore(t, opts)
	round := 0
	fill := func(from, to, step int) {
		for ; from < to; from += 1000 {
			_, err := write(t.Context(), s, func(tx *mvcckv.Tx) error {
				for i := from; i < min(from+1000, to); i += step {
					if err := tx.Put(t.Context(), fmt.Appendf(nil, "key %06d", i), fmt.Appendf(nil, "%0100d", i+round)); err != nil {
						return err
					}
				}
				return nil
			})
			require.NoError(t, err)
		}
		require.NoError(t, s.Flush(t.Context()))
		round++
	}
	fill(0, keys, 1)
	require.NoError(t, s.Shake(t.Context()))
	return s, fill
}

// TestTimeFilter counts the blocks that an incremental export reads after one key in
// a hundred has changed and was flushed.
func TestTimeFilter(t *testing.T) {
	t.Parallel()
	const keys = 20_000
	s, fill := filled(t, keys)
	base := snapshot(t, s, export.SnapshotOptions{})
	defer base.Close()
	whole, _ := read(t, base, export.Request{})
	fill(0, keys, 100)

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

// TestChangesReadFew counts the blocks that are read for one key in a hundred and what
// each of them replaced: where these lie together few, and where they are apart one
// block of the old state for each at most.
func TestChangesReadFew(t *testing.T) {
	t.Parallel()
	const keys, blockBytes = 20_000, 4 << 10
	for name, change := range map[string]struct{ from, to, step int }{
		"together": {8_000, 8_000 + keys/100, 1},
		"apart":    {0, keys, 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, fill := filled(t, keys)
			base := snapshot(t, s, export.SnapshotOptions{})
			defer base.Close()
			whole, _ := read(t, base, export.Request{})
			fill(change.from, change.to, change.step)
			snap := snapshot(t, s, export.SnapshotOptions{})
			defer snap.Close()
			req := export.Request{Since: base.Timestamp()}
			alone, _ := read(t, snap, req)
			c, err := snap.(export.Differ).Changes(t.Context(), req)
			require.NoError(t, err)
			told, n := drainedBlocks(t, c)
			require.Equal(t, keys/100, n)
			require.Less(t, alone*100, whole*5)
			t.Logf("%d bytes of blocks with what was replaced, %d without, %d for a full scan", told, alone, whole)
			if change.step == 1 {
				require.Less(t, told*100, whole*5, "of %d", whole)
			}
			require.Less(t, told, alone+uint64(n+8)*blockBytes)
			require.Less(t, told, whole/2)
		})
	}
}

// read is how many bytes of blocks an export reads, and how many entries it yields.
func read(t *testing.T, snap export.Snapshot, req export.Request) (bytes uint64, entries int) {
	t.Helper()
	c, err := snap.Export(t.Context(), req)
	require.NoError(t, err)
	return drainedBlocks(t, c)
}

func drainedBlocks(t *testing.T, c export.Cursor) (bytes uint64, entries int) {
	t.Helper()
	for c.Next() {
		entries++
	}
	require.NoError(t, c.Err())
	bytes = mvcckv.BlockBytes(c)
	require.NoError(t, c.Close())
	return bytes, entries
}
