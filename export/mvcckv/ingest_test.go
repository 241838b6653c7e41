package mvcckv_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

func ingest(t *testing.T, s *mvcckv.Store, opts export.IngestOptions) export.Ingester {
	t.Helper()
	in, err := s.Ingest(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, in.Abort()) })
	return in
}

// add loads "key=value" into each span.
func add(t *testing.T, in export.Ingester, span export.Span, entries ...string) {
	t.Helper()
	l, err := in.Load(t.Context(), span)
	require.NoError(t, err)
	for _, e := range entries {
		key, value, _ := strings.Cut(e, "=")
		require.NoError(t, l.Add(&export.Entry{Kind: export.Set, Key: []byte(key), Value: []byte(value)}))
	}
	require.NoError(t, l.Finish())
}

// load loads into one span and commits.
func load(t *testing.T, s *mvcckv.Store, opts export.IngestOptions, entries ...string) {
	t.Helper()
	in := ingest(t, s, opts)
	add(t, in, opts.Spans[0], entries...)
	require.NoError(t, in.Commit(t.Context()))
}

// TestReplaceIsHistory: what a load replaces can be read as of before, and the next
// incremental export finds all that it changed.
func TestReplaceIsHistory(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		set(t, s, key, "old")
	}
	named := snapshot(t, s, export.SnapshotOptions{Name: name})
	defer named.Close()
	spans := []export.Span{{Start: []byte("d"), End: []byte("e")}, {Start: []byte("b"), End: []byte("d")}}
	in := ingest(t, s, export.IngestOptions{Spans: spans, Replace: true})
	add(t, in, spans[0], "da=new")
	add(t, in, spans[1], "b=new", "bb=new")
	require.NoError(t, in.Commit(t.Context()))

	want := []string{"set a=old", "set b=new", "set bb=new", "set da=new", "set e=old"}
	require.Equal(t, want, holds(t, s))
	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	require.Equal(t, []string{"set b=new", "set bb=new", "delete c=", "delete d=", "set da=new"},
		exported(t, snap, export.Request{Since: named.Timestamp()}))
	require.Equal(t, []string{"set a=old", "set b=old", "set c=old", "set d=old", "set e=old"}, exported(t, named, export.Request{}))
	require.NoError(t, s.Shake(t.Context()))
	require.Equal(t, want, holds(t, s))
	set(t, s, "b", "newer")
	require.Equal(t, "newer", get(t, begin(t, s, nil), "b"))
}

// TestIngestAboveReads: whoever has read the span while the load was written reads the
// same again.
func TestIngestAboveReads(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(t *testing.T, s *mvcckv.Store){
		"read":  func(t *testing.T, s *mvcckv.Store) {},
		"write": func(t *testing.T, s *mvcckv.Store) { set(t, s, "a", "meanwhile") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := &hooked{FS: vfs.NewMem()}
			s := newStore(t, options(files))
			set(t, s, "a", "old")
			var views []export.Snapshot
			files.building = func() {
				if len(views) == 2 {
					return // the last try is alone
				}
				disturb(t, s)
				views = append(views, snapshot(t, s, export.SnapshotOptions{}))
			}
			load(t, s, export.IngestOptions{Spans: []export.Span{{}}, Replace: true}, "a=new", "b=new")
			require.Len(t, views, 2)
			want := "set a=old"
			if name == "write" {
				want = "set a=meanwhile"
			}
			for _, view := range views {
				require.Equal(t, []string{want}, exported(t, view, export.Request{}))
				require.NoError(t, view.Close())
			}
			require.Equal(t, []string{"set a=new", "set b=new"}, holds(t, s))
		})
	}
}

// TestReplaceTakesLateWrites: a transaction that began to write before a load, and
// writes in its span while it is built, does not slip through below.
func TestReplaceTakesLateWrites(t *testing.T) {
	t.Parallel()
	files := &hooked{FS: vfs.NewMem()}
	s := newStore(t, options(files))
	set(t, s, "a", "old")
	writer := begin(t, s, nil)
	put(t, writer, "z", "elsewhere")
	files.building = func() {
		files.building = nil
		put(t, writer, "c", "meanwhile")
		commit(t, writer)
	}
	load(t, s, export.IngestOptions{Spans: []export.Span{{End: []byte("m")}}, Replace: true}, "a=new")
	require.Equal(t, []string{"set a=new", "set z=elsewhere"}, holds(t, s))
}

// hooked tells of tables that a commit builds, in its goroutine.
type hooked struct {
	vfs.FS
	building func()
}

func (h *hooked) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.Contains(path, "built") && h.building != nil {
		h.building()
	}
	return h.FS.Create(path, c)
}

func TestIngestMeetsLock(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	in := ingest(t, s, export.IngestOptions{Spans: []export.Span{{}}, Replace: true})
	add(t, in, export.Span{}, "a=new")
	tx := begin(t, s, &mvcckv.TxOptions{Name: "writer"})
	put(t, tx, "b", "1")
	var locked *export.LockedError
	require.ErrorAs(t, in.Commit(t.Context()), &locked)
	require.Equal(t, "writer", locked.Holder)
	commit(t, tx)
	require.NoError(t, in.Commit(t.Context()), "again")
	require.Equal(t, []string{"set a=new"}, holds(t, s))
}

func TestLoadRefusesRangeKeys(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	l, err := ingest(t, s, export.IngestOptions{Spans: []export.Span{{}}}).Load(t.Context(), export.Span{})
	require.NoError(t, err)
	err = l.Add(&export.Entry{Kind: export.RangeKeySet, Key: []byte("a"), End: []byte("b")})
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// table is a sorted table as a writer of layers with revisions makes it.
func table(t *testing.T, write func(w *sstable.Writer) error) []byte {
	t.Helper()
	var buffer memTable
	w := sstable.NewWriter(&buffer, sstable.WriterOptions{
		TableFormat: sstable.TableFormatPebblev3, Comparer: &cockroachkvs.Comparer, MergerName: "nullptr",
	})
	require.NoError(t, write(w))
	require.NoError(t, w.Close())
	return buffer.Bytes()
}

type memTable struct{ bytes.Buffer }

func (m *memTable) Write(p []byte) error {
	_, err := m.Buffer.Write(p)
	return err
}
func (m *memTable) Finish() error { return nil }
func (m *memTable) Abort()        {}

// version adds a version at a wall time; an empty value deletes.
func version(w *sstable.Writer, key string, wall uint64, value string) error {
	stored := []byte(value)
	if value != "" {
		stored = append([]byte{1}, value...)
	}
	return w.Set(cockroachkvs.EncodeMVCCKey(nil, []byte(key), wall, 0), stored)
}

func sendTable(t *testing.T, in export.Ingester, data []byte) error {
	t.Helper()
	w, err := in.(export.TableLoader).LoadTable(t.Context(), export.TableInfo{Format: "pebble.v3", Bytes: int64(len(data))})
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Finish()
}

var everything = export.IngestOptions{Spans: []export.Span{{}}, Lineage: name}

// TestLinkTables takes whole tables into an empty store of a new lineage, beside
// entries. Its clock goes on above them, and its history begins.
func TestLinkTables(t *testing.T) {
	t.Parallel()
	now := newWall()
	opts := options(vfs.NewMem())
	opts.Now = now.Now
	s := newStore(t, opts)
	ahead := uint64(now.Now().UnixNano()) + 3600e9
	in := ingest(t, s, everything)
	require.NoError(t, sendTable(t, in, table(t, func(w *sstable.Writer) error {
		return errors.Join(version(w, "a", ahead, "2"), version(w, "a", 7, "1"), version(w, "b", 9, ""), version(w, "b", 8, "gone"), version(w, "c", 7, "1"))
	})))
	require.NoError(t, in.Commit(t.Context()))
	want := []string{"set a=2", "set c=1"}
	require.Equal(t, want, holds(t, s))
	info, err := s.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, name, info.Lineage)
	require.Greater(t, info.Oldest.WallNanos, int64(ahead)-1)
	_, err = s.Begin(t.Context(), &mvcckv.TxOptions{AsOf: export.Timestamp{WallNanos: 8}})
	beforeGC(t, err, export.Timestamp{WallNanos: 8}, info.Oldest)

	require.NoError(t, s.Shake(t.Context()))
	s = reopen(t, s, opts)
	require.Equal(t, want, holds(t, s))
	base := snapshot(t, s, export.SnapshotOptions{})
	defer base.Close()
	set(t, s, "a", "3")
	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	require.Equal(t, []string{"set a=3"}, exported(t, snap, export.Request{Since: base.Timestamp()}))
	require.Equal(t, []string{"set a=3", "set c=1"}, exported(t, snap, export.Request{}))
}

// TestLinkedTables that do not hold versions and nothing else are refused, and leave
// the store as it was.
func TestLinkedTablesAreInspected(t *testing.T) {
	t.Parallel()
	bare := func(key string) []byte { return cockroachkvs.EncodeMVCCKey(nil, []byte(key), 0, 0) }
	for what, write := range map[string]func(w *sstable.Writer) error{
		"a bare key": func(w *sstable.Writer) error { return w.Set(bare("a"), nil) },
		"a record": func(w *sstable.Writer) error {
			return w.Set(cockroachkvs.EncodeKey(nil, []byte("\x00m"), make([]byte, 17)), nil)
		},
		"another mark": func(w *sstable.Writer) error {
			return w.Set(cockroachkvs.EncodeMVCCKey(nil, []byte("a"), 1, 0), []byte{7})
		},
		"a tombstone":    func(w *sstable.Writer) error { return w.Delete(cockroachkvs.EncodeMVCCKey(nil, []byte("a"), 1, 0)) },
		"a range key":    func(w *sstable.Writer) error { return w.RangeKeySet(bare("a"), bare("b"), nil, nil) },
		"a range delete": func(w *sstable.Writer) error { return w.DeleteRange(bare("a"), bare("b")) },
		"time overflow":  func(w *sstable.Writer) error { return version(w, "a", 1<<63, "1") },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, nil)
			in := ingest(t, s, everything)
			require.NoError(t, sendTable(t, in, table(t, write)))
			require.Error(t, in.Commit(t.Context()))
			require.Empty(t, holds(t, s))
			info, err := s.Info(t.Context())
			require.NoError(t, err)
			require.NotEqual(t, name, info.Lineage)
		})
	}
}

// TestLinksOnlyIntoNothing: versions with timestamps of another store do not go beside
// or under others.
func TestLinksOnlyIntoNothing(t *testing.T) {
	t.Parallel()
	linker := func(s *mvcckv.Store, opts export.IngestOptions) bool {
		in, err := s.Ingest(t.Context(), opts)
		require.NoError(t, err)
		defer func() { require.NoError(t, in.Abort()) }()
		_, ok := in.(export.TableLoader)
		return ok
	}
	s := newStore(t, nil)
	require.True(t, linker(s, everything))
	require.False(t, linker(s, export.IngestOptions{Spans: []export.Span{{}}}), "the lineage stays")
	require.False(t, linker(s, export.IngestOptions{Spans: []export.Span{{Start: []byte("a")}}, Lineage: name}))

	in := ingest(t, s, everything)
	require.NoError(t, sendTable(t, in, table(t, func(w *sstable.Writer) error { return version(w, "a", 7, "1") })))
	_, err := write(t.Context(), s, func(tx *mvcckv.Tx) error { return tx.Delete(t.Context(), []byte("a")) })
	require.NoError(t, err)
	var full *export.NotEmptyError
	require.ErrorAs(t, in.Commit(t.Context()), &full, "a deletion would hide it")
	require.False(t, linker(s, everything), "a store with history")
}

// TestOwnRecordsAreSafe: a load that replaces everything, and user keys that lie among
// the store's records, leave locks, snapshots and history alone.
func TestOwnRecordsAreSafe(t *testing.T) {
	t.Parallel()
	opts := options(vfs.NewMem())
	s := newStore(t, opts)
	keys := []string{"", "\x00", "\x00\x00", "\x00l", "\x00lx", "\x00m", "\x00m\x00", "\x00s" + name, "\x00t", "\x01", "\xff\xff"}
	var want, loaded []string
	for _, key := range keys {
		set(t, s, key, "old")
		want = append(want, fmt.Sprintf("set %s=old", key))
		loaded = append(loaded, key+"=old")
	}
	named := snapshot(t, s, export.SnapshotOptions{Name: name})
	require.NoError(t, named.Close())
	require.Equal(t, want, holds(t, s))
	load(t, s, export.IngestOptions{Spans: []export.Span{{}}, Replace: true}, loaded...)
	holder := begin(t, s, &mvcckv.TxOptions{Name: "holder"})
	put(t, holder, "\x00lx", "provisional")
	require.NoError(t, s.Shake(t.Context()))

	s = reopen(t, s, opts)
	list, err := s.Snapshots(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, want, pushed(t, s))
	collect(t, s, export.Timestamp{WallNanos: 1 << 62})
	require.NoError(t, s.Shake(t.Context()))
	s = reopen(t, s, opts)
	require.Equal(t, want, holds(t, s))
	snap := snapshot(t, s, export.SnapshotOptions{Name: name})
	defer snap.Close()
	require.Equal(t, want, exported(t, snap, export.Request{}))
}

func TestForeignDatabase(t *testing.T) {
	t.Parallel()
	o := options(vfs.NewMem())
	o.Pebble.Comparer = &cockroachkvs.Comparer
	o.Pebble.KeySchema, o.Pebble.KeySchemas = cockroachkvs.KeySchema.Name, sstable.MakeKeySchemas(&cockroachkvs.KeySchema)
	db, err := pebble.Open(dbDir, o.Pebble)
	require.NoError(t, err)
	require.NoError(t, db.Set(cockroachkvs.EncodeMVCCKey(nil, []byte("a"), 1, 0), nil, nil))
	require.NoError(t, db.Close())
	_, err = mvcckv.Open(dbDir, o)
	require.ErrorContains(t, err, "none of this package")
}
