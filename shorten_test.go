package varve_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// TestMaxChain: an incremental that would make a chain too long extends a synthetic full, by the
// base that there is; and where the chain cannot be compacted, the backup is a full.
func TestMaxChain(t *testing.T) {
	t.Parallel()
	for _, mode := range modes(t) {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, mode.opts)
			s.keys = mode.keys
			require.NoError(t, s.backup())
			var long []varve.LongChainInfo
			s.opts.Into, s.opts.MaxChain = varve.Latest, 3
			s.opts.Events = &varve.Events{LongChain: func(l varve.LongChainInfo) { long = append(long, l) }}
			for i := range uint64(2) {
				s.change(i)
				require.NoError(t, s.backup())
			}
			require.Empty(t, long)
			tip := s.last
			s.change(2)
			s.extendShortened(tip)
			require.Equal(t, []varve.LongChainInfo{{Tip: tip.LayerInfo, Layers: 3}}, long)

			s.change(3)
			require.NoError(t, s.backup())
			require.Len(t, long, 1)
			if mode.keys == nil {
				return
			}
			s.change(4)
			s.keys = mode.keys[:1] // which seals only
			require.NoError(t, s.attempt(t.Context()))
			require.Len(t, long, 2)
			require.True(t, s.last.Full())
			s.keys = mode.keys
			s.requireAll()
		})
	}
}

// extendShortened is a backup that extends a full which stands for tip.
func (s *scene) extendShortened(tip *varve.Layer) {
	s.Helper()
	state := stateOf(s.store)
	opts := s.opts
	layer, err := s.collection().Backup(s.Context(), s.targets(s.store), &opts)
	require.NoError(s, err)
	full, err := s.collection().Layer(s.Context(), layer.ChainID)
	require.NoError(s, err)
	require.Equal(s, full.ID, layer.ParentID)
	require.Equal(s, tip.ID, full.Manifest.StandsFor)
	require.NotEqual(s, varve.FromChain, layer.Stats.Changes)
	s.noteCompacted(full)
	s.states[layer.ID], s.last = sceneState{entries: state}, layer
	s.requireWhole()
	s.requireOneBase()
}
