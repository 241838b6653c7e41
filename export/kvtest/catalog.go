package kvtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func catalogChecks() []check {
	return []check{
		{"Catalog/Objects", checkObjects},
		{"Catalog/Snapshot", checkObjectsOfSnapshot},
		{"Catalog/AsOf", checkObjectsAsOf},
		{"Catalog/Versions", checkObjectVersions},
		{"Catalog/Place", checkPlace},
		{"Catalog/PlaceAgain", checkPlaceAgain},
		{"Catalog/Publish", checkPublish},
		{"Catalog/PublishAbort", checkPublishAbort},
		{"Catalog/PublishCrash", checkPublishCrash},
		{"Catalog/PublishNoData", checkPublishNoData},
		{"Catalog/PublishConflict", checkPublishConflict},
		{"Catalog/PublishReplace", checkPublishReplace},
		{"Catalog/PublishNoParent", checkPublishNoParent},
		{"Catalog/Closed", checkClosedCatalog},
		{"Catalog/Cancelled", checkCancelledCatalog},
	}
}

// objects skips the check where snapshots have no catalog.
func (w *world) objects(s export.Snapshot) []export.Object {
	w.Helper()
	c, ok := s.(export.Cataloger)
	if !ok {
		w.Skipf("the snapshot has no catalog")
	}
	objects, err := c.Objects(w.ctx)
	require.NoError(w, err)
	return objects
}

func (w *world) objectsNow(store export.Store) []export.Object {
	w.Helper()
	s := w.snapshot(store, export.SnapshotOptions{})
	defer w.closing(s)
	return w.objects(s)
}

// catalogWriter skips the check where the harness cannot change the catalog, or the store
// does not show it.
func (w *world) catalogWriter() CatalogWriter {
	w.Helper()
	h, ok := w.h.(CatalogWriter)
	if !ok {
		w.Skipf("the harness does not change a catalog")
	}
	w.objectsNow(w.store)
	return h
}

func (w *world) create(o export.Object, spans int) export.Object {
	w.Helper()
	created, err := w.catalogWriter().CreateObject(o, spans)
	require.NoError(w, err)
	require.NotZero(w, created.ID)
	require.Len(w, created.Spans, spans)
	return created
}

// bank is a catalog with some of everything.
func (w *world) bank() []export.Object {
	w.Helper()
	bank := w.create(export.Object{Kind: export.DatabaseObject, Name: "bank", Grants: []byte("to all"), Regions: []string{"eu"}}, 0)
	accounts := w.create(export.Object{Parent: bank.ID, Kind: export.TableObject, Name: "accounts", Definition: []byte("columns")}, 2)
	rich := w.create(export.Object{
		Parent: bank.ID, Kind: export.ViewObject, Name: "rich", Needs: []export.Dependency{{Kind: export.ViewDependency, On: accounts.ID}},
	}, 0)
	users := w.create(export.Object{Kind: export.SystemObject, Name: "users", System: true}, 1)
	return []export.Object{bank, accounts, rich, users}
}

// checkObjects is of whatever catalog there is.
func checkObjects(w *world) {
	if _, ok := w.h.(CatalogWriter); ok {
		w.objectsNow(w.store)
		want := w.bank()
		require.ElementsMatch(w, want, w.objectsNow(w.store))
	}
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	objects := w.objects(s)
	w.sound(objects)
	for i := range objects { // they are the caller's
		objects[i].Name += "!"
		for j := range objects[i].Spans {
			objects[i].Spans[j].Start = append(objects[i].Spans[j].Start[:0], "overwritten"...)
		}
	}
	w.sound(w.objects(s))
	for _, o := range w.objects(s) {
		require.NotContains(w, o.Name, "!", "it is the caller's")
	}
}

// sound is what holds of every catalog.
func (w *world) sound(objects []export.Object) {
	w.Helper()
	known, names := map[uint64]bool{}, map[string]bool{}
	var spans []export.Span
	for _, o := range objects {
		require.NotZero(w, o.ID, "%s", o.Name)
		require.False(w, known[o.ID], "object %d is there twice", o.ID)
		require.NotEmpty(w, o.Name)
		require.NotEmpty(w, o.Kind, "%s", o.Name)
		require.True(w, o.Parent == 0 || known[o.Parent], "the parent of %s comes before it", o.Name)
		place := fmt.Sprint(o.Parent, o.Name)
		require.False(w, names[place], "%s is there twice", o.Name)
		known[o.ID], names[place] = true, true
		for _, span := range o.Spans {
			require.False(w, span.IsEmpty(w.order), "%s of %s", span, o.Name)
			require.True(w, w.order.CutPoint(span.Start) && w.order.CutPoint(span.End), "%s of %s", span, o.Name)
		}
		spans = append(spans, o.Spans...)
	}
	spans = append(spans, w.info.Reserved...)
	for i, a := range spans {
		for _, b := range spans[:i] {
			require.False(w, a.Overlaps(w.order, b), "%s and %s", a, b)
		}
	}
}

func checkObjectsOfSnapshot(w *world) {
	h := w.catalogWriter()
	before := w.bank()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	named, err := w.store.Snapshot(w.ctx, export.SnapshotOptions{Name: snapshotName(1)})
	if err == nil {
		w.closing(named)
	} else {
		require.ErrorIs(w, err, errors.ErrUnsupported)
	}
	require.NoError(w, h.RenameObject(before[1].ID, 0, "ledger"))
	require.NoError(w, h.DropObject(before[0].ID))
	w.create(export.Object{Kind: export.DatabaseObject, Name: "other"}, 0)
	require.ElementsMatch(w, before, w.objects(s), "a snapshot does not move")
	now := w.objectsNow(w.store)
	w.sound(now)
	require.ElementsMatch(w, []string{"ledger", "users", "other"}, namesOf(now))
	if named == nil {
		return
	}
	again := w.snapshot(w.store, export.SnapshotOptions{Name: snapshotName(1)})
	defer w.closing(again)
	require.ElementsMatch(w, before, w.objects(again))
}

func namesOf(objects []export.Object) []string {
	var names []string
	for _, o := range objects {
		names = append(names, o.Name)
	}
	return names
}

func checkObjectsAsOf(w *world) {
	if !w.info.Revisions {
		w.Skipf("the store keeps no revisions")
	}
	h := w.catalogWriter()
	before := w.bank()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	w.closing(s)
	require.NoError(w, h.DropObject(before[0].ID))
	again := w.create(export.Object{Kind: export.DatabaseObject, Name: "bank"}, 0)
	require.NotEqual(w, before[0].ID, again.ID, "an ID is of one object")
	past := w.snapshot(w.store, export.SnapshotOptions{AsOf: s.Timestamp()})
	defer w.closing(past)
	require.ElementsMatch(w, before, w.objects(past))
	require.ElementsMatch(w, []uint64{before[3].ID, again.ID}, idsOf(w.objectsNow(w.store)))
}

func idsOf(objects []export.Object) []uint64 {
	var ids []uint64
	for _, o := range objects {
		ids = append(ids, o.ID)
	}
	return ids
}

// checkObjectVersions sees that versions turn what was at one moment into what was at
// another, for random changes.
func checkObjectVersions(w *world) {
	if !w.info.Revisions {
		w.Skipf("the store keeps no revisions")
	}
	h := w.catalogWriter()
	rng := rand.New(rand.NewPCG(6, 6))
	var views []export.Snapshot
	var shown [][]export.Object
	view := func() {
		s := w.snapshot(w.store, export.SnapshotOptions{})
		if _, ok := s.(export.CatalogHistorian); !ok {
			w.closing(s)
			w.Skipf("the snapshot has no versions of objects")
		}
		views, shown = append(views, s), append(shown, w.objects(s))
	}
	defer func() {
		for _, s := range views {
			w.closing(s)
		}
	}()
	view()
	for i := range 30 {
		now := w.objectsNow(w.store)
		switch {
		case len(now) < 4 || rng.IntN(3) == 0:
			o := export.Object{Kind: export.TableObject, Name: fmt.Sprint("o", i)}
			if len(now) > 0 && rng.IntN(2) == 0 {
				o.Parent = now[rng.IntN(len(now))].ID
			}
			w.create(o, rng.IntN(3))
		case rng.IntN(2) == 0:
			o := now[rng.IntN(len(now))]
			require.NoError(w, h.RenameObject(o.ID, o.Parent, fmt.Sprint("r", i)))
		default:
			require.NoError(w, h.DropObject(now[rng.IntN(len(now))].ID))
		}
		if i%6 == 0 {
			view()
		}
	}
	view()
	for i := range views {
		for j := range views[i:] {
			w.turns(shown[i], views[i+j], views[i].Timestamp(), shown[i+j])
		}
	}
}

// turns sees that what was at since becomes what is in s.
func (w *world) turns(was []export.Object, s export.Snapshot, since export.Timestamp, is []export.Object) {
	w.Helper()
	versions, err := s.(export.CatalogHistorian).ObjectVersions(w.ctx, since)
	require.NoError(w, err)
	state := map[uint64]export.Object{}
	for _, o := range was {
		state[o.ID] = o
	}
	last := since
	for _, v := range versions {
		require.Positive(w, v.Timestamp.Compare(since), "after since")
		require.LessOrEqual(w, v.Timestamp.Compare(s.Timestamp()), 0, "not after the snapshot")
		require.GreaterOrEqual(w, v.Timestamp.Compare(last), 0, "oldest first")
		last = v.Timestamp
		if v.Dropped {
			require.Equal(w, state[v.Object.ID], v.Object, "as it was before")
			delete(state, v.Object.ID)
			continue
		}
		state[v.Object.ID] = v.Object
	}
	var left []export.Object
	for _, o := range state {
		left = append(left, o)
	}
	slices.SortFunc(left, func(a, b export.Object) int { return int(a.ID) - int(b.ID) })
	require.ElementsMatch(w, is, left)
}
