package kvtest

import (
	"errors"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
)

func ingestChecks() []check {
	return []check{
		{"E8/Commit", checkCommit},
		{"E8/Concurrent", checkConcurrentLoaders},
		{"E8/Invisible", checkInvisible},
		{"E8/Abort", checkAbort},
		{"E8/Unfinished", checkUnfinished},
		{"E8/NotEmpty", checkNotEmpty},
		{"E8/NotEmptyRangeKey", checkNotEmptyRangeKey},
		{"E8/FilledMeanwhile", checkFilledMeanwhile},
		{"E8/Beside", checkBeside},
		{"E8/Replace", checkReplace},
		{"E8/ReplaceSeveral", checkReplaceSeveral},
		{"E8/Kinds", checkKinds},
	}
}

// ingest skips the check where the adapter has none, or none that replaces.
func (w *world) ingest(store export.Store, opts export.IngestOptions) export.Ingester {
	w.Helper()
	in, err := store.Ingest(w.ctx, opts)
	if errors.Is(err, errors.ErrUnsupported) {
		w.Skipf("no such ingest: %v", err)
	}
	require.NoError(w, err)
	return in
}

// aborting ends an ingester; it is to be deferred.
func (w *world) aborting(in export.Ingester) {
	w.Helper()
	if err := in.Abort(); err != nil {
		w.Errorf("abort: %v", err)
	}
}

// load loads what of entries lies in span.
func (w *world) load(in export.Ingester, span export.Span, entries []export.Entry) error {
	l, err := in.Load(w.ctx, span)
	if err != nil {
		return err
	}
	for _, e := range Clip(w.order, entries, span) {
		if err := l.Add(&e); err != nil {
			return err
		}
	}
	return l.Finish()
}

// restore loads entries into spans and commits.
func (w *world) restore(store export.Store, opts export.IngestOptions, entries []export.Entry) {
	w.Helper()
	in := w.ingest(store, opts)
	defer w.aborting(in)
	for _, span := range opts.Spans {
		require.NoError(w, w.load(in, span, entries))
	}
	require.NoError(w, in.Commit(w.ctx))
}

func everywhere() []export.Span { return []export.Span{{}} }

func checkCommit(w *world) {
	w.fill()
	destination := w.empty()
	w.restore(destination, export.IngestOptions{Spans: everywhere()}, w.holds(w.store))
	w.same(w.state(), w.holds(destination))
}

// checkConcurrentLoaders loads disjoint pieces at once, some of which divide range
// keys.
func checkConcurrentLoaders(w *world) {
	w.fill()
	want := w.state()
	pieces := []export.Span{w.span("a", name(4)), w.span(name(28), "z")}
	for i := 4; i < 28; i += 4 {
		pieces = append(pieces, w.span(name(i), name(i+4)))
	}
	destination := w.empty()
	in := w.ingest(destination, export.IngestOptions{Spans: everywhere()})
	defer w.aborting(in)
	var loaders errgroup.Group
	for _, span := range pieces {
		loaders.Go(func() error { return w.load(in, span, want) })
	}
	require.NoError(w, loaders.Wait())
	require.NoError(w, in.Commit(w.ctx))
	require.NoError(w, in.Abort(), "after Commit it does nothing")
	w.same(want, w.holds(destination))
}

func checkInvisible(w *world) {
	w.fill()
	destination := w.empty()
	before := w.snapshot(destination, export.SnapshotOptions{})
	defer w.closing(before)
	in := w.ingest(destination, export.IngestOptions{Spans: everywhere()})
	defer w.aborting(in)
	require.Empty(w, w.holds(destination), "after Ingest")
	require.NoError(w, w.load(in, export.Span{}, w.state()))
	require.Empty(w, w.holds(destination), "after Finish")
	require.NoError(w, in.Commit(w.ctx))
	w.same(w.state(), w.holds(destination))
	require.Empty(w, w.read(before, export.Request{}), "a snapshot from before")
}

func checkAbort(w *world) {
	w.fill()
	destination := w.empty()
	in := w.ingest(destination, export.IngestOptions{Name: snapshotName(7), Spans: everywhere()})
	require.NoError(w, w.load(in, export.Span{}, w.state()))
	require.NoError(w, in.Abort())
	require.NoError(w, in.Abort(), "a second time")
	require.Error(w, in.Commit(w.ctx))
	require.Empty(w, w.holds(destination))

	// The name begins anew.
	span := w.span(name(4), name(9))
	in = w.ingest(destination, export.IngestOptions{Name: snapshotName(7), Spans: everywhere()})
	defer w.aborting(in)
	require.NoError(w, w.load(in, span, w.state()))
	require.NoError(w, in.Commit(w.ctx))
	w.same(Clip(w.order, w.state(), span), w.holds(destination))
}

// checkUnfinished commits beside a loader that never finished.
func checkUnfinished(w *world) {
	destination := w.empty()
	in := w.ingest(destination, export.IngestOptions{Spans: everywhere()})
	defer w.aborting(in)
	l, err := in.Load(w.ctx, w.span("a", "b"))
	require.NoError(w, err)
	require.NoError(w, l.Add(&export.Entry{Kind: export.Set, Key: w.key("a", 1), Value: []byte("lost")}))
	kept := []export.Entry{{Kind: export.Set, Key: w.key("c", 1), Value: []byte("kept")}}
	require.NoError(w, w.load(in, w.span("c", "d"), kept))
	if err := in.Commit(w.ctx); err != nil {
		require.Empty(w, w.holds(destination), "Commit refused")
		return
	}
	w.same(kept, w.holds(destination))
}

func checkNotEmpty(w *world) {
	w.set("m", 1, "here")
	full, free := w.span("m", "n"), w.span("x", "y")
	for _, c := range []struct {
		spans []export.Span
		wrong export.Span
	}{
		{everywhere(), export.Span{}},
		{[]export.Span{full}, full},
		{[]export.Span{w.span("a", "z")}, w.span("a", "z")},
		{[]export.Span{free, full}, full},
	} {
		_, err := w.store.Ingest(w.ctx, export.IngestOptions{Spans: c.spans})
		w.refused(err, c.wrong)
	}
	w.same(w.state(), w.holds(w.store))
}

func (w *world) refused(err error, span export.Span) {
	w.Helper()
	if errors.Is(err, errors.ErrUnsupported) {
		w.Skipf("no ingest: %v", err)
	}
	var full *export.NotEmptyError
	require.ErrorAs(w, err, &full)
	require.Equal(w, span.String(), full.Span.String())
}

// checkNotEmptyRangeKey has a range key reach into the span, and nothing else.
func checkNotEmptyRangeKey(w *world) {
	if _, ok := w.h.(RangeKeyer); !ok {
		w.Skipf("no range keys")
	}
	w.rangeKeySet("c", "p", 1, "wide")
	span := w.span("m", "z")
	_, err := w.store.Ingest(w.ctx, export.IngestOptions{Spans: []export.Span{span}})
	w.refused(err, span)
	w.same(w.state(), w.holds(w.store))
}

// checkFilledMeanwhile breaks the rule that nobody writes until Commit: whatever
// Commit says, what was written is not lost silently.
func checkFilledMeanwhile(w *world) {
	in := w.ingest(w.store, export.IngestOptions{Spans: everywhere()})
	defer w.aborting(in)
	require.NoError(w, w.load(in, w.span("a", "b"), []export.Entry{{Kind: export.Set, Key: w.key("a", 1)}}))
	w.set("m", 1, "meanwhile")
	err := in.Commit(w.ctx)
	if err != nil {
		var full *export.NotEmptyError
		require.ErrorAs(w, err, &full)
		w.same(w.state(), w.holds(w.store))
		return
	}
	require.Contains(w, lines(Timeless(w.holds(w.store))), lines(w.state())[0])
}

// checkBeside loads an empty span of a store that holds other things.
func checkBeside(w *world) {
	w.fill()
	loaded := []export.Entry{{Kind: export.Set, Key: w.key("m", 1), Value: []byte("new")}}
	w.restore(w.store, export.IngestOptions{Spans: []export.Span{w.span("l", "n")}}, loaded)
	w.same(append(w.state(), loaded...), w.holds(w.store))
	w.shake()
	w.set("m", 1, "newer")
	w.same(w.state(), w.holds(w.store), "a later write wins")
}

func checkReplace(w *world) {
	w.fill()
	span := w.span(name(9), name(19))
	loaded := []export.Entry{
		{Kind: export.Set, Key: w.key(name(10), 1), Value: []byte("replaced")},
		{Kind: export.Set, Key: w.key(name(12)+"x", 1), Value: []byte("new")},
	}
	if _, ok := w.h.(RangeKeyer); ok {
		s := w.span(name(12), name(14))
		loaded = append(loaded, export.Entry{Kind: export.RangeKeySet, Key: s.Start, End: s.End, Suffix: w.suffix(2), Value: []byte("new")})
	}
	in := w.ingest(w.store, export.IngestOptions{Spans: []export.Span{span}, Replace: true})
	defer w.aborting(in)
	require.NoError(w, w.load(in, span, loaded))
	w.same(w.state(), w.holds(w.store), "before Commit")
	before := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(before)
	require.NoError(w, in.Commit(w.ctx))
	w.same(w.state(), w.read(before, export.Request{}), "a snapshot from before")

	want := Apply(w.order, w.state(), append(loaded,
		export.Entry{Kind: export.DeleteRange, Key: span.Start, End: span.End},
		export.Entry{Kind: export.RangeKeyDelete, Key: span.Start, End: span.End}))
	w.same(want, w.holds(w.store))
	w.closing(before)
	w.reopen()
	w.shake()
	w.same(want, w.holds(w.store), "after a restart")
}

// checkReplaceSeveral replaces spans apart from each other at once: one of them has loaders
// for parts alone, one has none.
func checkReplaceSeveral(w *world) {
	w.fill()
	spans := []export.Span{w.span(name(3), name(9)), w.span(name(12), name(15)), w.span(name(20), name(23))}
	loaded := []export.Entry{
		{Kind: export.Set, Key: w.key(name(4), 1), Value: []byte("replaced")},
		{Kind: export.Set, Key: w.key(name(7)+"x", 1), Value: []byte("new")},
		{Kind: export.Set, Key: w.key(name(22), 1), Value: []byte("last")},
	}
	if _, ok := w.h.(RangeKeyer); ok {
		s := w.span(name(6), name(8))
		loaded = append(loaded, export.Entry{Kind: export.RangeKeySet, Key: s.Start, End: s.End, Suffix: w.suffix(2), Value: []byte("new")})
	}
	in := w.ingest(w.store, export.IngestOptions{Spans: spans, Replace: true})
	defer w.aborting(in)
	for _, part := range []export.Span{w.span(name(4), name(5)), w.span(name(6), name(8)), spans[2]} {
		require.NoError(w, w.load(in, part, loaded))
	}
	w.same(w.state(), w.holds(w.store), "before Commit")
	w.set(name(10), 1, "others go on") // nobody writes to the spans alone
	require.NoError(w, in.Commit(w.ctx))
	want := w.state()
	for _, s := range spans {
		loaded = append(loaded,
			export.Entry{Kind: export.DeleteRange, Key: s.Start, End: s.End},
			export.Entry{Kind: export.RangeKeyDelete, Key: s.Start, End: s.End})
	}
	want = Apply(w.order, want, loaded)
	w.same(want, w.holds(w.store))
	w.reopen()
	w.shake()
	w.same(want, w.holds(w.store), "after a restart")
}

// checkKinds adds what no state has.
func checkKinds(w *world) {
	destination := w.empty()
	for _, kind := range []export.Kind{export.Delete, export.DeleteRange, export.RangeKeyUnset, export.RangeKeyDelete, 0, 99} {
		in := w.ingest(destination, export.IngestOptions{Spans: everywhere()})
		l, err := in.Load(w.ctx, export.Span{})
		require.NoError(w, err)
		err = l.Add(&export.Entry{Kind: kind, Key: w.key("a", 0), End: w.key("b", 0)})
		if err == nil {
			err = l.Finish()
		}
		require.Error(w, err, "%s", kind)
		w.aborting(in)
	}
	require.Empty(w, w.holds(destination))
}
