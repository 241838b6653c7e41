package varve_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// scene is a store, and a collection of which is known what must be in it.
type scene struct {
	testing.TB
	bucket *faultblob.Bucket
	store  *memkv.Store
	opts   varve.BackupOptions
	states map[string][]export.Entry // of the layers, by ID
}

func newScene(t testing.TB, opts varve.BackupOptions) *scene {
	t.Helper()
	opts.Concurrency, opts.TargetFileBytes = 1, 2<<10
	return &scene{
		TB: t, bucket: faultblob.New(t, nil), store: pieced(t, 100, 1), opts: opts,
		states: map[string][]export.Entry{},
	}
}

// twin is the same scene, whose bucket has neither hooks nor a trace.
func (s *scene) twin(t testing.TB) *scene {
	t.Helper()
	twin := *s
	twin.TB, twin.bucket, twin.states = t, s.bucket.Clone(), maps.Clone(s.states)
	twin.store = pieced(t, 100, 1)
	return &twin
}

func (s *scene) collection() *varve.Collection { return collectionIn(s, s.bucket, nil) }

// backup notes what was backed up, if it was.
func (s *scene) backup() error {
	s.Helper()
	layer, err := s.collection().Backup(s.Context(), varve.Cluster(s.store), &s.opts)
	if err == nil {
		require.NotContains(s, s.states, layer.ID)
		s.states[layer.ID] = stateOf(s.store)
		s.opts.Name = "" // can be given once
	}
	kept, listErr := s.store.Snapshots(s.Context())
	require.NoError(s, listErr)
	require.Empty(s, kept, "snapshots that the backup left")
	return err
}

// restore loads a layer into a store, or else leaves nothing in it.
func (s *scene) restore(dst *memkv.Store, from string) error {
	s.Helper()
	_, err := s.collection().Restore(s.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: from, Concurrency: 1})
	if err != nil {
		require.Empty(s, stateOf(dst))
	} else {
		require.Equal(s, s.states[from], stateOf(dst))
	}
	return err
}

// requireWhole wants exactly the layers that are known, each of them whole.
func (s *scene) requireWhole() {
	s.Helper()
	require.ElementsMatch(s, slices.Collect(maps.Keys(s.states)), s.listed())
	for id := range s.states {
		_, err := s.collection().Verify(s.Context(), id, &varve.VerifyOptions{Level: varve.VerifyDigest})
		require.NoError(s, err)
		require.NoError(s, s.restore(newStore(s, &memkv.Options{SingleRevision: true}), id))
	}
}

// listed are the IDs of the layers.
func (s *scene) listed() []string {
	s.Helper()
	var ids []string
	for l, err := range s.collection().Layers(s.Context()) {
		require.NoError(s, err)
		ids = append(ids, l.ID)
	}
	return ids
}

// trace is what happens in the bucket when nothing goes wrong.
func (s *scene) trace(t testing.TB, do func(*scene) error) []faultblob.Op {
	t.Helper()
	twin := s.twin(t)
	require.NoError(t, do(twin))
	return twin.bucket.Trace()
}
