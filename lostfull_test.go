package varve_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// TestLostFull: nothing is added to a chain that has lost its full, for it could
// never be restored. A run that takes fulls from time to time takes one.
func TestLostFull(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{Name: "full"})
	require.NoError(t, s.backup())
	s.opts.Into = varve.Latest
	s.change(1)
	require.NoError(t, s.backup())
	s.bucket.Remove("full/BACKUP_MANIFEST")
	clear(s.states)
	before := s.bucket.Keys()
	for _, into := range []string{varve.Latest, s.last.ID, s.last.Path} {
		s.opts.Into = into
		require.ErrorIs(t, s.backup(), varve.ErrNoFull, into)
	}
	require.Equal(t, before, s.bucket.Keys())

	s.opts.Into, s.opts.FullEvery = varve.Latest, 7*24*time.Hour
	require.NoError(t, s.backup())
	require.True(t, s.last.Full())
	s.change(2)
	require.NoError(t, s.backup())
	require.Equal(t, s.last.ParentID, s.last.ChainID)
}
