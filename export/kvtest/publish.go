package kvtest

import (
	"context"
	"errors"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

// placing is objects that are restored, and where they go.
type placing struct {
	objects []export.Object
	static  bool // the store has them declared, and no others
}

// wanted is a database with a table and a view, as another store had them. Its spans are
// those of prefixes, where the order is bytewise.
func (w *world) wanted() []export.Placement {
	span := func(name string) export.Span {
		if w.order.Name == export.BytewiseName {
			return export.PrefixSpan(w.key(name, 0))
		}
		return w.span(name+"a", name+"c")
	}
	bank := export.Object{ID: 1_000, Kind: export.DatabaseObject, Name: "bank"}
	accounts := export.Object{ID: 1_001, Parent: 1_000, Kind: export.TableObject, Name: "accounts", Spans: []export.Span{span("rows"), span("index")}}
	rich := export.Object{
		ID: 1_002, Parent: 1_000, Kind: export.ViewObject, Name: "rich", Definition: []byte("select"),
		Needs: []export.Dependency{{Kind: export.ViewDependency, On: 1_001}},
	}
	return []export.Placement{
		{Path: []string{"rescue"}, Object: bank},
		{Path: []string{"rescue", "ledger"}, Object: accounts},
		{Path: []string{"rescue", "rich"}, Object: rich},
	}
}

// declared are placements of what a store has already.
func declared(objects []export.Object) []export.Placement {
	var wanted []export.Placement
	paths := map[uint64][]string{}
	for _, o := range objects {
		paths[o.ID] = append(append([]string(nil), paths[o.Parent]...), o.Name)
		o.ID += 1_000
		wanted = append(wanted, export.Placement{Path: paths[o.ID-1_000], Object: o})
	}
	return wanted
}

// place finds room in a store, and skips the check where the store has none. Parents and
// needs become those of the store, as whoever restores sees to.
func (w *world) place(store export.Store) placing {
	w.Helper()
	p, ok := store.(export.Placer)
	if !ok {
		w.Skipf("the store places no objects")
	}
	wanted := w.wanted()
	placed, err := p.Place(w.ctx, wanted)
	static := false
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		require.ErrorContains(w, err, "rescue", "an object without a place is named")
		static = true
		wanted = declared(w.objectsNow(store))
		placed, err = p.Place(w.ctx, wanted)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		w.Skipf("the store has no catalog: %v", err)
	}
	require.NoError(w, err)
	require.Len(w, placed, len(wanted))
	ids := map[uint64]uint64{0: 0}
	for i, o := range placed {
		ids[wanted[i].Object.ID] = o.ID
	}
	for i := range placed {
		from := wanted[i].Object
		require.Equal(w, wanted[i].Path[len(wanted[i].Path)-1], placed[i].Name)
		require.Len(w, placed[i].Spans, len(from.Spans))
		if static {
			continue
		}
		require.Equal(w, from.Kind, placed[i].Kind)
		require.Equal(w, from.Definition, placed[i].Definition)
		placed[i].Parent = ids[from.Parent]
		for j := range placed[i].Needs {
			placed[i].Needs[j].On = ids[from.Needs[j].On]
		}
	}
	return placing{placed, static}
}

func isPrefixSpan(s export.Span) bool {
	return len(s.Start) > 0 && string(export.PrefixSpan(s.Start).End) == string(s.End)
}

func checkPlace(w *world) {
	destination := w.empty()
	p := w.place(destination)
	w.sound(p.objects)
	for _, o := range p.objects {
		for _, span := range o.Spans {
			if w.order.Name == export.BytewiseName && !p.static {
				require.True(w, isPrefixSpan(span), "%s: all keys with one prefix, as it was", span)
			}
			s := w.snapshot(destination, export.SnapshotOptions{})
			require.Empty(w, w.read(s, export.Request{Span: span}), "%s", span)
			w.closing(s)
		}
	}
	if p.static {
		require.Equal(w, w.objectsNow(destination), p.objects, "what is declared")
		return
	}
	require.Empty(w, w.objectsNow(destination), "they are published later")
}

// checkPlaceAgain: neither an ID nor a prefix is given twice, nor one that an object has.
func checkPlaceAgain(w *world) {
	_, changes := w.h.(CatalogWriter)
	if changes {
		w.objectsNow(w.store)
		w.bank()
	}
	first := w.place(w.store)
	second := w.place(w.store)
	if first.static {
		require.Equal(w, first, second)
		return
	}
	w.reopen()
	third := w.place(w.store)
	ids := map[uint64]bool{}
	for _, o := range w.objectsNow(w.store) {
		ids[o.ID] = true
	}
	var spans []export.Span
	for _, o := range w.objectsNow(w.store) {
		spans = append(spans, o.Spans...)
	}
	for _, p := range []placing{first, second, third} {
		for _, o := range p.objects {
			require.False(w, ids[o.ID], "ID %d was given before", o.ID)
			ids[o.ID] = true
			for _, span := range o.Spans {
				if w.order.Name != export.BytewiseName {
					continue // what is not that of a prefix cannot be moved
				}
				for _, other := range spans {
					require.False(w, span.Overlaps(w.order, other), "%s was given before", span)
				}
				spans = append(spans, span)
			}
		}
	}
}

// publishing loads a key into each span and publishes objects, but does not commit.
func (w *world) publishing(store export.Store, p placing, opts export.IngestOptions) export.Ingester {
	w.Helper()
	for _, o := range p.objects {
		opts.Spans = append(opts.Spans, o.Spans...)
	}
	in := w.ingest(store, opts)
	publisher, ok := in.(export.CatalogIngester)
	if !ok {
		w.aborting(in)
		w.Skipf("the ingester publishes no objects")
	}
	for _, span := range opts.Spans {
		require.NoError(w, w.load(in, span, []export.Entry{{Kind: export.Set, Key: span.Start, Value: []byte("loaded")}}))
	}
	require.NoError(w, publisher.Publish(w.ctx, p.objects))
	return in
}

// loaded reports whether spans hold what publishing loads, all or none.
func (w *world) loaded(s export.Snapshot, p placing) bool {
	w.Helper()
	spans, full := 0, 0
	for _, o := range p.objects {
		for _, span := range o.Spans {
			spans++
			full += len(w.read(s, export.Request{Span: span}))
		}
	}
	require.Contains(w, []int{0, spans}, full, "all or nothing")
	return full > 0
}

// unpublished and published see that a store has the objects with their data, or neither.
func (w *world) unpublished(store export.Store, p placing) {
	w.Helper()
	s := w.snapshot(store, export.SnapshotOptions{})
	defer w.closing(s)
	require.False(w, w.loaded(s, p))
	if !p.static {
		require.Empty(w, w.objects(s))
	}
}

func (w *world) published(store export.Store, p placing) {
	w.Helper()
	s := w.snapshot(store, export.SnapshotOptions{})
	defer w.closing(s)
	require.True(w, w.loaded(s, p))
	require.ElementsMatch(w, p.objects, w.objects(s))
	w.sound(w.objects(s))
}

func checkPublish(w *world) {
	p := w.place(w.store)
	in := w.publishing(w.store, p, export.IngestOptions{})
	defer w.aborting(in)
	before := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(before)
	w.unpublished(w.store, p)
	require.NoError(w, in.Commit(w.ctx))
	w.published(w.store, p)
	require.False(w, w.loaded(before, p))
	if !p.static {
		require.Empty(w, w.objects(before))
	}
}

func checkPublishAbort(w *world) {
	p := w.place(w.store)
	in := w.publishing(w.store, p, export.IngestOptions{})
	require.NoError(w, in.Abort())
	require.Error(w, in.Commit(w.ctx))
	w.unpublished(w.store, p)
	in = w.publishing(w.store, w.place(w.store), export.IngestOptions{})
	w.aborting(in)
}

func checkPublishCrash(w *world) {
	p := w.place(w.store)
	in := w.publishing(w.store, p, export.IngestOptions{Name: "a1"})
	w.reopen()
	w.unpublished(w.store, p)
	w.aborting(in) // of another process: it does nothing
	in = w.publishing(w.store, w.place(w.store), export.IngestOptions{Name: "a2"})
	require.NoError(w, in.Commit(w.ctx))
	now := w.objectsNow(w.store)
	w.reopen()
	require.Equal(w, now, w.objectsNow(w.store))
}

func checkPublishNoData(w *world) {
	p := w.place(w.store)
	for i := range p.objects {
		if p.static {
			break
		}
		p.objects[i].Spans = nil
	}
	bare := placing{static: p.static}
	in := w.publishing(w.store, bare, export.IngestOptions{})
	defer w.aborting(in)
	require.NoError(w, in.(export.CatalogIngester).Publish(w.ctx, p.objects))
	require.NoError(w, in.Commit(w.ctx))
	require.ElementsMatch(w, p.objects, w.objectsNow(w.store))
}

// changing is place in a store that can have an object beside another.
func (w *world) changing() placing {
	w.Helper()
	p := w.place(w.store)
	if p.static {
		w.Skipf("the catalog stands still")
	}
	in := w.publishing(w.store, p, export.IngestOptions{})
	require.NoError(w, in.Commit(w.ctx))
	return p
}

// beside is another object under the name of the table of p.
func (w *world) beside(p placing, name string) placing {
	w.Helper()
	o := w.wanted()[1].Object
	if w.order.Name != export.BytewiseName {
		o.Spans = nil // they cannot be moved
	}
	placed, err := w.store.(export.Placer).Place(w.ctx, []export.Placement{{Path: []string{"rescue", name}, Object: o}})
	require.NoError(w, err)
	placed[0].Parent = p.objects[0].ID
	return placing{objects: placed}
}

func checkPublishConflict(w *world) {
	first := w.changing()
	other := w.beside(first, "ledger")
	in := w.publishing(w.store, other, export.IngestOptions{})
	var full *export.NotEmptyError
	require.ErrorAs(w, in.Commit(w.ctx), &full)
	require.Equal(w, "rescue.ledger", full.Name)
	require.NoError(w, in.Abort())
	w.published(w.store, first)
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	require.False(w, w.loaded(s, other))

	free := w.beside(first, "another")
	in = w.publishing(w.store, free, export.IngestOptions{})
	require.NoError(w, in.Commit(w.ctx))
	w.published(w.store, placing{objects: append(first.objects, free.objects...)})
}

func checkPublishReplace(w *world) {
	first := w.changing()
	other := w.beside(first, "ledger")
	in := w.publishing(w.store, other, export.IngestOptions{Replace: true})
	require.NoError(w, in.Commit(w.ctx))
	now := w.objectsNow(w.store)
	w.sound(now)
	require.ElementsMatch(w, []export.Object{first.objects[0], other.objects[0], first.objects[2]}, now)
}

func checkPublishNoParent(w *world) {
	first := w.changing()
	lost := w.beside(first, "lost")
	lost.objects[0].Parent = 7_777
	in := w.publishing(w.store, lost, export.IngestOptions{})
	require.Error(w, in.Commit(w.ctx))
	require.NoError(w, in.Abort())
	w.published(w.store, first)
}

func checkClosedCatalog(w *world) {
	p := w.place(w.store)
	in := w.publishing(w.store, p, export.IngestOptions{})
	require.NoError(w, in.Abort())
	require.ErrorIs(w, in.(export.CatalogIngester).Publish(w.ctx, p.objects), export.ErrClosed)
	s := w.snapshot(w.store, export.SnapshotOptions{})
	w.objects(s)
	w.closing(s)
	_, err := s.(export.Cataloger).Objects(w.ctx)
	require.ErrorIs(w, err, export.ErrClosed)
	if h, ok := s.(export.CatalogHistorian); ok {
		_, err = h.ObjectVersions(w.ctx, export.Timestamp{})
		require.ErrorIs(w, err, export.ErrClosed)
	}
	require.NoError(w, w.h.CloseStore())
	_, err = w.store.(export.Placer).Place(context.WithoutCancel(w.ctx), w.wanted())
	require.ErrorIs(w, err, export.ErrClosed)
}

func checkCancelledCatalog(w *world) {
	p := w.place(w.store)
	_, err := w.store.(export.Placer).Place(w.cancelled(), w.wanted())
	require.ErrorIs(w, err, context.Canceled)
	in := w.publishing(w.store, p, export.IngestOptions{})
	defer w.aborting(in)
	require.ErrorIs(w, in.(export.CatalogIngester).Publish(w.cancelled(), p.objects), context.Canceled)
	require.ErrorIs(w, in.Commit(w.cancelled()), context.Canceled)
	w.unpublished(w.store, p)
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	w.objects(s)
	_, err = s.(export.Cataloger).Objects(w.cancelled())
	require.ErrorIs(w, err, context.Canceled)
}
