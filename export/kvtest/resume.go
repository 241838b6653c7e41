package kvtest

import (
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func resumeChecks() []check {
	return []check{
		{"E8/Durable", checkDurable},
		{"E8/CrashBeforeCommit", checkCrashBeforeCommit},
		{"E8/Resume", checkResume},
		{"E8/AnotherName", checkAnotherName},
	}
}

// sampleState is what fill would write, without writing it.
func (w *world) sampleState() []export.Entry {
	var entries []export.Entry
	for i := range samples {
		for version := range 3 {
			entries = append(entries, export.Entry{Kind: export.Set, Key: w.key(name(i), version), Value: []byte(name(i))})
		}
	}
	return Canonical(w.order, entries)
}

func checkDurable(w *world) {
	want := w.sampleState()
	w.restore(w.store, export.IngestOptions{Name: snapshotName(7), Spans: everywhere()}, want)
	w.reopen()
	w.same(want, w.holds(w.store))
}

func checkCrashBeforeCommit(w *world) {
	in := w.ingest(w.store, export.IngestOptions{Spans: everywhere()})
	require.NoError(w, w.load(in, export.Span{}, w.sampleState()))
	w.reopen()
	require.Empty(w, w.holds(w.store))
	w.restore(w.store, export.IngestOptions{Spans: everywhere()}, w.sampleState())
	w.same(w.sampleState(), w.holds(w.store))
}

// checkResume finishes one span before a restart and the other after it.
func checkResume(w *world) {
	want := w.sampleState()
	opts := export.IngestOptions{Name: snapshotName(7), Spans: everywhere()}
	in := w.ingest(w.store, opts)
	require.NoError(w, w.load(in, w.span("a", name(9)), want))
	w.reopen()
	require.Empty(w, w.holds(w.store))
	in = w.ingest(w.store, opts)
	defer w.aborting(in)
	require.NoError(w, w.load(in, w.span(name(9), "z"), want))
	require.NoError(w, in.Commit(w.ctx))
	w.same(want, w.holds(w.store))
}

func checkAnotherName(w *world) {
	want := w.sampleState()
	in := w.ingest(w.store, export.IngestOptions{Name: snapshotName(7), Spans: everywhere()})
	require.NoError(w, w.load(in, w.span("a", name(9)), want))
	w.reopen()
	span := w.span(name(9), name(12))
	in = w.ingest(w.store, export.IngestOptions{Name: snapshotName(8), Spans: everywhere()})
	require.NoError(w, w.load(in, span, want))
	require.NoError(w, in.Commit(w.ctx))
	w.same(Clip(w.order, want, span), w.holds(w.store))
}
