package varve_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// deepen lays two layers on a full that change a part of it, so that files of each are
// changed no more.
func (s *scene) deepen() {
	s.Helper()
	s.opts.Into = varve.Latest
	for i := range 2 {
		for j := range 30 {
			s.store.Set(fmt.Appendf(nil, "key-%06d", 20*i+j), fmt.Appendf(nil, "value %d of layer %d", j, i))
		}
		s.store.Delete(fmt.Appendf(nil, "key-%06d", 20*i))
		s.store.DeleteRange(fmt.Appendf(nil, "key-%06d", 20*i+5), fmt.Appendf(nil, "key-%06d", 20*i+8))
		require.NoError(s, s.attempt(s.Context()))
	}
	s.change(2)
}

// compacted compacts, and is what comes of it.
func (s *scene) compacted(from string, opts varve.CompactOptions) *varve.Layer {
	s.Helper()
	before := slices.Collect(maps.Keys(s.states))
	require.NoError(s, s.compact(s.Context(), from, opts))
	for id := range s.states {
		if !slices.Contains(before, id) {
			layer, err := s.collection().Layer(s.Context(), id)
			require.NoError(s, err)
			return layer
		}
	}
	s.Fatal("nothing was compacted")
	return nil
}

// compact compacts, and notes what comes of it.
func (s *scene) compact(ctx context.Context, from string, opts varve.CompactOptions) error {
	s.Helper()
	opts.Concurrency, opts.TargetFileBytes = 1, 2<<10
	layer, err := s.collection().Compact(ctx, from, &opts)
	if err != nil {
		return err
	}
	if _, known := s.states[layer.ID]; !known {
		s.noteCompacted(layer)
	}
	return nil
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
