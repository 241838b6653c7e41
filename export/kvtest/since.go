package kvtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func sinceChecks() []check {
	return []check{
		{"Since/Exact", checkSince},
		{"Since/OtherBase", checkOtherBase},
		{"Since/Untouched", checkUntouched},
		{"Since/Revisions", checkRevisionsSince},
		{"Since/Collected", checkCollected},
		{"Since/Loaded", checkLoadedSince},
		{"Since/SeveralLoaded", checkSeveralLoadedSince},
	}
}

// base is a snapshot to find changes since: a named one where there are names, on
// the one before it.
func (w *world) base(n int, after export.Timestamp) export.Snapshot {
	w.Helper()
	opts := export.SnapshotOptions{After: after}
	if w.keeper() != nil {
		opts.Name = snapshotName(n)
	}
	if w.keeper() != nil && n > 0 {
		opts.Base = snapshotName(n - 1)
	}
	return w.snapshot(w.store, opts)
}

// changes are those since a moment. A store that has no revisions may not know
// them, in any call.
func (w *world) changes(s export.Snapshot, span export.Span, since export.Timestamp) []export.Entry {
	w.Helper()
	got, err := Collect(w.ctx, s, export.Request{Span: span, Since: since})
	if errors.Is(err, export.ErrNoBase) && !w.info.Revisions {
		_, err = s.Partition(w.ctx, span, since)
		require.ErrorIs(w, err, export.ErrNoBase, "Partition, where Export has no base")
		w.Skipf("changes are not known: %v", err)
	}
	require.NoError(w, err)
	return got
}

// checkSince follows random changes from snapshot to snapshot, over restarts.
func checkSince(w *world) {
	w.fill()
	r := rand.New(rand.NewPCG(3, 3))
	first := w.base(0, export.Timestamp{})
	since, state := first.Timestamp(), w.read(first, export.Request{})
	w.closing(first)
	for n := 1; n <= 6; n++ {
		w.change(r, 30)
		if n == 3 && w.keeper() != nil {
			w.reopen()
		}
		since, state = w.follow(n, since, state)
		w.same(w.state(), state, "round %d", n)
	}
}

// follow is the next moment, and the state that the changes up to it make of the
// one before.
func (w *world) follow(n int, since export.Timestamp, state []export.Entry) (export.Timestamp, []export.Entry) {
	w.Helper()
	s := w.base(n, since)
	defer w.closing(s)
	changes := w.changes(s, export.Span{}, since)
	w.ordered(changes)
	next := Apply(w.order, state, changes)
	w.same(next, Apply(w.order, state, w.readPieces(s, export.Span{}, since)), "by partitions")
	for _, span := range w.someSpans() {
		part := w.changes(s, span, since)
		w.same(Clip(w.order, next, span), Apply(w.order, Clip(w.order, state, span), part), "span %s", span)
		for i := range part {
			w.inside(span, &part[i])
		}
	}
	for i := range changes {
		position := changes[i].Position()
		got := w.read(s, export.Request{Since: since, Resume: &position})
		w.equal(w.after(changes, position), got, "after %s", line(&changes[i]))
	}
	w.followDiffer(s, since, state, next)
	return s.Timestamp(), next
}

// checkOtherBase asks for changes since a moment that the base is not of: a value
// that went from a to b and back to a is a change to whoever has seen b.
func checkOtherBase(w *world) {
	w.mustKeep()
	if w.info.Revisions {
		w.Skipf("a store with revisions needs no base")
	}
	w.set("a", 0, "a")
	w.closing(w.base(0, export.Timestamp{}))
	w.set("a", 0, "b")
	second := w.base(1, export.Timestamp{})
	at := second.Timestamp()
	w.closing(second)
	w.set("a", 0, "a")
	for _, base := range []string{"", snapshotName(0), snapshotName(7)} {
		s := w.snapshot(w.store, export.SnapshotOptions{Name: snapshotName(2), Base: base, After: at})
		_, err := Collect(w.ctx, s, export.Request{Since: at})
		require.ErrorIs(w, err, export.ErrNoBase, "the base %q is not of that moment", base)
		_, err = s.Partition(w.ctx, export.Span{}, at)
		require.ErrorIs(w, err, export.ErrNoBase)
		w.closing(s)
	}
	s := w.snapshot(w.store, export.SnapshotOptions{Name: snapshotName(2), Base: snapshotName(1), After: at})
	defer w.closing(s)
	require.NoError(w, w.keeper().Release(w.ctx, snapshotName(1)), "what is in use may be released")
	w.equal([]export.Entry{{Kind: export.Set, Key: w.key("a", 0), Value: []byte("a")}}, w.changes(s, export.Span{}, at))
}

// checkUntouched sees to it that changes hold only what was written.
func checkUntouched(w *world) {
	w.fill()
	first := w.base(0, export.Timestamp{})
	w.closing(first)
	w.set(name(4), 1, "changed")
	w.delete(name(5), 1)
	w.set(name(2)+"x", 0, "new")
	w.shake()
	second := w.base(1, first.Timestamp())
	defer w.closing(second)
	var got []string
	for _, e := range w.changes(second, export.Span{}, first.Timestamp()) {
		got = append(got, fmt.Sprintf("%s %q", e.Kind, e.Key))
	}
	require.ElementsMatch(w, []string{
		fmt.Sprintf("set %q", w.key(name(4), 1)),
		fmt.Sprintf("delete %q", w.key(name(5), 1)),
		fmt.Sprintf("set %q", w.key(name(2)+"x", 0)),
	}, got)
}

func checkRevisionsSince(w *world) {
	if !w.info.Revisions {
		w.Skipf("the store has no revisions")
	}
	w.fill()
	first := w.base(0, export.Timestamp{})
	defer w.closing(first)
	w.set("a", 1, "1")
	w.delete("a", 1)
	w.set("a", 1, "3")
	w.change(rand.New(rand.NewPCG(5, 5)), 40)
	second := w.base(1, first.Timestamp())
	defer w.closing(second)
	all := w.read(second, export.Request{Since: first.Timestamp(), Revisions: true})
	w.ordered(all)
	w.same(w.state(), Apply(w.order, w.read(first, export.Request{}), all))
	require.Equal(w, []string{"set 3", "delete ", "set 1"}, w.revisionsOf(all, w.key("a", 1)))
	for _, e := range all {
		require.Positive(w, e.Timestamp.Compare(first.Timestamp()), line(&e))
		require.LessOrEqual(w, e.Timestamp.Compare(second.Timestamp()), 0, line(&e))
	}
	if d, ok := second.(export.Differ); ok {
		w.differsByRevision(d, first, all)
	}
}

func (w *world) revisionsOf(entries []export.Entry, key []byte) []string {
	var text []string
	for _, e := range entries {
		if !e.Kind.IsRange() && w.order.Compare(e.Key, key) == 0 {
			text = append(text, fmt.Sprintf("%s %s", e.Kind, e.Value))
		}
	}
	return text
}

// checkCollected forgets history below, and as far as a named snapshot allows.
func checkCollected(w *world) {
	h, ok := w.h.(Collector)
	if !ok || !w.info.Revisions {
		w.Skipf("the harness is no Collector of revisions")
	}
	w.set("a", 1, "1")
	early := w.snapshot(w.store, export.SnapshotOptions{})
	w.closing(early)
	w.fill()
	held := w.base(0, early.Timestamp())
	w.closing(held)
	w.set("a", 1, "2")
	w.delete(name(5), 1)
	last := w.snapshot(w.store, export.SnapshotOptions{})
	w.closing(last)

	require.NoError(w, h.Collect(last.Timestamp()))
	w.use(w.h.Store())
	require.Positive(w, w.info.Oldest.Compare(early.Timestamp()))
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	w.same(w.state(), w.read(s, export.Request{}))
	_, err := w.store.Snapshot(w.ctx, export.SnapshotOptions{AsOf: early.Timestamp()})
	var gone *export.BeforeGCError
	require.ErrorAs(w, err, &gone)
	require.Equal(w, export.BeforeGCError{AsOf: early.Timestamp(), Threshold: w.info.Oldest}, *gone)
	_, err = Collect(w.ctx, s, export.Request{Since: early.Timestamp()})
	require.ErrorIs(w, err, export.ErrNoBase)
	_, err = s.Partition(w.ctx, export.Span{}, early.Timestamp())
	require.ErrorIs(w, err, export.ErrNoBase)
	if d, ok := s.(export.Differ); ok {
		_, err = d.Changes(w.ctx, export.Request{Since: early.Timestamp()})
		require.ErrorIs(w, err, export.ErrNoBase)
	}
	if w.keeper() == nil {
		return
	}
	require.LessOrEqual(w, w.info.Oldest.Compare(held.Timestamp()), 0, "a named snapshot holds history")
	require.Equal(w, []string{"set 2"}, w.revisionsOf(w.changes(s, export.Span{}, held.Timestamp()), w.key("a", 1)))
}

// checkLoadedSince loads what was there before into a span of a store that goes on. The
// store tells these changes like others, or says that it cannot; beside the span, one that
// keeps revisions can.
func checkLoadedSince(w *world) { w.loadedSince(w.span(name(4), name(12))) }

func checkSeveralLoadedSince(w *world) {
	w.loadedSince(w.span(name(4), name(7)), w.span(name(9), name(12)))
}

func (w *world) loadedSince(spans ...export.Span) {
	w.fill()
	early := w.snapshot(w.store, export.SnapshotOptions{})
	old := w.read(early, export.Request{})
	w.closing(early)
	w.change(rand.New(rand.NewPCG(5, 5)), 60)
	first := w.base(0, export.Timestamp{})
	since, state := first.Timestamp(), w.read(first, export.Request{})
	w.closing(first)
	w.restore(w.store, export.IngestOptions{Spans: spans, Replace: true}, old)

	s := w.base(1, since)
	defer w.closing(s)
	now := w.read(s, export.Request{})
	for _, span := range spans {
		w.same(Clip(w.order, old, span), Clip(w.order, now, span), "what was loaded")
	}
	for _, part := range append(spans, w.span(name(0), name(4)), w.span(name(7), name(9)), w.span(name(12), name(28))) {
		changes, err := Collect(w.ctx, s, export.Request{Span: part, Since: since})
		loaded := slices.ContainsFunc(spans, func(s export.Span) bool { return part.Overlaps(w.order, s) })
		if errors.Is(err, export.ErrNoBase) && (!w.info.Revisions || loaded) {
			_, err = s.Partition(w.ctx, part, since)
			require.ErrorIs(w, err, export.ErrNoBase, "Partition, where Export has no base")
			continue
		}
		require.NoError(w, err)
		w.same(Clip(w.order, now, part), Apply(w.order, Clip(w.order, state, part), changes), "%s", part)
	}
}
