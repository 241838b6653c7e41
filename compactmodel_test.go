package varve_test

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
)

// compact merges random layers of a random chain. What comes of it has the state of the last of
// them, and may be extended and compacted like any other (I9).
func (s *scribe) compact() {
	s.Helper()
	p := s.layers[s.rng.IntN(len(s.layers))]
	chain := s.pages(&varve.RestoreOptions{From: p.ID})
	opts := &varve.CompactOptions{
		TargetFileBytes: 1 << (8 + s.rng.IntN(12)), Compression: varve.Compression(s.rng.IntN(3)),
		Concurrency: 1 + s.rng.IntN(4), Rewrite: s.rng.IntN(3) == 0,
	}
	first := chain[len(chain)-1]
	if s.rng.IntN(2) == 0 {
		first = chain[s.rng.IntN(len(chain))]
		opts.First = first.ID
	}
	layer, err := s.c.Compact(s.Context(), p.ID, opts)
	require.NoError(s, err)
	s.Logf("compacted from %q to %s: %s", opts.First, p.ID, layer.ID)
	if slices.ContainsFunc(s.layers, func(q *page) bool { return q.ID == layer.ID }) {
		return // as it was
	}
	require.Equal(s, p.ID, layer.Manifest.StandsFor)
	require.Equal(s, p.Manifest.Digest, layer.Manifest.Digest)
	require.Equal(s, first.Full(), layer.Full())
	require.False(s, opts.Rewrite && len(layer.Manifest.Refers) > 0)
	q := &page{Layer: layer, stands: p, spans: p.spans, state: p.state}
	if i := slices.IndexFunc(s.layers, func(r *page) bool { return r.ID == layer.ParentID }); i >= 0 {
		q.parent = s.layers[i]
	}
	s.layers = append(s.layers, q)
}

// compact merges random layers of a random chain. The new layer promises no more than they did,
// and all that it can.
func (a *annalist) compact() {
	a.Helper()
	l := a.layers[a.rng.IntN(len(a.layers))]
	chain, err := a.c.Resolve(a.Context(), l.ID, export.Timestamp{})
	require.NoError(a, err)
	opts := &varve.CompactOptions{TargetFileBytes: 1 << a.rng.IntN(12), Concurrency: 1 + a.rng.IntN(3), Rewrite: a.rng.IntN(3) == 0}
	window := chain.Layers
	if a.rng.IntN(2) == 0 {
		window = window[a.rng.IntN(len(window)):]
		opts.First = window[0].ID
	}
	layer, err := a.c.Compact(a.Context(), l.ID, opts)
	require.NoError(a, err)
	if slices.ContainsFunc(a.layers, func(m *annal) bool { return m.ID == layer.ID }) {
		return // as it was
	}
	oldest := l.Manifest.Oldest
	for i := len(window) - 1; i > 0 && oldest == window[i].Start; i-- {
		if len(window[i].Manifest.Introduced) > 0 || !slices.EqualFunc(window[i].Manifest.Spans, window[i-1].Manifest.Spans, alike) {
			oldest = oldest.Next()
			break
		}
		oldest = window[i-1].Manifest.Oldest
	}
	require.Equal(a, oldest, layer.Manifest.Oldest)
	require.Equal(a, l.Manifest.Digest, layer.Manifest.Digest)
	a.layers = append(a.layers, &annal{Layer: layer, span: l.span})
}

func alike(a, b varve.Span) bool {
	return string(a.Start) == string(b.Start) && string(a.End) == string(b.End)
}

// compact merges random layers of a random chain. The new layer has the objects of the last of
// them, and of a full without history it is known how many keys each has.
func (m *catalogModel) compact() {
	m.Helper()
	l := m.layers[m.rng.IntN(len(m.layers))]
	chain, err := m.collection().Resolve(m.Context(), l.ID, export.Timestamp{})
	require.NoError(m, err)
	opts := &varve.CompactOptions{TargetFileBytes: 1 << 10, Rewrite: m.rng.IntN(2) == 0}
	if m.rng.IntN(2) == 0 {
		opts.First = chain.Layers[m.rng.IntN(len(chain.Layers))].ID
	}
	layer, err := m.collection().Compact(m.Context(), l.ID, opts)
	require.NoError(m, err)
	if slices.ContainsFunc(m.layers, func(k *varve.Layer) bool { return k.ID == layer.ID }) {
		return // as it was
	}
	m.layers = append(m.layers, layer)
	want, err := m.collection().Objects(m.Context(), l.ID)
	require.NoError(m, err)
	got, err := m.collection().Objects(m.Context(), layer.ID)
	require.NoError(m, err)
	require.Len(m, got, len(want))
	var keys int64
	for i := range got {
		require.Equal(m, want[i].Object, got[i].Object)
		require.Equal(m, want[i].Database, got[i].Database)
		keys += got[i].Rows + got[i].IndexEntries
	}
	if layer.Full() && layer.Manifest.Oldest == layer.End && !layer.Manifest.Complete { // which has keys of no object, too
		require.Equal(m, layer.Manifest.Digest.Keys, keys)
	}
}
