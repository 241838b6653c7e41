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

// cancellable is a verb over a scene, whose store is watched.
type cancellable struct {
	name  string
	begin setting
	run   func(ctx context.Context, s *scene) error
}

func cancellables() []cancellable {
	all := []cancellable{
		{"restore", backedUp, func(ctx context.Context, s *scene) error {
			dst := &watched{Store: s.newStore(), call: s.call}
			_, err := s.collection().Restore(ctx, varve.Cluster(dst), &varve.RestoreOptions{Concurrency: 1})
			if err != nil {
				require.Empty(s, stateOf(dst.Store))
				dst.call = nil
				require.NoError(s, s.restore(dst.Store, s.listedOnce()), "the same destination again")
			}
			return err
		}},
		{"rehearse", backedUp, func(ctx context.Context, s *scene) error {
			scratch := &watched{Store: s.newStore(), call: s.call}
			report, err := s.collection().Verify(ctx, "", &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: scratch, Concurrency: 1})
			if report != nil {
				require.Empty(s, report.Problems, "that the caller has left is no problem of the layer")
			}
			return err
		}},
	}
	for name, begin := range commitSettings() {
		all = append(all, cancellable{name, begin, func(ctx context.Context, s *scene) error {
			s.opts.Audit = true
			return s.attempt(ctx)
		}})
	}
	return all
}

// TestCancelAtEachBucketOperation: nothing is visible, nothing more is kept than
// before, and calling again works. Once the manifest is there, it is too late.
func TestCancelAtEachBucketOperation(t *testing.T) {
	t.Parallel()
	for _, verb := range cancellables() {
		done := false
		for i, op := range verb.begin.trace(t, func(s *scene) error { return verb.run(s.Context(), s) }) {
			committed := done || lastRecord(op.Key)
			bubble(t, fmt.Sprintf("%s/%d %s %s", verb.name, i+1, op.Kind, role(op.Key)), func(t *testing.T) {
				s := verb.begin.at(t)
				before := s.kept()
				ctx, p := newTrigger(t.Context(), i+1)
				s.bucket.Park(func(context.Context, faultblob.Op) { p.pull() })
				err := verb.run(ctx, s)
				s.bucket.Park(nil)
				if committed {
					require.NoError(t, err)
					s.requireOneBase()
				} else {
					s.requireCancelled(err, before)
				}
				require.NoError(t, verb.run(t.Context(), s))
				s.requireWhole()
			})
			done = done || op.Kind == faultblob.Put && role(op.Key) == "BACKUP_MANIFEST"
		}
	}
}

func (s *scene) requireCancelled(err error, kept []string) {
	s.Helper()
	require.ErrorIs(s, err, context.Canceled)
	require.Equal(s, kept, s.kept())
	require.Len(s, s.listed(), len(s.states))
}

// TestCancelAtStoreOperations cancels before some of the calls of the store; all
// the kinds of them are met.
func TestCancelAtStoreOperations(t *testing.T) {
	t.Parallel()
	for _, verb := range cancellables() {
		var calls []string
		counted := verb.begin(t)
		counted.call = func(op string) { calls = append(calls, op) }
		require.NoError(t, verb.run(t.Context(), counted))
		for _, n := range someCalls(calls) {
			bubble(t, fmt.Sprintf("%s/%d %s", verb.name, n, calls[n-1]), func(t *testing.T) {
				s := verb.begin(t)
				before := s.kept()
				ctx, p := newTrigger(t.Context(), n)
				s.call = func(string) { p.pull() }
				err := verb.run(ctx, s)
				s.call = nil
				if err != nil || !harmless(verb.name, calls, n) {
					s.requireCancelled(err, before)
				}
				require.NoError(t, verb.run(t.Context(), s))
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

// harmless reports whether the work is done before call n: all that is left is to
// give back.
func harmless(verb string, calls []string, n int) bool {
	closing := []string{"close cursor", "close snapshot", "snapshots", "release"}
	return verb != "restore" && !slices.Contains(calls[n:], "close snapshot") ||
		verb == "rehearse" && !slices.ContainsFunc(calls[n-1:], func(op string) bool { return !slices.Contains(closing, op) })
}

// TestCancelOfPebble: folders of snapshots and loads are gone, and so are goroutines,
// which it counts: no other test may run meanwhile.
func TestCancelOfPebble(t *testing.T) {
	fs := vfs.NewMem()
	db, src := openPebble(t, &pebble.Options{FS: fs})
	for i := range 500 {
		require.NoError(t, db.Set(fmt.Appendf(nil, "key-%04d", i), fmt.Appendf(nil, "value-%d", i), pebble.NoSync))
	}
	bucket, beside := faultblob.New(t, nil), t.TempDir()
	backup := func(opts varve.BackupOptions) func(context.Context) error {
		opts.TargetFileBytes = 2 << 10
		return func(ctx context.Context) error {
			_, err := collectionIn(t, bucket, nil).Backup(ctx, varve.Cluster(src), &opts)
			return err
		}
	}
	restore := func(ctx context.Context) error {
		dir := filepath.Join(beside, "db")
		_, err := collectionIn(t, bucket, nil).Restore(ctx, varve.Cluster(pebblekv.Dir(dir, nil)), &varve.RestoreOptions{Prove: true})
		return errors.Join(err, os.RemoveAll(dir))
	}
	into := varve.BackupOptions{Into: varve.Latest, Audit: true}
	for i, verb := range []func(context.Context) error{
		backup(varve.BackupOptions{}), restore, backup(into), backup(varve.BackupOptions{Into: varve.Latest, NoBase: true}), backup(into), restore,
	} {
		for n := range 50 {
			require.NoError(t, db.Set(fmt.Appendf(nil, "key-%04d", n*i), fmt.Appendf(nil, "verb %d", i), pebble.NoSync))
		}
		before, clean := snapshotFolders(t, fs), bucket
		goroutines := runtime.NumGoroutine()
		for n := 1; ; n++ {
			bucket = clean.Clone() // each run that fails is one more entry to look at
			ctx, p := newTrigger(t.Context(), n)
			bucket.Park(func(context.Context, faultblob.Op) { p.pull() })
			err := verb(ctx)
			p.cancel(nil)
			if err == nil {
				require.Greater(t, n, 10)
				break
			}
			require.ErrorIs(t, err, context.Canceled)
			require.ElementsMatch(t, before, snapshotFolders(t, fs))
			left, readErr := os.ReadDir(beside)
			require.NoError(t, readErr)
			require.Empty(t, left)
		}
		requireGoroutines(t, goroutines)
	}
	require.Len(t, snapshotFolders(t, fs), 1, "the base of the newest layer")
}

// snapshotFolders are what lies in the folder of snapshots, staging areas too.
func snapshotFolders(t *testing.T, fs vfs.FS) []string {
	t.Helper()
	kept, err := fs.List("db/varve-snapshots")
	require.True(t, err == nil || os.IsNotExist(err), err)
	return kept
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
			s.states[id] = sceneState{entries: stateOf(s.store)}
		}
		require.Len(t, s.states, 1)
		s.requireWhole()
		require.NoError(t, s.backup())
		s.requireWhole()
	})
}
