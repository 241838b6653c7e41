package varve_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// turnstile lets one call at a time through to a bucket, in an order of its own
// choice.
type turnstile struct {
	rng *rand.Rand

	mu      sync.Mutex
	waiting []waiter
	running int
}

type waiter struct {
	call string
	gate chan struct{}
}

func (s *turnstile) park(ctx context.Context, op faultblob.Op) {
	w := waiter{call: op.String(), gate: make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	select {
	case <-w.gate:
	case <-ctx.Done():
	}
}

func (s *turnstile) start(run func()) {
	s.running++
	go func() {
		run()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
	}()
}

// drive goes on until all that was started has ended, and calls between before each
// turn.
func (s *turnstile) drive(between func()) {
	for {
		synctest.Wait()
		s.mu.Lock()
		idle, ended := len(s.waiting) == 0, s.running == 0
		s.mu.Unlock()
		switch {
		case ended:
			return
		case idle: // they wait for time to pass
			time.Sleep(time.Second)
		default:
			between()
			s.next()
		}
	}
}

func (s *turnstile) next() {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.waiting, func(a, b waiter) int { return strings.Compare(a.call, b.call) })
	n := s.rng.IntN(len(s.waiting))
	close(s.waiting[n].gate)
	s.waiting = slices.Delete(s.waiting, n, n+1)
}

// witness is a store that notes what it holds whenever a snapshot is taken.
type witness struct {
	*memkv.Store

	mu     sync.Mutex
	states map[string][]export.Entry // by name of the snapshot, which is that of a layer
}

func newWitness(t *testing.T, keys int) *witness {
	w := &witness{Store: newStore(t, &memkv.Options{SingleRevision: true, Lineage: "one"}), states: map[string][]export.Entry{}}
	for i := range keys {
		w.Set(fmt.Appendf(nil, "key-%02d", i), []byte("first"))
	}
	return w
}

func (w *witness) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.states[opts.Name] = stateOf(w.Store)
	return w.Store.Snapshot(ctx, opts)
}

// state is that of a layer, if it was of this store.
func (w *witness) state(layer string) ([]export.Entry, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	state, ok := w.states[layer]
	return state, ok
}

// rivals write to one collection at the same time.
type rivals struct {
	*testing.T
	*turnstile
	bucket *faultblob.Bucket
	stores []*witness
	layers []*varve.Layer
	keys   []varve.Key // of the collection
}

// TestTwoWriters (I5): two backups into one collection, whose calls to the bucket
// come in any order: of one store or of two copies of it; that extend the same layer,
// found the collection, or want the same name. Each commits or is told why not; what
// was committed restores to its own moment, also while the other goes on; all readers
// agree on which is the latest; and it can be extended.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	seeds := uint64(120)
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { writeTogether(t, rand.New(rand.NewPCG(seed, 3))) })
		})
	}
}

func writeTogether(t *testing.T, rng *rand.Rand) {
	r := &rivals{T: t, turnstile: &turnstile{rng: rng}, bucket: faultblob.New(t, nil)}
	r.stores = []*witness{newWitness(t, 40), nil}
	if r.stores[1] = r.stores[0]; rng.IntN(2) == 0 {
		r.stores[1] = newWitness(t, 40) // as a copy of its files would be
	}
	founded := rng.IntN(4) > 0
	if founded {
		r.add(r.backup(0, &varve.BackupOptions{}))
	}
	r.bucket.Park(r.park)
	errs := make([]error, 2)
	for i := range errs {
		opts := r.options(founded)
		r.start(func() { errs[i] = r.add(r.backup(i, opts)) })
	}
	if founded {
		r.start(func() { r.restore(varve.Latest) })
	}
	r.drive(r.write)
	r.bucket.Park(nil)
	r.requireReasons(errs)
	r.requireWhole()
	for i := range r.stores {
		r.write()
		require.NoError(t, r.add(r.backup(i, &varve.BackupOptions{Into: varve.Latest})))
		kept, err := r.stores[i].Snapshots(t.Context())
		require.NoError(t, err)
		require.Len(t, kept, 1, "bases of the same targets")
	}
	r.requireWhole()
}

// options are of an incremental, or of a full, which may want a certain name.
func (r *rivals) options(founded bool) *varve.BackupOptions {
	opts := &varve.BackupOptions{Audit: r.rng.IntN(4) == 0, NoBase: r.rng.IntN(8) == 0}
	switch how := r.rng.IntN(4); {
	case how > 0 && founded:
		opts.Into = varve.Latest
	case how == 0:
		opts.Name = "monday"
	}
	return opts
}

func (r *rivals) collection() *varve.Collection {
	return collectionIn(r, r.bucket, &varve.CollectionOptions{Encryption: r.keys})
}

func (r *rivals) backup(store int, opts *varve.BackupOptions) (*varve.Layer, error) {
	opts.Concurrency = 1
	return r.collection().Backup(r.Context(), varve.Cluster(r.stores[store]), opts)
}

func (r *rivals) add(layer *varve.Layer, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.layers = append(r.layers, layer)
	}
	return err
}

// write changes a store now and then.
func (r *rivals) write() {
	s := r.stores[r.rng.IntN(2)]
	key := fmt.Appendf(nil, "key-%02d", r.rng.IntN(60))
	switch r.rng.IntN(12) {
	case 0, 1:
		s.Set(key, fmt.Append(nil, r.rng.Uint32()))
	case 2:
		s.Delete(key)
	case 3:
		s.DeleteRange(key, append(key, 'x'))
		s.RangeKeySet(key, append(key, 'x'), []byte("@1"), []byte("range"))
	}
}

// requireReasons accepts that one of two is refused, because of the name.
func (r *rivals) requireReasons(errs []error) {
	r.Helper()
	if errs[0] != nil && errs[1] != nil {
		r.Fatalf("neither was committed: %v", errors.Join(errs...))
	}
	for _, err := range errs {
		var option *varve.OptionError
		switch {
		case err == nil:
		case errors.Is(err, varve.ErrConflict):
		case errors.As(err, &option):
			require.Equal(r, "Name", option.Field)
		default:
			require.NoError(r, err)
		}
	}
}

// requireWhole wants every layer listed and restored to the state that its store had.
func (r *rivals) requireWhole() {
	r.Helper()
	var ids, listed []string
	for _, l := range r.layers {
		ids = append(ids, l.ID)
		require.Equal(r, l.ID, r.restore(l.ID))
	}
	for l, err := range r.collection().Layers(r.Context()) {
		require.NoError(r, err)
		listed = append(listed, l.ID)
	}
	require.ElementsMatch(r, ids, listed)
	for range 2 {
		require.Equal(r, r.latest().ID, r.restore(varve.Latest))
	}
}

// latest is what Latest must mean: of the latest full, the end of the longest chain.
func (r *rivals) latest() *varve.Layer {
	byID := map[string]*varve.Layer{}
	for _, l := range r.layers {
		byID[l.ID] = l
	}
	depth := func(l *varve.Layer) (n int) {
		for ; l != nil; l = byID[l.ParentID] {
			n++
		}
		return n
	}
	return slices.MaxFunc(r.layers, func(a, b *varve.Layer) int {
		full, other := byID[a.ChainID], byID[b.ChainID]
		return cmp.Or(full.End.Compare(other.End), strings.Compare(other.ID, full.ID), depth(a)-depth(b), a.End.Compare(b.End), strings.Compare(b.ID, a.ID))
	})
}

// restore gives back which layer it was.
func (r *rivals) restore(from string) string {
	dst := newStore(r, &memkv.Options{SingleRevision: true})
	restored, err := r.collection().Restore(r.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: from, Concurrency: 1})
	if err != nil {
		r.Errorf("restore %s: %v", from, err)
		return ""
	}
	id := restored.From.ID
	want, known := r.stores[0].state(id)
	if !known {
		want, _ = r.stores[1].state(id)
	}
	require.Equal(r, want, stateOf(dst))
	return id
}
