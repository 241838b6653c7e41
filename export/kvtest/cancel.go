package kvtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func cancelChecks() []check {
	return []check{
		{"E11/Store", checkCancelStore},
		{"E11/Snapshot", checkCancelSnapshot},
		{"E11/Cursor", checkCancelCursor},
		{"E11/Loader", checkCancelLoader},
		{"E11/Commit", checkCancelCommit},
	}
}

func (w *world) cancelled() context.Context {
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	return ctx
}

func checkCancelStore(w *world) {
	ctx := w.cancelled()
	opts := export.SnapshotOptions{}
	if w.keeper() != nil {
		opts.Name = snapshotName(1)
	}
	_, err := w.store.Snapshot(ctx, opts)
	w.stopped(err)
	_, err = w.store.Ingest(ctx, export.IngestOptions{Name: snapshotName(7), Spans: everywhere()})
	w.stopped(err)
	if w.keeper() != nil {
		require.Empty(w, w.list(), "a snapshot whose creation was cancelled")
	}
}

// stopped wants the context's error; a way that the store does not go at all is
// as good.
func (w *world) stopped(err error) {
	w.Helper()
	if !errors.Is(err, errors.ErrUnsupported) {
		require.ErrorIs(w, err, context.Canceled)
	}
}

func checkCancelSnapshot(w *world) {
	w.fill()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	_, err := s.Partition(w.cancelled(), export.Span{}, export.Timestamp{})
	require.ErrorIs(w, err, context.Canceled)
	_, err = Collect(w.cancelled(), s, export.Request{})
	require.ErrorIs(w, err, context.Canceled)
	w.same(w.state(), w.read(s, export.Request{}), "the snapshot is as it was")
}

// checkCancelCursor cancels after the first entry of many.
func checkCancelCursor(w *world) {
	const many = 5000
	for i := range many {
		w.set(fmt.Sprintf("k%06d", i), 0, "value")
	}
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	c, err := s.Export(ctx, export.Request{})
	require.NoError(w, err)
	defer w.closing(c)
	require.True(w, c.Next())
	cancel()
	for n := 1; c.Next(); n++ {
		require.Less(w, n, many/2, "the cursor goes on")
	}
	require.ErrorIs(w, c.Err(), context.Canceled)
	require.False(w, c.Next())
}

// checkCancelLoader loads nothing under a context that has ended.
func checkCancelLoader(w *world) {
	destination := w.empty()
	in := w.ingest(destination, export.IngestOptions{Spans: everywhere()})
	defer w.aborting(in)
	l, err := in.Load(w.cancelled(), w.span("a", "b"))
	if err == nil {
		err = errors.Join(l.Add(&export.Entry{Kind: export.Set, Key: w.key("a", 1)}), l.Finish())
	}
	require.ErrorIs(w, err, context.Canceled)
	want := []export.Entry{{Kind: export.Set, Key: w.key("a", 2), Value: []byte("again")}}
	require.NoError(w, w.load(in, w.span("a", "b"), want), "the span again")
	require.NoError(w, in.Commit(w.ctx))
	w.same(want, w.holds(destination))
}

func checkCancelCommit(w *world) {
	destination := w.empty()
	before := w.lineage(destination)
	opts := export.IngestOptions{Spans: everywhere(), Lineage: snapshotName(9)}
	in := w.ingest(destination, opts)
	require.NoError(w, w.load(in, export.Span{}, w.sampleState()))
	require.ErrorIs(w, in.Commit(w.cancelled()), context.Canceled)
	require.Empty(w, w.holds(destination))
	require.Equal(w, before, w.lineage(destination))
	require.NoError(w, in.Abort())
	w.restore(destination, opts, w.sampleState())
	w.same(w.sampleState(), w.holds(destination))
}
