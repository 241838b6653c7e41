package varve

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

// TestFilesOfManyPartsAreReportedOnce: a file that lies over a piece of many parts
// feeds all of them, and is one file in events, bytes and counts.
func TestFilesOfManyPartsAreReportedOnce(t *testing.T) {
	t.Parallel()
	s := newStrata(t, 11)
	s.target = 2 << 20
	source, noise := rand.NewChaCha8([32]byte{11}), make([]byte, 1<<10)
	for i := range 24 << 10 {
		source.Read(noise)
		s.store.Set(fmt.Appendf(nil, "n%08d", i), noise)
	}
	s.store.RangeKeySet([]byte("n"), []byte("o"), []byte("@1"), []byte("over all"))
	s.lay(Span{})
	s.store.Set([]byte("n00000001"), []byte("first"))
	s.store.Delete([]byte("n00024000"))
	s.store.RangeKeyUnset([]byte("n00010000"), []byte("n00012000"), []byte("@1"))
	s.lay(Span{})

	c := s.contentAt(1)
	whole := planPieces(nil, c.views)
	require.Len(t, whole, 1)
	parts := whole[0].split(nil, partBytes)
	require.GreaterOrEqual(t, len(parts), 2)
	var stored int64
	for _, f := range c.files {
		stored += f.Size
	}
	for _, d := range s.destinations() {
		files := map[string]int{}
		var last ProgressInfo
		opts := &RestoreOptions{Prove: d.name == "a directory", Events: &Events{
			File:     func(f FileInfo) { files[f.Path]++ },
			Progress: func(p ProgressInfo) { last = p },
		}}
		restored, err := s.c.Restore(t.Context(), Cluster(d.store), opts)
		require.NoError(t, err)
		require.Equal(t, ProofDigest, restored.Proof, d.name)
		require.EqualValues(t, len(c.files), restored.Stats.Files)
		require.Equal(t, stored, restored.Stats.StoredBytes)
		require.Equal(t, [2]int64{stored, stored}, [2]int64{last.Done, last.Total})
		require.Len(t, files, len(c.files))
		for path, n := range files {
			require.Equal(t, 1, n, path)
		}
		got, err := contentOf(t.Context(), d.opened())
		require.NoError(t, err)
		requireSameEntries(t, stateIn(s.states[1], Span{}), got)
	}
	s.verifyAll(1)
}

// requireSameEntries does not print megabytes.
func requireSameEntries(t *testing.T, want, got []export.Entry) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i], got[i])
	}
}
