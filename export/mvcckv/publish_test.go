package mvcckv_test

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/mvcckv"
)

// bankOf is a database with a table as some other store had it.
func bankOf(id uint64, spans ...export.Span) []export.Placement {
	return []export.Placement{
		{Path: []string{"bank"}, Object: export.Object{ID: id, Kind: export.DatabaseObject, Name: "bank"}},
		{Path: []string{"bank", "accounts"}, Object: export.Object{ID: id + 1, Parent: id, Kind: export.TableObject, Name: "accounts", Spans: spans}},
	}
}

func place(t *testing.T, s *mvcckv.Store, wanted []export.Placement) []export.Object {
	t.Helper()
	placed, err := s.Place(t.Context(), wanted)
	require.NoError(t, err)
	for i := range placed { // as who restores does
		if p := wanted[i].Object.Parent; p != 0 {
			placed[i].Parent = placed[0].ID
		}
	}
	return placed
}

// restored begins to load objects, with one row in each span.
func restored(t *testing.T, s *mvcckv.Store, opts export.IngestOptions, objects []export.Object) export.Ingester {
	t.Helper()
	for _, o := range objects {
		opts.Spans = append(opts.Spans, o.Spans...)
	}
	in := ingest(t, s, opts)
	for _, o := range objects {
		for _, span := range o.Spans {
			l, err := in.Load(t.Context(), span)
			require.NoError(t, err)
			require.NoError(t, l.Add(&export.Entry{Kind: export.Set, Key: append(append([]byte(nil), span.Start...), "row"...)}))
			require.NoError(t, l.Finish())
		}
	}
	require.NoError(t, in.(export.CatalogIngester).Publish(t.Context(), objects))
	return in
}

func TestPlace(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	source := newStore(t, nil)
	create(t, source, 2, "bank", "accounts")
	there := objectsAt(t, source, export.Timestamp{})
	wanted := bankOf(1, there[1].Spans...)

	s := newStore(t, nil)
	first := place(t, s, wanted)
	require.Equal(t, there, first, "an empty store lets objects be what they were")
	second := place(t, s, wanted)
	for i, o := range second {
		require.NotEqual(t, first[i].ID, o.ID)
		require.Len(t, o.Spans, len(first[i].Spans))
		require.Equal(t, first[i].Name, o.Name)
	}
	require.False(t, second[1].Spans[0].Overlaps(nil, first[1].Spans[0]))

	foreign := bankOf(100, export.PrefixSpan([]byte("a/")), export.PrefixSpan([]byte("i/")))
	require.Equal(t, foreign[1].Object, place(t, s, foreign)[1], "spans of another kind of store, which are free")
	set(t, s, "a/x", "1")
	foreign = bankOf(200, export.PrefixSpan([]byte("a/")), export.PrefixSpan([]byte("i/")))
	moved := place(t, s, foreign)
	require.Equal(t, uint64(200), moved[0].ID)
	require.NotContains(t, moved[1].Spans, foreign[1].Object.Spans[0], "it is in use")

	odd := bankOf(300, export.Span{Start: []byte("a"), End: []byte("c")})
	_, err := s.Place(ctx, odd)
	require.ErrorContains(t, err, "bank.accounts")
	odd = bankOf(1, export.Span{Start: []byte("k"), End: []byte("m")})
	require.Equal(t, odd[1].Object.Spans, place(t, s, odd)[1].Spans, "no prefix, but free")
	twice := append(bankOf(1000), bankOf(1000)...)
	ids := map[uint64]bool{}
	placed, err := s.Place(ctx, twice)
	require.NoError(t, err)
	for _, o := range placed {
		require.False(t, ids[o.ID])
		ids[o.ID] = true
	}
	_, err = s.Place(ctx, []export.Placement{{}})
	require.Error(t, err)
}

// TestPublish: objects appear with their data, and not before, at one timestamp.
func TestPublish(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	create(t, s, 1, "live")
	objects := place(t, s, bankOf(1, export.PrefixSpan([]byte("a/")), export.PrefixSpan([]byte("i/"))))
	in := restored(t, s, export.IngestOptions{}, objects)
	before := snapshot(t, s, export.SnapshotOptions{})
	defer before.Close()
	require.Equal(t, []string{"live"}, named(objectsAt(t, s, export.Timestamp{})))
	tx := begin(t, s, nil)
	_, err := tx.CreateObject(t.Context(), export.Object{Name: "open"}, 0)
	require.NoError(t, err)
	require.NoError(t, in.Commit(t.Context()), "an open transaction is pushed")
	_, err = tx.Commit(t.Context())
	retries(t, err, mvcckv.Pushed)

	require.Equal(t, []string{"live", "bank", "bank.accounts"}, named(objectsAt(t, s, export.Timestamp{})))
	require.Equal(t, []string{"live"}, named(objectsAt(t, s, before.Timestamp())))
	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	versions, err := snap.(export.CatalogHistorian).ObjectVersions(t.Context(), before.Timestamp())
	require.NoError(t, err)
	require.Len(t, versions, 2)
	entries, err := kvtest.Collect(t.Context(), snap, export.Request{Span: objects[1].Spans[0]})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, versions[0].Timestamp, entries[0].Timestamp)

	after := create(t, s, 0, "bank", "more")
	require.Greater(t, after.ID, objects[1].ID)
	aborted := restored(t, s, export.IngestOptions{}, []export.Object{{ID: 77, Name: "never"}})
	require.NoError(t, aborted.Abort())
	require.Error(t, aborted.(export.CatalogIngester).Publish(t.Context(), objects))
	require.NotContains(t, named(objectsAt(t, s, export.Timestamp{})), "never")
}

// TestPublishConflicts are found at Commit, and change nothing.
func TestPublishConflicts(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	accounts := create(t, s, 1, "bank", "accounts")
	fill(t, s, accounts, 0, "live")
	bank := objectsAt(t, s, export.Timestamp{})[0]
	was := objectsAt(t, s, export.Timestamp{})

	other, err := s.Place(t.Context(), []export.Placement{{Path: []string{"bank", "accounts"}, Object: accounts}})
	require.NoError(t, err)
	require.NotEqual(t, accounts.ID, other[0].ID, "beside the live one")
	in := restored(t, s, export.IngestOptions{}, other)
	var full *export.NotEmptyError
	require.ErrorAs(t, in.Commit(t.Context()), &full)
	require.Equal(t, "bank.accounts", full.Name)
	require.NoError(t, in.Abort())
	for name, o := range map[string]export.Object{
		"no parent":  {ID: 70, Parent: 71, Name: "x"},
		"no name":    {ID: 70},
		"overlap":    {ID: 70, Name: "x", Spans: accounts.Spans},
		"an ID used": {ID: bank.ID, Name: "bank", Kind: "other"},
	} {
		in := ingest(t, s, export.IngestOptions{})
		require.NoError(t, in.(export.CatalogIngester).Publish(t.Context(), []export.Object{o}))
		require.Error(t, in.Commit(t.Context()), name)
		require.NoError(t, in.Abort())
	}
	require.Equal(t, was, objectsAt(t, s, export.Timestamp{}))

	late := restored(t, s, export.IngestOptions{}, []export.Object{{ID: other[0].ID, Parent: bank.ID, Name: "late"}})
	create(t, s, 0, "bank", "late")
	require.ErrorAs(t, late.Commit(t.Context()), &full)
	require.NoError(t, late.Abort())

	in = restored(t, s, export.IngestOptions{Replace: true}, other)
	require.NoError(t, in.Commit(t.Context()))
	now := objectsAt(t, s, export.Timestamp{})
	require.Equal(t, []string{"bank", "bank.accounts", "bank.late"}, named(now))
	require.Equal(t, other[0], now[1])
	tx := begin(t, s, nil)
	found, err := tx.FindObject(t.Context(), "bank", "accounts")
	require.NoError(t, err)
	require.Equal(t, other[0], found)
	require.Equal(t, 1, rowsIn(t, tx, accounts), "until Collect")

	in = restored(t, s, export.IngestOptions{Replace: true}, []export.Object{{ID: 500, Kind: "database", Name: "bank"}})
	require.NoError(t, in.Commit(t.Context()))
	require.Equal(t, []string{"bank"}, named(objectsAt(t, s, export.Timestamp{})), "with all that was in it")
	_, err = tx.CreateObject(t.Context(), export.Object{Parent: bank.ID, Name: "in what is gone"}, 0)
	retries(t, err, mvcckv.WrittenSince)
	require.NoError(t, tx.Rollback())
}

// TestPublishRenames: an object that is replaced by itself under another name has the
// former one no more.
func TestPublishRenames(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	bank := create(t, s, 1, "bank")
	bank.Name = "vault"
	in := ingest(t, s, export.IngestOptions{Replace: true})
	require.NoError(t, in.(export.CatalogIngester).Publish(t.Context(), []export.Object{bank}))
	require.NoError(t, in.Commit(t.Context()))
	tx := begin(t, s, nil)
	defer func() { require.NoError(t, tx.Rollback()) }()
	found, err := tx.FindObject(t.Context(), "vault")
	require.NoError(t, err)
	require.Equal(t, bank, found)
	_, err = tx.FindObject(t.Context(), "bank")
	require.ErrorIs(t, err, mvcckv.ErrNotFound)
}

// TestCatalogTravelsAsData: the rows of a catalog come with those of a whole store, and
// what is published of it as well changes nothing.
func TestCatalogTravelsAsData(t *testing.T) {
	t.Parallel()
	source := newStore(t, nil)
	accounts := create(t, source, 2, "bank", "accounts")
	fill(t, source, accounts, 0, "alice")
	snap := snapshot(t, source, export.SnapshotOptions{})
	defer snap.Close()
	entries, err := kvtest.Collect(t.Context(), snap, export.Request{Revisions: true})
	require.NoError(t, err)
	objects := objectsAt(t, source, export.Timestamp{})
	extra := append(objects, export.Object{ID: 40, Kind: "schedule", Name: "nightly"})

	byEntry := func(t *testing.T, in export.Ingester) {
		l, err := in.Load(t.Context(), export.Span{})
		require.NoError(t, err)
		for _, e := range entries {
			require.NoError(t, l.Add(&e))
		}
		require.NoError(t, l.Finish())
	}
	byTable := func(t *testing.T, in export.Ingester) {
		require.NoError(t, sendTable(t, in, table(t, func(w *sstable.Writer) (err error) {
			for _, e := range entries {
				if e.Kind == export.Set && len(e.Value) == 0 { // version writes deletions for these
					continue
				}
				err = errors.Join(err, version(w, string(e.Key), uint64(e.Timestamp.WallNanos), string(e.Value)))
			}
			return err
		})))
	}
	for name, load := range map[string]func(*testing.T, export.Ingester){"entries": byEntry, "a table": byTable} {
		for _, published := range [][]export.Object{nil, objects, extra} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newStore(t, nil)
				in := ingest(t, s, everything)
				load(t, in)
				require.NoError(t, in.(export.CatalogIngester).Publish(t.Context(), published))
				require.NoError(t, in.Commit(t.Context()))
				want := published
				if published == nil {
					want = objects
				}
				require.ElementsMatch(t, want, objectsAt(t, s, export.Timestamp{}))
				if len(published) == len(objects) {
					require.Empty(t, exported(t, snapshot(t, s, export.SnapshotOptions{}), export.Request{
						Span: mustInfo(t, s).Reserved[0], Since: mustInfo(t, s).Oldest,
					}), "nothing is written twice")
				}
				tx := begin(t, s, nil)
				require.Equal(t, 1, rowsIn(t, tx, accounts))
				require.NoError(t, tx.Rollback())
				require.NoError(t, s.Shake(t.Context()))
				next := create(t, s, 1, "bank", "next")
				for _, o := range want {
					require.Greater(t, next.ID, o.ID)
				}
			})
		}
	}
}

func mustInfo(t *testing.T, s *mvcckv.Store) export.Info {
	t.Helper()
	info, err := s.Info(t.Context())
	require.NoError(t, err)
	return info
}

// TestLinkBesideEntries: a table that is built may not enclose one that is linked.
func TestLinkBesideEntries(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	in := ingest(t, s, everything)
	for _, span := range []export.Span{{Start: []byte("a"), End: []byte("b")}, {Start: []byte("e"), End: []byte("f")}} {
		l, err := in.Load(t.Context(), span)
		require.NoError(t, err)
		require.NoError(t, l.Add(&export.Entry{Kind: export.Set, Key: span.Start, Value: []byte("1")}))
		require.NoError(t, l.Finish())
	}
	data := table(t, func(w *sstable.Writer) error { return errors.Join(version(w, "c", 7, "1"), version(w, "d", 7, "1")) })
	w, err := in.(export.TableLoader).LoadTable(t.Context(), export.TableInfo{
		Span: export.Span{Start: []byte("c"), End: []byte("e")}, Format: "pebble.v3", Bytes: int64(len(data)),
	})
	require.NoError(t, err)
	_, err = w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Finish())
	require.NoError(t, in.Commit(t.Context()))
	require.Equal(t, []string{"set a=1", "set c=1", "set d=1", "set e=1"}, holds(t, s))
}

// TestCrashDuringPublish: objects and their data are there together or not at all, and
// IDs that were placed are not given again.
func TestCrashDuringPublish(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]bool{"beside": false, "replace": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var placed []export.Object
			var former export.Object
			seen := map[bool]int{}
			last := false
			crashes(t, func(s *mvcckv.Store, begin func()) {
				former = create(t, s, 1, "former")
				fill(t, s, former, 0, "row")
				wanted := bankOf(50, export.PrefixSpan([]byte("a/")))
				if replace {
					wanted[0].Path = []string{"former"}
					wanted[1].Path[0] = "former"
				}
				placed = place(t, s, wanted)
				begin()
				in := restored(t, s, export.IngestOptions{Replace: replace}, placed)
				require.NoError(t, in.Commit(t.Context()))
			}, func(s *mvcckv.Store) {
				objects := objectsAt(t, s, export.Timestamp{})
				tx := begin(t, s, nil)
				rows := rowsIn(t, tx, placed[1])
				require.NoError(t, tx.Rollback())
				last = rows > 0
				seen[last]++
				switch {
				case !last:
					require.Equal(t, []export.Object{former}, objects)
				case replace:
					require.Equal(t, placed, objects)
				default:
					require.Equal(t, append([]export.Object{former}, placed...), objects)
				}
				again := place(t, s, bankOf(50))
				require.Greater(t, again[0].ID, placed[1].ID)
			})
			require.Positive(t, seen[true])
			require.Positive(t, seen[false])
			require.True(t, last, "after Commit has returned")
		})
	}
}

// TestRestartBetweenPlaceAndCommit leaves nothing but IDs that are not given again.
func TestRestartBetweenPlaceAndCommit(t *testing.T) {
	t.Parallel()
	opts := options(vfs.NewMem())
	s := newStore(t, opts)
	placed := place(t, s, bankOf(5, export.PrefixSpan([]byte("a/"))))
	restored(t, s, export.IngestOptions{Name: name}, placed)
	s = reopen(t, s, opts)
	require.Empty(t, holds(t, s))
	require.Empty(t, objectsAt(t, s, export.Timestamp{}))
	require.Equal(t, uint64(7), place(t, s, bankOf(5))[0].ID)
}
