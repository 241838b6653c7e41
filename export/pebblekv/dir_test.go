package pebblekv_test

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

func TestDir(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.Default} {
		t.Run(name, func(t *testing.T) {
			root := "/restore"
			if name == "disk" {
				root = t.TempDir()
			}
			popts := &pebble.Options{FS: fs, Logger: quiet{t}}
			dir := fs.PathJoin(root, "db")
			require.NoError(t, fs.MkdirAll(dir, 0o755), "empty is as good as absent")
			d := pebblekv.Dir(dir, &pebblekv.Options{Pebble: popts})
			info, err := d.Info(t.Context())
			require.NoError(t, err)
			require.True(t, info.AtomicIngest)
			_, err = d.Snapshot(t.Context(), export.SnapshotOptions{})
			require.ErrorIs(t, err, errors.ErrUnsupported)

			in, err := d.Ingest(t.Context(), export.IngestOptions{Name: "ab", Spans: []export.Span{span("a", "x")}, Lineage: "mine"})
			require.NoError(t, err)
			_, err = d.Ingest(t.Context(), export.IngestOptions{Name: "ab", Spans: []export.Span{{}}})
			require.ErrorContains(t, err, "in use")
			loadLevels(t, in)
			require.NoError(t, in.Commit(t.Context()))
			require.NoError(t, in.Abort())
			left, err := fs.List(root)
			require.NoError(t, err)
			require.Equal(t, []string{"db"}, left)

			checkDir(t, dir, popts)
			var notEmpty *export.NotEmptyError
			_, err = d.Ingest(t.Context(), export.IngestOptions{Name: "cd", Spans: []export.Span{{}}})
			require.ErrorAs(t, err, &notEmpty)
			require.Equal(t, dir, notEmpty.Name)
		})
	}
}

// loadLevels loads overlapping tables, of which the higher wins, and a span of
// entries.
func loadLevels(t *testing.T, in export.Ingester) {
	for level, keys := range [][]string{{"b", "c", "d"}, {"c"}, {"d", "e", "f"}} {
		fs := vfs.NewMem()
		o := &pebble.Options{}
		table(t, fs, "t", o, sstable.TableFormatPebblev3, keys...)
		data := tableBytes(t, fs, "t")
		info := export.TableInfo{Span: span("a", "g"), Level: level, Format: "pebble.v3", Bytes: int64(len(data))}
		require.NoError(t, sendTable(t, in, info, data))
	}
	load(t, in, span("g", "i"), set("h", "entry"))
}

func checkDir(t *testing.T, dir string, popts *pebble.Options) {
	t.Helper()
	db, store, err := pebblekv.Open(dir, popts, nil)
	require.NoError(t, err)
	info, err := store.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, "mine", info.Lineage)
	require.Equal(t, []string{
		`set "b"-"" ""="table b"`, `set "c"-"" ""="table c"`, `set "d"-"" ""="table d"`,
		`set "e"-"" ""="table e"`, `set "f"-"" ""="table f"`, `set "h"-"" ""="entry"`,
	}, visible(t, db))
	require.NoError(t, db.CheckLevels(nil))
	require.NoError(t, db.Close())
}

// TestDirHigherLevelWins with tables that disagree.
func TestDirHigherLevelWins(t *testing.T) {
	fs := vfs.NewMem()
	in, err := pebblekv.Dir("/db", &pebblekv.Options{Pebble: &pebble.Options{FS: fs, Logger: quiet{t}}}).
		Ingest(t.Context(), export.IngestOptions{Name: "1", Spans: []export.Span{{}}})
	require.NoError(t, err)
	for _, level := range []int{2, 0, 1} {
		keys := []string{"a", "b", "c"}[:3-level]
		data := makeLevel(t, level, keys)
		info := export.TableInfo{Level: level, Format: "pebble.v3", Bytes: int64(len(data))}
		require.NoError(t, sendTable(t, in, info, data))
	}
	require.NoError(t, in.Commit(t.Context()))
	db, err := pebble.Open("/db", &pebble.Options{FS: fs, Logger: quiet{t}})
	require.NoError(t, err)
	defer db.Close()
	require.Equal(t, []string{`set "a"-"" ""="2"`, `set "b"-"" ""="1"`, `set "c"-"" ""="0"`}, visible(t, db))
}

func makeLevel(t *testing.T, level int, keys []string) []byte {
	fs := vfs.NewMem()
	f, err := fs.Create("t", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), sstable.WriterOptions{TableFormat: sstable.TableFormatPebblev3})
	for _, k := range keys {
		require.NoError(t, w.Set([]byte(k), []byte{byte('0' + level)}))
	}
	require.NoError(t, w.Close())
	return tableBytes(t, fs, "t")
}

// TestDirPlace: what cannot become a database is refused before anything is loaded.
func TestDirPlace(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	opts := &pebblekv.Options{Pebble: &pebble.Options{FS: fs, Logger: quiet{t}}}
	load := export.IngestOptions{Name: "aa", Spans: []export.Span{{}}}

	for _, dir := range []string{".", "..", "/", "x/.."} {
		_, err := pebblekv.Dir(dir, opts).Ingest(t.Context(), load)
		require.ErrorContains(t, err, "needs a name", dir)
	}
	in, err := pebblekv.Dir("x/", opts).Ingest(t.Context(), load)
	require.NoError(t, err)
	require.NoError(t, in.Commit(t.Context()))
	db, err := pebble.Open("x", opts.Pebble)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// TestDirBesideAnotherLifesLog: Pebble would replay the log of the lost database
// into the restored one.
func TestDirBesideAnotherLifesLog(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	popts := &pebble.Options{FS: fs, WALDir: "wal", Logger: quiet{t}}
	db, err := pebble.Open("old", popts)
	require.NoError(t, err)
	require.NoError(t, db.Set([]byte("k"), []byte("old life"), pebble.Sync))
	require.NoError(t, db.Close())
	require.NoError(t, fs.RemoveAll("old"))

	_, err = pebblekv.Dir("new", &pebblekv.Options{Pebble: popts}).Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{}}})
	var full *export.NotEmptyError
	require.ErrorAs(t, err, &full)
	require.Equal(t, "wal", full.Name)
}

// TestDirClearsLeftovers: staging folders of dead processes go, those in use stay.
func TestDirClearsLeftovers(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("p/x.varve-dead/load", 0o755))
	require.NoError(t, fs.MkdirAll("p/x.varve-not-ours", 0o755))
	opts := &pebblekv.Options{Pebble: &pebble.Options{FS: fs, Logger: quiet{t}}}
	first, err := pebblekv.Dir("p/x", opts).Ingest(t.Context(), export.IngestOptions{Name: "aa", Spans: []export.Span{{}}})
	require.NoError(t, err)
	second, err := pebblekv.Dir("p/x", opts).Ingest(t.Context(), export.IngestOptions{Name: "bb", Spans: []export.Span{{}}})
	require.NoError(t, err)
	names, err := fs.List("p")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"x.varve-aa", "x.varve-bb", "x.varve-not-ours"}, names)
	require.NoError(t, first.Abort())
	require.NoError(t, second.Abort())
}
