package varve_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// town is a store with a catalog, and a collection.
type town struct {
	testing.TB
	bucket *faultblob.Bucket
	store  *memkv.Store
	now    *time.Time
	ids    map[string]uint64 // by path
}

// IDs of the town's objects.
const (
	bankID = 1 + iota
	accountsID
	entriesID
	richID
	shopID
	ordersID
	systemID
	usersID
)

// tableSpans are those of a table and so many indexes, by its ID.
func tableSpans(id uint64, indexes int) []export.Span {
	var out []export.Span
	for i := range indexes + 1 {
		out = append(out, export.PrefixSpan(fmt.Appendf(nil, "%03d/%d/", id, i)))
	}
	return out
}

func townObjects() []export.Object {
	return []export.Object{
		{ID: bankID, Kind: export.DatabaseObject, Name: "bank", Grants: []byte("all")},
		{ID: accountsID, Parent: bankID, Kind: export.TableObject, Name: "accounts", Spans: tableSpans(accountsID, 1), Definition: []byte("create table accounts")},
		{
			ID: entriesID, Parent: bankID, Kind: export.TableObject, Name: "entries", Spans: tableSpans(entriesID, 0),
			Needs: []export.Dependency{{Kind: export.ForeignKeyDependency, On: accountsID}},
		},
		{ID: richID, Parent: bankID, Kind: export.ViewObject, Name: "rich", Needs: []export.Dependency{{Kind: export.ViewDependency, On: accountsID}}},
		{ID: shopID, Kind: export.DatabaseObject, Name: "shop"},
		{ID: ordersID, Parent: shopID, Kind: export.TableObject, Name: "orders", Spans: tableSpans(ordersID, 2), Regions: []string{"eu"}},
		{ID: systemID, Kind: export.DatabaseObject, Name: "system", System: true},
		{ID: usersID, Parent: systemID, Kind: export.SystemObject, Name: "users", Spans: tableSpans(usersID, 0), System: true},
	}
}

func newTown(t testing.TB, opts memkv.Options) *town {
	t.Helper()
	now := time.Date(2026, 11, 22, 6, 31, 59, 370_000_000, time.UTC)
	w := &town{TB: t, bucket: faultblob.New(t, nil), now: &now, ids: map[string]uint64{}}
	opts.Now = func() time.Time { return *w.now }
	opts.PartitionBytes = 2 << 10
	opts.Regions = []string{"eu"}
	w.store = newStore(t, &opts)
	if len(opts.Objects) == 0 {
		_, err := w.store.PutObjects(townObjects()...)
		require.NoError(t, err)
	}
	for _, id := range []uint64{accountsID, entriesID, ordersID, usersID} {
		w.write(id, 0, 20, "first")
	}
	return w
}

// write sets rows of a table, and what its indexes have of them.
func (w *town) write(id uint64, from, to int, value string) {
	for i := from; i < to; i++ {
		w.store.Set(fmt.Appendf(nil, "%03d/0/%04d", id, i), fmt.Appendf(nil, "%s row %d of %d", value, i, id))
		if id == accountsID || id == ordersID {
			w.store.Set(fmt.Appendf(nil, "%03d/1/%s-%04d", id, value, i), nil)
		}
	}
}

func (w *town) remove(id uint64, from, to int) {
	for i := from; i < to; i++ {
		w.store.Delete(fmt.Appendf(nil, "%03d/0/%04d", id, i))
	}
}

func (w *town) collection() *varve.Collection {
	return collectionIn(w, w.bucket, &varve.CollectionOptions{Now: func() time.Time { return *w.now }})
}

func (w *town) tables(names ...string) varve.Targets    { return varve.Tables(w.store, names...) }
func (w *town) databases(names ...string) varve.Targets { return varve.Databases(w.store, names...) }

// backup takes one an hour later, of small files.
func (w *town) backup(targets varve.Targets, opts varve.BackupOptions) *varve.Layer {
	w.Helper()
	*w.now = w.now.Add(time.Hour)
	opts.TargetFileBytes = 2 << 10
	layer, err := w.collection().Backup(w.Context(), targets, &opts)
	require.NoError(w, err)
	_, err = w.collection().Verify(w.Context(), layer.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
	require.NoError(w, err)
	return layer
}

func (w *town) empty() *memkv.Store {
	return newStore(w, &memkv.Options{Now: func() time.Time { return *w.now }, Regions: []string{"eu"}})
}

func (w *town) restore(targets varve.Targets, opts varve.RestoreOptions) *varve.Restored {
	w.Helper()
	restored, err := w.collection().Restore(w.Context(), targets, &opts)
	require.NoError(w, err)
	return restored
}

// objectsOf is the catalog of a store as of a moment; zero: now.
func objectsOf(t testing.TB, store export.Store, at export.Timestamp) []export.Object {
	t.Helper()
	s, err := store.Snapshot(t.Context(), export.SnapshotOptions{AsOf: at})
	require.NoError(t, err)
	objects, err := s.(export.Cataloger).Objects(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close())
	return objects
}

// object is the one that has a path.
func object(t testing.TB, store export.Store, at export.Timestamp, path string) *export.Object {
	t.Helper()
	objects := objectsOf(t, store, at)
	for i, o := range objects {
		if pathIn(objects, o) == path {
			return &objects[i]
		}
	}
	return nil
}

func pathIn(objects []export.Object, o export.Object) string {
	for _, p := range objects {
		if p.ID == o.Parent {
			return pathIn(objects, p) + "." + o.Name
		}
	}
	return o.Name
}

// rows are what an object holds at a moment, each key without the prefix of its span, and
// behind the number of that.
func rows(t testing.TB, store export.Store, at export.Timestamp, path string) []string {
	t.Helper()
	o := object(t, store, at, path)
	require.NotNil(t, o, "there is no %s", path)
	s, err := store.Snapshot(t.Context(), export.SnapshotOptions{AsOf: at})
	require.NoError(t, err)
	var out []string
	for i, span := range o.Spans {
		all, err := kvtest.Collect(t.Context(), s, export.Request{Span: span})
		require.NoError(t, err)
		for _, e := range all {
			require.Equal(t, export.Set, e.Kind)
			out = append(out, fmt.Sprintf("%d %s = %s", i, e.Key[len(span.Start):], e.Value))
		}
	}
	require.NoError(t, s.Close())
	return out
}

// requireSameTable compares a table with what another was at a moment.
func requireSameTable(t testing.TB, want export.Store, at export.Timestamp, path string, got export.Store, name string) {
	t.Helper()
	require.Equal(t, rows(t, want, at, path), rows(t, got, export.Timestamp{}, name), "%s of %s", name, path)
	a, b := object(t, want, at, path), object(t, got, export.Timestamp{}, name)
	require.Equal(t, a.Kind, b.Kind)
	require.Equal(t, a.Definition, b.Definition)
	require.Equal(t, a.Grants, b.Grants)
}

// paths are the names of all objects of a store.
func paths(t testing.TB, store export.Store) []string {
	t.Helper()
	out := []string{}
	objects := objectsOf(t, store, export.Timestamp{})
	for _, o := range objects {
		out = append(out, pathIn(objects, o))
	}
	slices.Sort(out)
	return out
}
