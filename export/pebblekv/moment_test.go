package pebblekv_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/pebblekv"
)

// TestSnapshotDuringIngests (E1): while one writer ingests a table and then sets a
// key, over and over, every snapshot that has the key has the table. Half of the
// tables overlap the memtable and so go through the log.
func TestSnapshotDuringIngests(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	db, store, err := pebblekv.Open("db", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{t}}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()

	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 3000 {
			select {
			case <-stop:
				return
			default:
			}
			if i%2 == 0 {
				require.NoError(t, db.Set(fmt.Appendf(nil, "table-%06d", i), []byte("below"), pebble.NoSync))
			}
			ingestKey(t, db, fs, fmt.Appendf(nil, "table-%06d", i))
			for j := range 20 {
				require.NoError(t, db.Set(fmt.Appendf(nil, "then-%06d-%02d", i, j), nil, pebble.NoSync))
			}
		}
	})
	defer writer.Wait()
	defer close(stop)
	for range 10 {
		checkCausal(t, store)
	}
}

// stallingFS lets something happen between the end of the log that is waited for and
// the checkpoint, which asks first whether there is one.
type stallingFS struct {
	vfs.FS
	once  sync.Once
	stall func()
}

func (s *stallingFS) Stat(name string) (vfs.FileInfo, error) {
	if s.PathBase(name) == "checkpoint" {
		s.once.Do(s.stall)
	}
	return s.FS.Stat(name)
}

// TestSnapshotDuringCompactedIngests (E1): tables that are ingested and at once
// compacted, which zeroes their sequence numbers, are not in a snapshot that lacks
// what was written before them.
func TestSnapshotDuringCompactedIngests(t *testing.T) {
	t.Parallel()
	for _, disableWAL := range []bool{false, true} {
		t.Run(fmt.Sprintf("DisableWAL=%t", disableWAL), func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			fs := &stallingFS{FS: mem}
			db, store, err := pebblekv.Open("db", &pebble.Options{FS: fs, DisableWAL: disableWAL, Logger: quiet{t}}, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, db.Close()) }()
			for _, key := range []string{"table-000001", "table-000002"} {
				require.NoError(t, db.Set([]byte(key), []byte("old"), pebble.NoSync))
			}
			fs.stall = func() {
				ingestKey(t, db, mem, []byte("table-000001"))
				require.NoError(t, db.Set([]byte("then-000001"), nil, pebble.NoSync))
				ingestKey(t, db, mem, []byte("table-000002"))
				if !disableWAL {
					require.NoError(t, db.Compact(t.Context(), []byte("table-000001"), []byte("table-000003"), false))
				}
			}
			s, err := store.Snapshot(t.Context(), export.SnapshotOptions{})
			require.NoError(t, err)
			defer func() { require.NoError(t, s.Close()) }()
			keys := map[string]string{}
			all, err := kvtest.Collect(t.Context(), s, export.Request{})
			require.NoError(t, err)
			for _, e := range all {
				keys[string(e.Key)] = string(e.Value)
			}
			if keys["table-000002"] == "ingested" {
				require.Contains(t, keys, "then-000001", "it was written before")
			}
		})
	}
}

func ingestKey(t *testing.T, db *pebble.DB, fs vfs.FS, key []byte) {
	f, err := fs.Create("ingest.sst", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), sstable.WriterOptions{TableFormat: sstable.TableFormatPebblev3})
	require.NoError(t, w.Set(key, []byte("ingested")))
	require.NoError(t, w.Close())
	require.NoError(t, db.Ingest(t.Context(), []string{"ingest.sst"}))
}

func checkCausal(t *testing.T, store *pebblekv.Store) {
	s, err := store.Snapshot(t.Context(), export.SnapshotOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	entries, err := kvtest.Collect(t.Context(), s, export.Request{})
	require.NoError(t, err)
	ingested := map[string]bool{}
	for _, e := range entries {
		if number, ok := bytes.CutPrefix(e.Key, []byte("table-")); ok {
			ingested[string(number)] = string(e.Value) == "ingested"
		}
		if number, ok := bytes.CutPrefix(e.Key, []byte("then-")); ok {
			require.True(t, ingested[string(number[:6])], "%s is there and the table before it is not", e.Key)
		}
	}
}
