package varve_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// scene is a store, and a collection of which is known what must be in it. Its clock
// moves an hour with each backup.
type scene struct {
	testing.TB
	bucket *faultblob.Bucket
	store  *memkv.Store
	now    *time.Time
	spans  []varve.Span // what is backed up; nil: everything
	opts   varve.BackupOptions
	keys   []varve.Key           // of the collection
	states map[string]sceneState // of the layers, by ID
	last   *varve.Layer          // the newest of them
	engine export.Store          // what is backed up, if that is not store, which then holds the same
	write  func(seed uint64)     // to store, and to engine
	unseen func()                // looks at the destination of a restore that goes on
	open   atomic.Int64          // see watched
	wrong  atomic.Int64          // nanoseconds by which the collections' clock is, also of what goes on
	call   func(op string)       // see watched
	fail   func(op string, done bool) error
}

// sceneState is what a layer must restore.
type sceneState struct {
	spans   []varve.Span
	entries []export.Entry
}

// setting makes a scene, the same one each time.
type setting func(testing.TB) *scene

func newScene(t testing.TB, opts varve.BackupOptions) *scene {
	t.Helper()
	opts.Concurrency, opts.TargetFileBytes = 1, 2<<10
	now := time.Date(2026, 11, 22, 6, 31, 59, 370_000_000, time.UTC)
	s := &scene{TB: t, bucket: faultblob.New(t, nil), now: &now, opts: opts, states: map[string]sceneState{}}
	s.store = s.newStore()
	fill(s.store, 100, 1)
	s.write = s.change
	return s
}

// backedUp is a scene with one layer.
func backedUp(t testing.TB) *scene {
	s := newScene(t, varve.BackupOptions{})
	require.NoError(t, s.backup())
	return s
}

func (s *scene) newStore() *memkv.Store {
	now := s.now
	return newStore(s, &memkv.Options{SingleRevision: !s.opts.RevisionHistory, PartitionBytes: 4 << 10, Now: func() time.Time { return *now }})
}

func (s *scene) collection() *varve.Collection { return s.collectionUnder(s.keys) }

func (s *scene) collectionUnder(keys []varve.Key) *varve.Collection {
	now := s.now
	return collectionIn(s, s.bucket, &varve.CollectionOptions{Encryption: keys, Now: func() time.Time { return now.Add(time.Duration(s.wrong.Load())) }})
}

func (s *scene) targets(store export.Store) varve.Targets {
	if s.spans == nil {
		return varve.Cluster(store)
	}
	return varve.Spans(store, s.spans...)
}

// backup notes what was backed up, if it was. A run that fails leaves the store as it
// was, one that succeeds leaves its own base.
func (s *scene) backup() error {
	s.Helper()
	before := s.kept()
	err := s.attempt(s.Context())
	switch {
	case err != nil:
		require.Equal(s, before, s.kept(), "snapshots after a backup that failed")
	default:
		s.requireOneBase()
	}
	return err
}

// attempt is a backup whose store may be left in disorder.
func (s *scene) attempt(ctx context.Context) error {
	s.Helper()
	kept, state := s.kept(), stateOf(s.store, s.spans...)
	*s.now = s.now.Add(time.Hour)
	var src export.Store = &watched{Store: s.store, call: s.call, fail: s.fail, open: &s.open}
	if s.engine != nil {
		src = s.engine
	}
	layer, err := s.collection().Backup(ctx, s.targets(src), &s.opts)
	if err != nil {
		return err
	}
	require.NotContains(s, s.states, layer.ID)
	if !layer.Full() {
		require.Equal(s, s.last.ID, layer.ParentID)
		want := varve.FromChain
		if slices.Contains(kept, layer.ParentID) || slices.Contains(kept, s.last.Manifest.StandsFor) {
			want = varve.Checkpoints
		}
		if s.opts.RevisionHistory {
			want = varve.Revisions
		}
		require.Equal(s, want, layer.Stats.Changes)
	}
	s.states[layer.ID] = sceneState{spans: s.spans, entries: state}
	s.last = layer
	s.opts.Name = "" // can be given once
	return nil
}

// requireOneBase wants nothing kept but the base of the newest layer.
func (s *scene) requireOneBase() {
	s.Helper()
	if s.opts.NoBase {
		require.Empty(s, s.kept())
		return
	}
	require.Equal(s, []string{s.last.ID}, s.kept())
}

// kept are the names of the store's snapshots.
func (s *scene) kept() (names []string) {
	s.Helper()
	kept, err := s.store.Snapshots(s.Context())
	require.NoError(s, err)
	for _, k := range kept {
		names = append(names, k.Name)
	}
	return names
}

// change writes over some of the store, deletes some of it and puts something new
// between; the same with the same seed.
func (s *scene) change(seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	key := func() []byte { return fmt.Appendf(nil, "key-%06d", rng.IntN(100)) }
	for i := range 40 {
		s.store.Set(key(), fmt.Appendf(nil, "value %d of change %d.%d", rng.Uint64(), seed, i))
	}
	for range 10 {
		s.store.Delete(key())
		s.store.Set(fmt.Appendf(key(), "-%d", seed), []byte("new"))
	}
	from := rng.IntN(90)
	start, end := fmt.Appendf(nil, "key-%06d", from), fmt.Appendf(nil, "key-%06d", from+5)
	s.store.DeleteRange(start, end)
	s.store.RangeKeySet(end, []byte("key-0001"), []byte("@3"), fmt.Append(nil, seed))
	s.store.RangeKeyDelete(start, end)
}

// restore loads a layer into a store, or else leaves nothing in it.
func (s *scene) restore(dst *memkv.Store, from string) error {
	s.Helper()
	want := s.states[from]
	targets := varve.Cluster(dst)
	if want.spans != nil {
		targets = varve.Spans(dst, want.spans...)
	}
	_, err := s.collection().Restore(s.Context(), targets, &varve.RestoreOptions{From: from, Concurrency: 1})
	if err != nil {
		require.Empty(s, stateOf(dst))
	} else {
		require.Equal(s, want.entries, stateOf(dst))
	}
	return err
}

// requireWhole wants exactly the layers that are known, each of them whole.
func (s *scene) requireWhole() {
	s.Helper()
	s.requireListed()
	for id := range s.states {
		_, err := s.collection().Verify(s.Context(), id, &varve.VerifyOptions{Level: varve.VerifyDigest})
		require.NoError(s, err)
		require.NoError(s, s.restore(s.newStore(), id))
	}
}

// requireListed wants exactly the layers that are known.
func (s *scene) requireListed() {
	s.Helper()
	require.ElementsMatch(s, slices.Collect(maps.Keys(s.states)), s.listed())
	if s.last != nil {
		latest, err := s.collection().Layer(s.Context(), varve.Latest)
		require.NoError(s, err)
		require.Equal(s, s.last.ID, latest.ID)
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
func (make setting) trace(t testing.TB, do func(*scene) error) []faultblob.Op {
	t.Helper()
	s := make(t)
	s.bucket.Reset()
	require.NoError(t, do(s))
	return s.bucket.Trace()
}

// at is the scene, whose bucket counts operations from here on.
func (make setting) at(t testing.TB) *scene {
	t.Helper()
	s := make(t)
	s.bucket.Reset()
	return s
}
