package kvtest

import (
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func clippingChecks() []check {
	return []check{{"E5/Spans", checkClipping}}
}

// checkClipping exports every span between some bounds that range keys cross.
func checkClipping(w *world) {
	w.fill()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	whole := w.state()
	bounds := []string{"a", name(3), name(5), name(6), name(9) + "x", name(16), name(21), name(30), "z"}
	for i, a := range bounds {
		for _, b := range bounds[i+1:] {
			span := w.span(a, b)
			got := w.read(s, export.Request{Span: span})
			for j := range got {
				w.inside(span, &got[j])
			}
			w.same(Clip(w.order, whole, span), got, "span %s", span)
		}
	}
	for _, span := range w.someSpans() {
		w.same(Clip(w.order, whole, span), w.read(s, export.Request{Span: span}), "span %s", span)
	}
}

func (w *world) inside(span export.Span, e *export.Entry) {
	w.Helper()
	if e.Kind.IsRange() {
		require.True(w, span.Covers(w.order, export.Span{Start: e.Key, End: e.End}), "%s in %s", line(e), span)
		require.NotEmpty(w, e.End)
		return
	}
	require.True(w, span.Contains(w.order, e.Key), "%s in %s", line(e), span)
}
