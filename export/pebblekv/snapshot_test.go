package pebblekv_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

// TestSnapshotStays is E1 and E6: a snapshot is what a reader saw, and stays it
// while the database is written, ingested into, excised and compacted.
func TestSnapshotStays(t *testing.T) {
	for _, f := range flavors() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, 2))
			r := newRig(t, f.options())
			churn(t, r, f, rng, 3000, 400)
			want := visible(t, r.db)
			require.Greater(t, len(want), 100)
			s := r.snapshot(t, export.SnapshotOptions{})
			require.Equal(t, want, lines(t, s, export.Request{}))

			churn(t, r, f, rng, 1000, 400)
			if r.db.FormatMajorVersion() >= pebble.FormatVirtualSSTables {
				span := pebble.KeyRange{Start: f.prefix(40), End: f.prefix(900)}
				require.NoError(t, r.db.Excise(t.Context(), span))
			}
			table(t, r.popts.FS, "/in.sst", r.popts, r.db.TableFormat(), string(f.key(5000)), string(f.key(5004)))
			require.NoError(t, r.db.Ingest(t.Context(), []string{"/in.sst"}))
			require.NoError(t, r.db.Compact(t.Context(), f.prefix(0), f.prefix(9000), false))
			require.NotEqual(t, want, visible(t, r.db))
			require.Equal(t, want, lines(t, s, export.Request{}))
			require.NoError(t, s.Close())

			s = r.snapshot(t, export.SnapshotOptions{})
			require.Equal(t, visible(t, r.db), lines(t, s, export.Request{}))
			require.NoError(t, s.Close())
		})
	}
}

// TestResume is E4, for keys: ranges that start at or before the key have passed.
func TestResume(t *testing.T) {
	for _, f := range flavors() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, f.options())
			churn(t, r, f, rand.New(rand.NewPCG(3, 4)), 500, 60)
			s := r.snapshot(t, export.SnapshotOptions{})
			defer s.Close()
			all, keys := lines(t, s, export.Request{}), keysOf(t, s)
			for i, k := range keys {
				last := i
				for last+1 < len(keys) && string(keys[last+1]) == string(k) {
					last++
				}
				rest := lines(t, s, export.Request{Resume: &export.Position{Key: k}})
				require.Equal(t, len(all)-last-1, len(rest), "after %q", k)
				require.Equal(t, all[last+1:], append([]string{}, rest...))
			}
		})
	}
}

func keysOf(t *testing.T, s export.Snapshot) [][]byte {
	cur, err := s.Export(t.Context(), export.Request{})
	require.NoError(t, err)
	defer cur.Close()
	var keys [][]byte
	for cur.Next() {
		keys = append(keys, append([]byte{}, cur.Entry().Key...))
	}
	return keys
}

func TestNamedSnapshot(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": nil} {
		t.Run(name, func(t *testing.T) {
			dir := dbDir
			if fs == nil {
				fs, dir = vfs.Default, t.TempDir()+"/db"
			}
			db, store, err := pebblekv.Open(dir, &pebble.Options{FS: fs, Logger: quiet{t}}, nil)
			require.NoError(t, err)
			require.NoError(t, db.Set([]byte("a"), []byte("1"), nil))
			after := export.Timestamp{WallNanos: 1 << 62, Logical: 7}
			s, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: "ab12", Note: "me", After: after})
			require.NoError(t, err)
			require.Equal(t, after.Next(), s.Timestamp())
			again, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: "ab12"})
			require.NoError(t, err)
			require.NoError(t, db.Set([]byte("b"), []byte("2"), nil))
			require.NoError(t, s.Close())
			require.Len(t, lines(t, again, export.Request{}), 1)
			require.NoError(t, again.Close())
			_, err = again.Export(t.Context(), export.Request{})
			require.ErrorIs(t, err, export.ErrClosed)

			require.NoError(t, db.Close())
			db, store, err = pebblekv.Open(dir, &pebble.Options{FS: fs, Logger: quiet{t}}, nil)
			require.NoError(t, err)
			infos, err := store.Snapshots(t.Context())
			require.NoError(t, err)
			require.Len(t, infos, 1)
			require.Equal(t, "me", infos[0].Note)
			require.Zero(t, infos[0].PinnedBytes)
			require.NoError(t, db.Compact(t.Context(), []byte("a"), []byte("z"), false))
			_, err = store.Snapshot(t.Context(), export.SnapshotOptions{Name: "ab12", After: after.Next()})
			require.ErrorContains(t, err, "not after")
			s, err = store.Snapshot(t.Context(), export.SnapshotOptions{Name: "ab12", After: after})
			require.NoError(t, err)
			require.Equal(t, after.Next(), s.Timestamp())
			require.Equal(t, []string{`set "a"-"" ""="1"`}, lines(t, s, export.Request{}))

			require.NoError(t, store.Release(t.Context(), "ab12"))
			infos, err = store.Snapshots(t.Context())
			require.NoError(t, err)
			require.True(t, infos[0].InUse)
			require.Positive(t, infos[0].PinnedBytes)
			require.NoError(t, s.Close())
			require.NoError(t, s.Close())
			left, err := fs.List(fs.PathJoin(dir, "varve-snapshots"))
			require.NoError(t, err)
			require.Empty(t, left)
			require.NoError(t, store.Release(t.Context(), "ab12"))
			require.NoError(t, db.Close())
		})
	}
}

// TestForeignFolders are recognised, left alone and never opened.
func TestForeignFolders(t *testing.T) {
	r := newRig(t, &pebble.Options{})
	fs := r.popts.FS
	r.set(t, "a")
	require.NoError(t, r.snapshot(t, export.SnapshotOptions{Name: "aa"}).Close())
	root := dbDir + "/varve-snapshots"
	clone := func(name string) {
		_, err := vfs.Clone(fs, fs, root+"/aa", root+"/"+name)
		require.NoError(t, err)
	}
	clone("bb")                                          // its sidecar says aa
	require.NoError(t, fs.MkdirAll(root+"/cc", 0o755))   // half-built by something else
	require.NoError(t, fs.MkdirAll(root+"/User", 0o755)) // not ours
	clone("tmp-dead")

	infos, err := r.store.Snapshots(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 1)
	for _, name := range []string{"bb", "cc"} {
		_, err = r.store.Snapshot(t.Context(), export.SnapshotOptions{Name: name})
		require.ErrorContains(t, err, "no snapshot of this store")
		require.NoError(t, r.store.Release(t.Context(), name))
	}
	for _, name := range []string{"", "A", "../x", "tmp-dead"} {
		require.Error(t, r.store.Release(t.Context(), name))
	}

	// Another lineage: nothing is ours any more.
	in, err := r.store.Ingest(t.Context(), export.IngestOptions{Name: "1", Lineage: "other", Spans: []export.Span{{Start: []byte("x")}}})
	require.NoError(t, err)
	require.NoError(t, in.Commit(t.Context()))
	info, err := r.store.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, "other", info.Lineage)
	infos, err = r.store.Snapshots(t.Context())
	require.NoError(t, err)
	require.Empty(t, infos)
	_, err = r.store.Snapshot(t.Context(), export.SnapshotOptions{Name: "aa"})
	require.ErrorContains(t, err, "lineage")
	require.NoError(t, r.store.Release(t.Context(), "aa"))
	left, err := fs.List(root)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"aa", "bb", "cc", "User"}, left)
}

// TestLiveScratch: a folder that somebody holds survives the sweep.
func TestLiveScratch(t *testing.T) {
	r := newRig(t, &pebble.Options{})
	r.set(t, "a")
	s := r.snapshot(t, export.SnapshotOptions{})
	other, err := pebblekv.New(r.db, dbDir, &pebblekv.Options{Pebble: r.popts})
	require.NoError(t, err)
	u, err := other.Snapshot(t.Context(), export.SnapshotOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{`set "a"-"" ""="value of a"`}, lines(t, s, export.Request{}))
	require.NoError(t, errors.Join(u.Close(), s.Close()))
	left, err := r.popts.FS.List(dbDir + "/varve-snapshots")
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestCursorOutlivesSnapshot: the checkpoint goes when its last user closes.
func TestCursorOutlivesSnapshot(t *testing.T) {
	r := newRig(t, &pebble.Options{})
	r.set(t, "a", "b")
	s := r.snapshot(t, export.SnapshotOptions{})
	cur, err := s.Export(t.Context(), export.Request{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.True(t, cur.Next())
	require.True(t, cur.Next())
	require.False(t, cur.Next())
	require.NoError(t, errors.Join(cur.Err(), cur.Close(), cur.Close()))
}

func TestSnapshotRefusals(t *testing.T) {
	r := newRig(t, &pebble.Options{})
	_, err := r.store.Snapshot(t.Context(), export.SnapshotOptions{AsOf: export.At(at(1))})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	s := r.snapshot(t, export.SnapshotOptions{})
	defer s.Close()
	_, err = s.Export(t.Context(), export.Request{Since: export.At(at(1))})
	require.ErrorIs(t, err, export.ErrNoBase)
	_, err = s.Partition(t.Context(), export.Span{}, export.At(at(1)))
	require.ErrorIs(t, err, export.ErrNoBase)
	_, ok := s.(export.Cataloger)
	require.False(t, ok)
}

// TestSnapshotsOfAFormerHistory are of no use once another one has begun, and do not
// pin disk for ever.
func TestSnapshotsOfAFormerHistory(t *testing.T) {
	t.Parallel()
	r := newRig(t, &pebble.Options{FormatMajorVersion: pebble.FormatVirtualSSTables})
	folders := func() []string {
		names, err := r.popts.FS.List(dbDir + "/varve-snapshots")
		require.NoError(t, err)
		return names
	}
	r.set(t, "a")
	kept := r.snapshot(t, export.SnapshotOptions{Name: "01"})
	require.NoError(t, kept.Close())
	inUse := r.snapshot(t, export.SnapshotOptions{Name: "02"})
	in, err := r.store.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{}}, Replace: true, Lineage: "0123"})
	require.NoError(t, err)
	require.NoError(t, in.Commit(t.Context()))
	require.Subset(t, folders(), []string{"01", "02"}, "what was there may still be wanted until somebody asks for another")

	next := r.snapshot(t, export.SnapshotOptions{Name: "03"})
	require.NoError(t, next.Close())
	require.ElementsMatch(t, []string{"02", "03"}, folders())
	require.NotEmpty(t, lines(t, inUse, export.Request{}), "what is in use stays as it was")
	require.NoError(t, inUse.Close())
	require.NoError(t, r.snapshot(t, export.SnapshotOptions{}).Close())
	require.ElementsMatch(t, []string{"03"}, folders())
}
