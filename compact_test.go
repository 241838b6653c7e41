package varve_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// compacted compacts, and notes what the new layer must restore.
func (s *scene) compacted(from string, opts varve.CompactOptions) *varve.Layer {
	s.Helper()
	opts.Concurrency, opts.TargetFileBytes = 1, 2<<10
	layer, err := s.collection().Compact(s.Context(), from, &opts)
	require.NoError(s, err)
	s.noteCompacted(layer)
	return layer
}

// noteCompacted notes a layer that stands for another.
func (s *scene) noteCompacted(layer *varve.Layer) {
	s.Helper()
	require.Contains(s, s.states, layer.Manifest.StandsFor)
	s.states[layer.ID] = s.states[layer.Manifest.StandsFor]
	if layer.Full() {
		s.last = layer
	}
}

// TestCompact (I9, I13): a chain becomes a synthetic full, a window of it an incremental; each
// has the digest of what it stands for, restores the same, and is extended exactly.
func TestCompact(t *testing.T) {
	t.Parallel()
	for _, mode := range modes(t) {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, mode.opts)
			s.keys = mode.keys
			var layers []*varve.Layer
			for i := range uint64(5) {
				require.NoError(t, s.backup())
				layers = append(layers, s.last)
				s.change(i)
				s.opts.Into = varve.Latest
			}
			window := s.compacted(layers[3].ID, varve.CompactOptions{First: layers[2].ID})
			require.Equal(t, layers[1].ID, window.ParentID)
			require.Equal(t, layers[3].Manifest.Digest, window.Manifest.Digest)
			require.Equal(t, []string{layers[2].ID, layers[3].ID}, window.Manifest.Covers)
			s.requireWhole()
			full := s.compacted(varve.Latest, varve.CompactOptions{})
			require.True(t, full.Full())
			require.Equal(t, layers[4].ID, full.Manifest.StandsFor)
			require.Equal(t, layers[4].Manifest.Digest, full.Manifest.Digest)
			s.requireWhole()
			require.NoError(t, s.backup(), "extends the full by the base of what that stands for")
			require.Equal(t, full.ID, s.last.ParentID)
			s.requireWhole()
		})
	}
}
