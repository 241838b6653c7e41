package varve_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// TestTargetsThatTouch: a layer of spans that lie side by side can be restored as they
// are, each alone, and through a chain, however its changes were found.
func TestTargetsThatTouch(t *testing.T) {
	t.Parallel()
	whole := []varve.Span{span("key-00001", "key-00003"), span("key-00003", "key-00005"), span("key-00005", "key-00009")}
	s := newScene(t, varve.BackupOptions{})
	s.spans = whole
	backup := func(spans []varve.Span, want varve.ChangeSource, noBase bool) {
		s.change(uint64(len(s.states)))
		s.spans, s.opts.NoBase = spans, noBase
		require.NoError(t, s.backup())
		require.Equal(t, want, s.last.Stats.Changes)
		s.requireWhole()
		for _, alone := range spans {
			dst := s.newStore()
			restored, err := s.collection().Restore(t.Context(), varve.Spans(dst, alone), &varve.RestoreOptions{Prove: true})
			require.NoError(t, err)
			require.Equal(t, varve.ProofDigest, restored.Proof)
			require.Equal(t, stateOf(s.store, alone), stateOf(dst))
		}
		s.opts.Into = varve.Latest
	}
	backup(whole, varve.Everything, false)
	backup(whole, varve.Checkpoints, true)
	backup(whole, varve.FromChain, false)
	backup(whole[1:2], varve.Checkpoints, false)
	backup(whole, varve.Checkpoints, false) // what is introduced touches what was kept
	backup([]varve.Span{span("key-00001", "key-00004"), span("key-00004", "key-00006"), span("key-00006", "key-0001")}, varve.Checkpoints, true)
	backup([]varve.Span{span("key-00000", "key-00002"), span("key-00002", "key-00003"), span("key-00003", "key-0001")}, varve.FromChain, true)
}
