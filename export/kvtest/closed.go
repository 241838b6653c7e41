package kvtest

import (
	"context"
	"errors"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func closedChecks() []check {
	return []check{
		{"Closed/Store", checkClosedStore},
		{"Closed/Snapshot", checkClosedSnapshot},
		{"Closed/Ingester", checkClosedIngester},
	}
}

func checkClosedStore(w *world) {
	w.set("a", 0, "1")
	require.NoError(w, w.h.CloseStore())
	// Cleaning up goes on when the test's own context has ended.
	ctx := context.WithoutCancel(w.ctx)
	_, err := w.store.Info(ctx)
	require.ErrorIs(w, err, export.ErrClosed)
	_, err = w.store.Snapshot(ctx, export.SnapshotOptions{})
	w.closedOrUnsupported(err)
	_, err = w.store.Ingest(ctx, export.IngestOptions{Spans: everywhere()})
	w.closedOrUnsupported(err)
	if k := w.keeper(); k != nil {
		_, err = k.Snapshots(ctx)
		require.ErrorIs(w, err, export.ErrClosed)
		require.ErrorIs(w, k.Release(ctx, snapshotName(1)), export.ErrClosed)
	}
}

func (w *world) closedOrUnsupported(err error) {
	w.Helper()
	if !errors.Is(err, errors.ErrUnsupported) {
		require.ErrorIs(w, err, export.ErrClosed)
	}
}

func checkClosedSnapshot(w *world) {
	w.set("a", 0, "1")
	s := w.snapshot(w.store, export.SnapshotOptions{})
	c, err := s.Export(w.ctx, export.Request{})
	require.NoError(w, err)
	w.closing(c)
	w.closing(c)
	require.False(w, c.Next(), "after Close")
	w.closing(s)
	w.closing(s)
	_, err = Collect(w.ctx, s, export.Request{})
	require.ErrorIs(w, err, export.ErrClosed)
	_, err = s.Partition(w.ctx, export.Span{}, export.Timestamp{})
	require.ErrorIs(w, err, export.ErrClosed)
}

func checkClosedIngester(w *world) {
	destination := w.empty()
	in := w.ingest(destination, export.IngestOptions{Spans: everywhere()})
	require.NoError(w, in.Abort())
	_, err := in.Load(w.ctx, export.Span{})
	require.ErrorIs(w, err, export.ErrClosed)
	require.ErrorIs(w, in.Commit(w.ctx), export.ErrClosed)

	in = w.ingest(destination, export.IngestOptions{Spans: everywhere()})
	require.NoError(w, in.Commit(w.ctx), "of nothing")
	_, err = in.Load(w.ctx, export.Span{})
	require.ErrorIs(w, err, export.ErrClosed)
	require.ErrorIs(w, in.Commit(w.ctx), export.ErrClosed)
	require.NoError(w, in.Abort())
}
