package mvcckv_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

// create makes objects in one transaction: each name below the one before, of which the
// last is a table of n spans.
func create(t *testing.T, s *mvcckv.Store, n int, path ...string) export.Object {
	t.Helper()
	var o export.Object
	_, err := write(t.Context(), s, func(tx *mvcckv.Tx) error {
		o = export.Object{}
		for i, name := range path {
			there, err := tx.FindObject(t.Context(), path[:i+1]...)
			if err == nil {
				o = there
				continue
			}
			kind, spans := export.DatabaseObject, 0
			if i == len(path)-1 {
				kind, spans = export.TableObject, n
			}
			o, err = tx.CreateObject(t.Context(), export.Object{Parent: o.ID, Kind: kind, Name: name}, spans)
			if err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	return o
}

// fill writes rows to a span of an object.
func fill(t *testing.T, s *mvcckv.Store, o export.Object, span int, rows ...string) export.Timestamp {
	t.Helper()
	at, err := write(t.Context(), s, func(tx *mvcckv.Tx) error {
		for _, row := range rows {
			if err := tx.Put(t.Context(), append(mvcckv.KeyPrefix(o, span), row...), []byte(row)); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	return at
}

func objectsAt(t *testing.T, s *mvcckv.Store, at export.Timestamp) []export.Object {
	t.Helper()
	snap := snapshot(t, s, export.SnapshotOptions{AsOf: at})
	defer snap.Close()
	objects, err := snap.(export.Cataloger).Objects(t.Context())
	require.NoError(t, err)
	return objects
}

// named are the paths of objects.
func named(objects []export.Object) []string {
	paths := map[uint64]string{}
	var all []string
	for _, o := range objects {
		paths[o.ID] = o.Name
		if o.Parent != 0 {
			paths[o.ID] = paths[o.Parent] + "." + o.Name
		}
		all = append(all, paths[o.ID])
	}
	return all
}

func change(t *testing.T, s *mvcckv.Store, do func(tx *mvcckv.Tx) error) export.Timestamp {
	t.Helper()
	at, err := write(t.Context(), s, do)
	require.NoError(t, err)
	return at
}

func rowsIn(t *testing.T, tx *mvcckv.Tx, o export.Object) int {
	t.Helper()
	n := 0
	for _, span := range o.Spans {
		n += len(scanned(t, tx, span))
	}
	return n
}

// TestCatalogHistory: objects are as of every moment what they were, and versions say
// what they became in between.
func TestCatalogHistory(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	opts := options(vfs.NewMem())
	opts.Regions = []string{"eu"}
	s := newStore(t, opts)
	info, err := s.Info(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"eu"}, info.Regions)
	require.Empty(t, objectsAt(t, s, export.Timestamp{}))

	accounts := create(t, s, 2, "bank", "accounts")
	full := fill(t, s, accounts, 0, "alice", "bob")
	require.Equal(t, []string{"bank", "bank.accounts"}, named(objectsAt(t, s, full)))
	require.False(t, accounts.Spans[0].Overlaps(nil, accounts.Spans[1]))

	var emptied export.Object
	truncated := change(t, s, func(tx *mvcckv.Tx) (err error) {
		emptied, err = tx.TruncateObject(ctx, accounts.ID)
		return err
	})
	require.Len(t, emptied.Spans, 2)
	for _, is := range emptied.Spans {
		for _, was := range accounts.Spans {
			require.False(t, is.Overlaps(nil, was), "a layer introduces them")
		}
	}
	fill(t, s, emptied, 0, "carol")
	other := create(t, s, 0, "rescue")
	moved := change(t, s, func(tx *mvcckv.Tx) error { return tx.RenameObject(ctx, accounts.ID, other.ID, "ledger") })
	changed := change(t, s, func(tx *mvcckv.Tx) error {
		o, err := tx.FindObject(ctx, "rescue", "ledger")
		require.NoError(t, err)
		o.Definition, o.Name = []byte("columns"), "not looked at"
		require.NoError(t, tx.ChangeObject(ctx, o))
		o, err = tx.AddSpan(ctx, o.ID)
		require.Len(t, o.Spans, 3)
		return err
	})
	dropped := change(t, s, func(tx *mvcckv.Tx) error { return tx.DropObject(ctx, other.ID) })
	again := create(t, s, 1, "bank", "accounts")
	require.Greater(t, again.ID, other.ID)

	s = reopen(t, s, opts)
	require.Equal(t, []string{"bank", "rescue", "rescue.ledger"}, named(objectsAt(t, s, moved)))
	require.Equal(t, "columns", string(objectsAt(t, s, changed)[2].Definition))
	require.Equal(t, []string{"bank"}, named(objectsAt(t, s, dropped)))
	require.Equal(t, 2, rowsIn(t, at(t, s, full), objectsAt(t, s, full)[1]), "what is truncated can be seen as of before")
	require.Equal(t, 1, rowsIn(t, at(t, s, moved), objectsAt(t, s, moved)[2]))
	require.Equal(t, []string{"bank", "bank.accounts"}, named(objectsAt(t, s, export.Timestamp{})))

	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	versions, err := snap.(export.CatalogHistorian).ObjectVersions(ctx, full)
	require.NoError(t, err)
	var told []string
	for _, v := range versions {
		told = append(told, fmt.Sprintf("%s %d %v", v.Object.Name, len(v.Object.Spans), v.Dropped))
	}
	require.Equal(t, []string{
		"accounts 2 false", "rescue 0 false", "ledger 2 false", "ledger 3 false",
		"ledger 3 true", "rescue 0 true", "accounts 1 false",
	}, told)
	require.Equal(t, truncated, versions[0].Timestamp)
}

func TestCatalogRefusals(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStore(t, nil)
	bank := create(t, s, 0, "bank")
	inner := create(t, s, 0, "bank", "inner")
	tx := begin(t, s, nil)
	defer func() { require.NoError(t, tx.Rollback()) }()
	_, err := tx.CreateObject(ctx, export.Object{Name: "bank"}, 0)
	require.ErrorIs(t, err, mvcckv.ErrExists)
	_, err = tx.CreateObject(ctx, export.Object{}, 0)
	require.Error(t, err)
	_, err = tx.CreateObject(ctx, export.Object{Name: "x", ID: 7}, 0)
	require.ErrorContains(t, err, "the store's to choose")
	_, err = tx.CreateObject(ctx, export.Object{Name: "x", Parent: 77}, 0)
	require.ErrorIs(t, err, mvcckv.ErrNotFound)
	require.ErrorIs(t, tx.RenameObject(ctx, inner.ID, 0, "bank"), mvcckv.ErrExists)
	require.ErrorContains(t, tx.RenameObject(ctx, bank.ID, inner.ID, "x"), "in itself")
	require.ErrorIs(t, tx.DropObject(ctx, 77), mvcckv.ErrNotFound)
	_, err = tx.TruncateObject(ctx, 77)
	require.ErrorIs(t, err, mvcckv.ErrNotFound)
	_, err = tx.FindObject(ctx, "bank", "none")
	require.ErrorContains(t, err, "bank.none")
	_, err = tx.FindObject(ctx)
	require.ErrorIs(t, err, mvcckv.ErrNotFound)

	info, err := s.Info(ctx)
	require.NoError(t, err)
	own := append(info.Reserved[0].Start, "x"...)
	require.Error(t, tx.Put(ctx, own, nil))
	require.Error(t, tx.Delete(ctx, own))
	require.NoError(t, tx.DeleteRange(ctx, nil, nil))
	objects, err := tx.Objects(ctx)
	require.NoError(t, err)
	require.Len(t, objects, 2, "the catalog stays")
}

// TestCatalogConflicts: of two transactions that cannot both be right, one has to be
// tried again.
func TestCatalogConflicts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	create := func(parent uint64, name string) func(*mvcckv.Tx) error {
		return func(tx *mvcckv.Tx) error {
			_, err := tx.CreateObject(ctx, export.Object{Parent: parent, Name: name}, 1)
			return err
		}
	}
	rename := func(id, parent uint64, name string) func(*mvcckv.Tx) error {
		return func(tx *mvcckv.Tx) error { return tx.RenameObject(ctx, id, parent, name) }
	}
	drop := func(id uint64) func(*mvcckv.Tx) error {
		return func(tx *mvcckv.Tx) error { return tx.DropObject(ctx, id) }
	}
	const a, b, inA = 1, 2, 3 // IDs begin with 1
	for name, acts := range map[string][2]func(*mvcckv.Tx) error{
		"create, create":      {create(a, "x"), create(a, "x")},
		"create, rename":      {create(a, "x"), rename(inA, a, "x")},
		"rename, rename":      {rename(inA, a, "x"), rename(inA, a, "y")},
		"drop, create":        {drop(a), create(a, "x")},
		"create, drop":        {create(a, "x"), drop(a)},
		"drop, move into":     {drop(b), rename(inA, b, "t")},
		"into one another":    {rename(a, b, "a"), rename(b, a, "b")},
		"truncate, drop":      {func(tx *mvcckv.Tx) error { _, err := tx.TruncateObject(ctx, inA); return err }, drop(inA)},
		"grow, truncate":      {func(tx *mvcckv.Tx) error { _, err := tx.AddSpan(ctx, inA); return err }, func(tx *mvcckv.Tx) error { _, err := tx.TruncateObject(ctx, inA); return err }},
		"rename over, create": {rename(inA, 0, "x"), create(0, "x")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, nil)
			for _, o := range []export.Object{{Name: "a"}, {Name: "b"}, {Parent: a, Name: "t"}} {
				change(t, s, create(o.Parent, o.Name))
			}
			first, second := begin(t, s, nil), begin(t, s, nil)
			require.NoError(t, acts[0](first))
			commit(t, first)
			retries(t, acts[1](second), mvcckv.WrittenSince)
			require.NoError(t, second.Rollback())
			objectsAt(t, s, export.Timestamp{})
		})
	}
}

// TestCatalogOfAnOpenTransaction is not seen by others, who push it.
func TestCatalogOfAnOpenTransaction(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	tx := begin(t, s, nil)
	_, err := tx.CreateObject(t.Context(), export.Object{Name: "bank"}, 0)
	require.NoError(t, err)
	own, err := tx.Objects(t.Context())
	require.NoError(t, err)
	require.Len(t, own, 1)
	require.Empty(t, objectsAt(t, s, export.Timestamp{}))
	_, err = tx.Commit(t.Context())
	retries(t, err, mvcckv.Pushed)
}

// TestIDsAreNotGivenTwice over rollbacks and crashes.
func TestIDsAreNotGivenTwice(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	seen := map[uint64]bool{}
	for range 3 {
		s := open(t, options(mem))
		for range 3 {
			tx := begin(t, s, nil)
			o, err := tx.CreateObject(t.Context(), export.Object{Name: "x"}, 0)
			require.NoError(t, err)
			require.False(t, seen[o.ID])
			seen[o.ID] = true
			require.NoError(t, tx.Rollback())
		}
		placed, err := s.Place(t.Context(), []export.Placement{{Path: []string{"x"}, Object: export.Object{ID: 1}}})
		require.NoError(t, err)
		require.False(t, seen[placed[0].ID])
		seen[placed[0].ID] = true
		mem = mem.CrashClone(vfs.CrashCloneCfg{})
	}
}

// TestCollectSweeps deletes what no object has any more, at a new timestamp, and keeps
// what a named snapshot needs.
func TestCollectSweeps(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStore(t, nil)
	dropped, truncated, kept := create(t, s, 1, "a"), create(t, s, 1, "b"), create(t, s, 1, "c")
	var rows []string
	for i := range 2500 {
		rows = append(rows, fmt.Sprintf("%04d", i))
	}
	fill(t, s, dropped, 0, rows...)
	fill(t, s, truncated, 0, "1", "2")
	fill(t, s, kept, 0, "1")
	foreign := append([]byte("\xffo"), "nobody's, and not an ID that was given"...)
	full := set(t, s, string(foreign), "1")
	named := snapshot(t, s, export.SnapshotOptions{Name: name, AsOf: full})
	require.NoError(t, named.Close())
	change(t, s, func(tx *mvcckv.Tx) error { return tx.DropObject(ctx, dropped.ID) })
	var emptied export.Object
	end := change(t, s, func(tx *mvcckv.Tx) (err error) {
		emptied, err = tx.TruncateObject(ctx, truncated.ID)
		return err
	})
	fill(t, s, emptied, 0, "3")
	live := func(moment export.Timestamp) []int {
		tx := at(t, s, moment)
		defer func() { require.NoError(t, tx.Rollback()) }()
		return []int{rowsIn(t, tx, dropped), rowsIn(t, tx, truncated), rowsIn(t, tx, kept), rowsIn(t, tx, emptied)}
	}
	require.Equal(t, []int{2500, 2, 1, 0}, live(end), "a drop takes no time")
	open := begin(t, s, nil)
	future, err := open.CreateObject(ctx, export.Object{Name: "d"}, 1)
	require.NoError(t, err)
	require.NoError(t, open.Put(ctx, mvcckv.KeyPrefix(future, 0), nil))
	require.Equal(t, full, collect(t, s, end), "the snapshot holds it back")
	commit(t, open)
	now := set(t, s, "now", "1")
	require.Equal(t, []int{0, 0, 1, 1}, live(now))
	require.Equal(t, 1, rowsIn(t, at(t, s, now), future))
	require.Equal(t, "1", get(t, at(t, s, now), string(foreign)))
	require.Equal(t, []int{2500, 2, 1, 0}, live(full), "history stays")
	require.Len(t, objectsAt(t, s, full), 3)

	require.NoError(t, s.Release(ctx, name))
	require.Equal(t, now, collect(t, s, now))
	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	require.Empty(t, exported(t, snap, export.Request{Span: dropped.Spans[0], Revisions: true}))
	versions, err := snap.(export.CatalogHistorian).ObjectVersions(ctx, export.Timestamp{})
	require.NoError(t, err)
	require.Len(t, versions, 3, "b as it is, c, and d")
	_, err = snap.(export.CatalogHistorian).ObjectVersions(ctx, full)
	require.ErrorIs(t, err, export.ErrNoBase)
}
