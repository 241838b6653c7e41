package varve_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/internal/faultblob"
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

// TestFullEveryWithoutItsFull: the full of a chain goes with a policy, once the chain was
// compacted. A run that takes fulls from time to time takes one then.
func TestFullEveryWithoutItsFull(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{})
	s.bucket = faultblob.New(t, &faultblob.Options{Now: func() time.Time { return *s.now }})
	var layers []*varve.Layer
	for i := range 4 {
		require.NoError(t, s.backup())
		layers = append(layers, s.last)
		s.opts.Into = varve.Latest
		s.change(uint64(i))
	}
	s.compacted(layers[2].ID, varve.CompactOptions{Rewrite: true})
	s.expireAll(varve.Policy{KeepLast: 1})
	require.NotContains(t, s.states, layers[0].ID)
	s.opts.FullEvery = 30 * 24 * time.Hour
	require.NoError(t, s.backup())
	require.True(t, s.last.Full())
	s.change(9)
	require.NoError(t, s.backup())
	require.False(t, s.last.Full())
	s.requireWhole()
}
