package pebblekv_test

import (
	"flag"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

var turnTime = flag.Duration("turn.time", 2*time.Second, "how long to write and ingest in turn")

// TestMomentOfWritesAndIngests: writes and ingests take turns, compactions take the
// numbers off what was ingested, and each snapshot is of one moment all the same: of
// the two counters one is a step ahead of the other.
func TestMomentOfWritesAndIngests(t *testing.T) {
	t.Parallel()
	r := newRig(t, &pebble.Options{L0CompactionThreshold: 1, LBaseMaxBytes: 1, MemTableSize: 16 << 10})
	stop, stopped := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-stopped }()
	go func() {
		defer close(stopped)
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if n%2 == 1 {
				require.NoError(t, r.db.Set([]byte("written"), strconv.AppendInt(nil, int64(n), 10), pebble.NoSync))
				continue
			}
			path := fmt.Sprintf("/turn-%d.sst", n)
			f, err := r.popts.FS.Create(path, vfs.WriteCategoryUnspecified)
			require.NoError(t, err)
			o := r.popts.Clone()
			o.EnsureDefaults()
			w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o.MakeWriterOptions(6, r.db.TableFormat()))
			require.NoError(t, w.Set([]byte("ingested"), strconv.AppendInt(nil, int64(n), 10)))
			require.NoError(t, w.Close())
			require.NoError(t, r.db.Ingest(t.Context(), []string{path}))
		}
	}()
	snapshots := 0
	for begun := time.Now(); time.Since(begun) < *turnTime; snapshots++ {
		s := r.snapshot(t, export.SnapshotOptions{})
		var sum, steps int
		for _, e := range collected(t, s, export.Request{}) {
			n, err := strconv.Atoi(string(e.Value))
			require.NoError(t, err)
			if string(e.Key) == "written" {
				n = -n
			}
			sum, steps = sum+n, steps+1
		}
		require.NoError(t, s.Close())
		if steps == 2 {
			require.Contains(t, []int{-1, 1}, sum, "after %d snapshots", snapshots)
		}
	}
	require.Positive(t, snapshots)
	t.Logf("%d snapshots", snapshots)
}
