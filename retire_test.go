package varve_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/internal/faultblob"
)

// Expiry marks a layer as retired, and then looks for references to it. A run that
// extends a layer makes a reference, and then looks for the mark: one of the two
// sees the other.

func (s *scene) retire(layer string) { s.bucket.Replace("retired/"+layer, []byte("{}")) }

func (s *scene) reinstate(layer string) { s.bucket.Remove("retired/" + layer) }

// chained is a full and two incrementals, each of another state.
func chained(t testing.TB) (s *scene, full, middle, tip *varve.Layer) {
	t.Helper()
	s = newScene(t, varve.BackupOptions{})
	for i, l := range []**varve.Layer{&full, &middle, &tip} {
		require.NoError(t, s.backup())
		*l = s.last
		s.change(uint64(i))
		s.opts.Into = varve.Latest
	}
	return s, full, middle, tip
}

// during calls do at the first operation of a kind on an object of that role.
func (s *scene) during(kind faultblob.Kind, of string, do func(op faultblob.Op)) {
	done := false
	s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if !done && op.Kind == kind && role(op.Key) == of {
			done = true
			do(op)
		}
		return faultblob.Fault{}
	})
}

// TestParentRetiredMeanwhile, before the run looks: it has chosen a layer that goes.
func TestParentRetiredMeanwhile(t *testing.T) {
	t.Parallel()
	s, _, middle, tip := chained(t)
	s.during(faultblob.Put, "refs", func(faultblob.Op) { s.retire(tip.ID) })
	err := s.backup()
	require.ErrorIs(t, err, varve.ErrConflict)
	require.ErrorContains(t, err, tip.ID)

	s.bucket.Inject(nil)
	s.last = middle
	require.NoError(t, s.attempt(t.Context()), "calling again extends what stays")
	s.requireOneBase()
	require.Equal(t, middle.ID, s.last.ParentID)
	s.reinstate(tip.ID)
	s.requireWhole()
}

// TestParentGoneMeanwhile, after the run looked and before it claimed its path: whoever
// expired the parent could not know of it.
func TestParentGoneMeanwhile(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{false, true} {
		s, _, middle, tip := chained(t)
		s.during(faultblob.Put, "progress", func(faultblob.Op) {
			if !gone {
				s.retire(tip.ID)
				return
			}
			for _, key := range s.bucket.Keys() {
				if strings.HasPrefix(key, tip.Path+"/") || strings.Contains(key, "-"+tip.ID+"-") {
					s.bucket.Remove(key)
				}
			}
		})
		err := s.backup()
		require.ErrorIs(t, err, varve.ErrConflict)
		require.ErrorContains(t, err, tip.ID)
		s.bucket.Inject(nil)
		s.last = middle
		require.NoError(t, s.attempt(t.Context()))
		require.Equal(t, middle.ID, s.last.ParentID)
		require.NoError(t, s.restore(s.newStore(), s.last.ID))
	}
}

// TestParentRetiredTooLate: the claim is there by then. The layer that is committed needs
// its parent, which stays, and is no restore point of its own.
func TestParentRetiredTooLate(t *testing.T) {
	t.Parallel()
	s, _, _, tip := chained(t)
	s.during(faultblob.Put, "data", func(faultblob.Op) { s.retire(tip.ID) })
	require.NoError(t, s.backup())
	require.Equal(t, tip.ID, s.last.ParentID)
	require.Contains(t, s.bucket.Keys(), "refs/"+tip.ID+"/"+s.last.ID)
	s.bucket.Inject(nil)
	require.NoError(t, s.restore(s.newStore(), s.last.ID))
	require.ErrorIs(t, s.restore(s.newStore(), tip.ID), varve.ErrNoLayer)
	s.change(9)
	require.NoError(t, s.backup())
	require.NoError(t, s.restore(s.newStore(), s.last.ID))
}

// TestLatestIsRetired: its chain goes on from the layer below, whose base is gone; the
// base of what is retired must not be taken for it.
func TestLatestIsRetired(t *testing.T) {
	t.Parallel()
	for _, deeper := range []bool{false, true} {
		s, full, middle, tip := chained(t)
		s.retire(tip.ID)
		s.last = middle
		if deeper {
			s.retire(middle.ID)
			s.last = full
		}
		parent := s.last.ID
		require.NoError(t, s.backup())
		require.Equal(t, parent, s.last.ParentID)
		require.Equal(t, varve.FromChain, s.last.Stats.Changes)
		require.NoError(t, s.restore(s.newStore(), s.last.ID))
		s.change(7)
		require.NoError(t, s.backup())
		require.Equal(t, varve.Checkpoints, s.last.Stats.Changes)
		s.reinstate(tip.ID)
		if deeper {
			s.reinstate(middle.ID)
		}
		s.requireStates()
	}
}

// requireStates wants each known layer to be whole, whichever is the latest.
func (s *scene) requireStates() {
	s.Helper()
	for id := range s.states {
		require.NoError(s, s.restore(s.newStore(), id))
	}
}

// TestChainIsRetired: there is nothing to extend, and a retired layer is none to name.
func TestChainIsRetired(t *testing.T) {
	t.Parallel()
	s, full, middle, tip := chained(t)
	for _, l := range []*varve.Layer{full, middle, tip} {
		s.retire(l.ID)
	}
	keys := s.bucket.Keys()
	require.ErrorIs(t, s.backup(), varve.ErrNoFull)
	for _, into := range []string{full.Path, tip.ID, tip.Path} {
		s.opts.Into = into
		require.ErrorIs(t, s.backup(), varve.ErrNoLayer)
	}
	require.Equal(t, keys, s.bucket.Keys())
	s.opts.Into, s.opts.FullEvery = varve.Latest, 1000*time.Hour
	require.NoError(t, s.backup())
	require.True(t, s.last.Full())
	require.NoError(t, s.restore(s.newStore(), s.last.ID))
}

// TestDeclaredDead: somebody has declared an incremental dead while it was written. Its
// parent and its parent's base are what they were.
func TestDeclaredDead(t *testing.T) {
	t.Parallel()
	s, _, _, tip := chained(t)
	s.during(faultblob.Put, "BACKUP_MANIFEST", func(op faultblob.Op) { s.bucket.Replace(op.Key, []byte(`{"kind": "varve.void"}`)) })
	require.ErrorIs(t, s.backup(), varve.ErrConflict)
	s.goOn()
	require.Equal(t, tip.ID, s.last.ParentID)
}

// TestForks: what is named is extended, and so may have several successors. Each is
// compared with what it extends, not with the base of another; Latest is the longest
// way.
func TestForks(t *testing.T) {
	t.Parallel()
	s, full, middle, tip := chained(t)
	into := func(name string, parent *varve.Layer, want varve.ChangeSource) *varve.Layer {
		s.change(uint64(len(s.states)))
		s.opts.Into, s.last = name, parent
		require.NoError(t, s.backup())
		require.Equal(t, want, s.last.Stats.Changes)
		return s.last
	}
	// Against the base that is there, tip's, what tip changed would not show.
	sibling := into(middle.Path, middle, varve.FromChain)
	s.requireWhole() // tip and its sibling are as far from the full, and tip ends before
	cousin := into(tip.ID, tip, varve.FromChain)
	nephew := into(sibling.ID, sibling, varve.FromChain)
	require.Less(t, cousin.End.Compare(nephew.End), 0)
	s.requireWhole()
	last := into(full.ID, nephew, varve.Checkpoints)
	require.Equal(t, full.ID, last.ChainID)
	s.requireWhole()
}
