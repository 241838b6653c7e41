package kvtest

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func partitionChecks() []check {
	return []check{
		{"E2/Cover", checkCover},
		{"E2/EmptyStore", checkEmptyStore},
		{"E2/Several", checkSeveral},
	}
}

func checkCover(w *world) {
	w.fill()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	w.delete(name(1), 1) // is not seen
	for _, span := range w.someSpans() {
		want := w.read(s, export.Request{Span: span})
		w.same(want, w.readPieces(s, span, export.Timestamp{}), "span %s", span)
	}
}

func checkEmptyStore(w *world) {
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	pieces, err := s.Partition(w.ctx, export.Span{}, export.Timestamp{})
	require.NoError(w, err)
	require.Len(w, pieces, 1)
	require.Empty(w, w.read(s, export.Request{}))
}

// checkSeveral writes four times what one piece is meant to hold.
func checkSeveral(w *world) {
	p, ok := w.h.(Partitioner)
	if !ok {
		w.Skipf("the harness is no Partitioner")
	}
	value := strings.Repeat("v", 1000)
	n := int(4*p.PartitionBytes()/1000) + 8
	for i := range n {
		w.set(fmt.Sprintf("k%08d", i), 0, value)
	}
	w.shake()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	pieces := w.pieces(s, export.Span{}, export.Timestamp{})
	require.GreaterOrEqual(w, len(pieces), 2)
	for _, piece := range pieces {
		keys := len(w.read(s, export.Request{Span: piece.Span}))
		require.Less(w, keys, n*3/4, "%s holds most of the data", piece.Span)
	}
	w.same(w.state(), w.readPieces(s, export.Span{}, export.Timestamp{}))
}

// pieces partitions span, and sees to it that they cover it in order, without gap
// or overlap, cut at bare prefixes.
func (w *world) pieces(s export.Snapshot, span export.Span, since export.Timestamp) []export.Partition {
	w.Helper()
	pieces, err := s.Partition(w.ctx, span, since)
	require.NoError(w, err)
	require.NotEmpty(w, pieces)
	first, last := pieces[0].Span, pieces[len(pieces)-1].Span
	require.Zero(w, w.order.Compare(span.Start, first.Start), "%s begins at %s", span, first)
	require.Zero(w, w.order.CompareEnds(span.End, last.End), "%s ends at %s", span, last)
	for i, piece := range pieces {
		require.False(w, piece.Span.IsEmpty(w.order), "%s", piece.Span)
		require.GreaterOrEqual(w, piece.Bytes, int64(0))
		if i > 0 {
			require.Zero(w, w.order.Compare(pieces[i-1].Span.End, piece.Span.Start), "piece %d of %s", i, span)
			require.NotEmpty(w, piece.Span.Start)
			require.True(w, w.order.CutPoint(piece.Span.Start), "%q", piece.Span.Start)
		}
	}
	return pieces
}

// readPieces is what the partitions of span export, one after another.
func (w *world) readPieces(s export.Snapshot, span export.Span, since export.Timestamp) []export.Entry {
	w.Helper()
	var all []export.Entry
	for _, piece := range w.pieces(s, span, since) {
		all = append(all, w.read(s, export.Request{Span: piece.Span, Since: since})...)
	}
	return all
}
