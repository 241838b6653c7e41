package varve_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/faultblob"
)

// trigger ends a context at the n-th call of pull, and counts them.
type trigger struct {
	n      int
	pulled atomic.Int64
	cancel context.CancelCauseFunc
}

func newTrigger(parent context.Context, n int) (context.Context, *trigger) {
	ctx, cancel := context.WithCancelCause(parent)
	return ctx, &trigger{n: n, cancel: cancel}
}

func (p *trigger) pull() {
	if p.pulled.Add(1) == int64(p.n) {
		p.cancel(errWhim)
	}
}

// errWhim is why contexts are cancelled here. Errors must wrap context.Canceled all
// the same.
var errWhim = errors.New("a whim")

// cancellable is a verb over a scene, whose store it watches.
type cancellable struct {
	name string
	run  func(ctx context.Context, s *scene, src *watched) error
}

func cancellables() []cancellable {
	return []cancellable{
		{"backup", func(ctx context.Context, s *scene, src *watched) error {
			layer, err := s.collection().Backup(ctx, varve.Cluster(src), &varve.BackupOptions{Concurrency: 1, TargetFileBytes: 2 << 10, Audit: true})
			if err == nil {
				s.states[layer.ID] = stateOf(src.Store)
			}
			return err
		}},
		{"restore", func(ctx context.Context, s *scene, src *watched) error {
			dst := &watched{Store: newStore(s, &memkv.Options{SingleRevision: true}), call: src.call}
			_, err := s.collection().Restore(ctx, varve.Cluster(dst), &varve.RestoreOptions{Concurrency: 1})
			if err != nil {
				require.Empty(s, stateOf(dst.Store))
				dst.call = nil
				require.NoError(s, s.restore(dst.Store, s.listedOnce()), "the same destination again")
			}
			return err
		}},
		{"rehearse", func(ctx context.Context, s *scene, src *watched) error {
			scratch := &watched{Store: newStore(s, &memkv.Options{SingleRevision: true}), call: src.call}
			report, err := s.collection().Verify(ctx, "", &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: scratch, Concurrency: 1})
			if report != nil {
				require.Empty(s, report.Problems, "that the caller has left is no problem of the layer")
			}
			return err
		}},
	}
}

// TestCancelAtEachBucketOperation: nothing is visible, nothing is kept, and calling
// again works.
func TestCancelAtEachBucketOperation(t *testing.T) {
	t.Parallel()
	before := newScene(t, varve.BackupOptions{Name: "first"})
	require.NoError(t, before.backup())
	for _, verb := range cancellables() {
		ops := before.trace(t, func(s *scene) error {
			return verb.run(s.Context(), s, &watched{Store: s.store})
		})
		for i, op := range ops {
			bubble(t, fmt.Sprintf("%s/%d %s %s", verb.name, i+1, op.Kind, role(op.Key)), func(t *testing.T) {
				s := before.twin(t)
				src := &watched{Store: s.store}
				ctx, p := newTrigger(t.Context(), i+1)
				s.bucket.Park(func(context.Context, faultblob.Op) { p.pull() })
				requireCancelled(t, verb.run(ctx, s, src), s, src)
				s.bucket.Park(nil)
				require.NoError(t, verb.run(t.Context(), s, src))
				s.requireWhole()
			})
		}
	}
}

func requireCancelled(t *testing.T, err error, s *scene, src *watched) {
	t.Helper()
	require.ErrorIs(t, err, context.Canceled)
	kept, listErr := src.Store.Snapshots(t.Context())
	require.NoError(t, listErr)
	require.Empty(t, kept)
	require.Len(t, s.listed(), len(s.states))
}

// TestCancelAtStoreOperations cancels before some of the calls of the store; all
// the kinds of them are met.
func TestCancelAtStoreOperations(t *testing.T) {
	t.Parallel()
	before := newScene(t, varve.BackupOptions{Name: "first"})
	require.NoError(t, before.backup())
	for _, verb := range cancellables() {
		var calls []string
		counted := before.twin(t)
		src := &watched{Store: counted.store, call: func(op string) { calls = append(calls, op) }}
		require.NoError(t, verb.run(t.Context(), counted, src))
		for _, n := range someCalls(calls) {
			bubble(t, fmt.Sprintf("%s/%d %s", verb.name, n, calls[n-1]), func(t *testing.T) {
				s := before.twin(t)
				ctx, p := newTrigger(t.Context(), n)
				src := &watched{Store: s.store, call: func(string) { p.pull() }}
				err := verb.run(ctx, s, src)
				src.call = nil
				if err != nil || !harmless(verb.name, calls[n-1:]) {
					requireCancelled(t, err, s, src)
				}
				require.NoError(t, verb.run(t.Context(), s, src))
				s.requireWhole()
			})
		}
	}
}

// someCalls are the first and the last call of each kind, and one in between.
func someCalls(calls []string) []int {
	rng := rand.New(rand.NewPCG(1, 1))
	places := map[string][]int{}
	for i, op := range calls {
		places[op] = append(places[op], i+1)
	}
	var out []int
	for _, at := range places {
		out = append(out, at[0], at[rng.IntN(len(at))], at[len(at)-1])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// harmless reports whether the work is done before these calls: all that is left is
// to give back.
func harmless(verb string, calls []string) bool {
	return verb != "restore" && !slices.ContainsFunc(calls, func(op string) bool {
		return op != "close snapshot" && op != "release"
	})
}

// TestCancelOfPebble: folders of snapshots and loads are gone, and so are goroutines,
// which it counts: no other test may run meanwhile.
func TestCancelOfPebble(t *testing.T) {
	fs := vfs.NewMem()
	db, src := openPebble(t, &pebble.Options{FS: fs})
	for i := range 500 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "key-%04d", i), fmt.Appendf(nil, "value-%d", i), pebble.NoSync))
	}
	bucket := faultblob.New(t, nil)
	c := collectionIn(t, bucket, nil)
	beside := t.TempDir()
	backup := func(ctx context.Context) error {
		_, err := c.Backup(ctx, varve.Cluster(src), &varve.BackupOptions{TargetFileBytes: 2 << 10})
		return err
	}
	restore := func(ctx context.Context) error {
		dir := filepath.Join(beside, "db")
		_, err := c.Restore(ctx, varve.Cluster(pebblekv.Dir(dir, nil)), &varve.RestoreOptions{Prove: true})
		return errors.Join(err, os.RemoveAll(dir))
	}
	for _, verb := range []func(context.Context) error{backup, restore} {
		goroutines := runtime.NumGoroutine()
		for n := 1; ; n++ {
			ctx, p := newTrigger(t.Context(), n)
			bucket.Park(func(context.Context, faultblob.Op) { p.pull() })
			err := verb(ctx)
			p.cancel(nil)
			if err == nil {
				require.Greater(t, n, 10)
				break
			}
			require.ErrorIs(t, err, context.Canceled)
			kept, listErr := fs.List("db/varve-snapshots")
			require.True(t, listErr == nil || os.IsNotExist(listErr), listErr)
			require.Empty(t, kept)
			left, readErr := os.ReadDir(beside)
			require.NoError(t, readErr)
			require.Empty(t, left)
		}
		requireGoroutines(t, goroutines)
	}
}

// requireGoroutines waits until there are no more of them than before.
func requireGoroutines(t *testing.T, before int) {
	t.Helper()
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	t.Fatalf("%d goroutines, before %d:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
}

// TestCommitWhoseAnswerIsNotAwaited: the reply of the last write is lost, and the
// caller leaves while it is being found out what became of it. That is the one
// failure after which there is a layer; it is whole.
func TestCommitWhoseAnswerIsNotAwaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, varve.BackupOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
			switch {
			case role(op.Key) != "BACKUP_MANIFEST":
				return faultblob.Fault{}
			case op.Kind == faultblob.Put:
				return faultblob.Fault{Kind: faultblob.Applied}
			}
			cancel()
			return faultblob.Fault{Kind: faultblob.Delayed}
		})
		_, err := s.collection().Backup(ctx, varve.Cluster(s.store), &s.opts)
		require.ErrorIs(t, err, context.Canceled)
		s.bucket.Inject(nil)
		for _, id := range s.listed() {
			s.states[id] = stateOf(s.store)
		}
		require.Len(t, s.states, 1)
		s.requireWhole()
		require.NoError(t, s.backup())
		s.requireWhole()
	})
}
