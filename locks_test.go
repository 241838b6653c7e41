package varve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// lockable is a store with keys in several pieces and a collection, in real time or in
// that of a bubble.
type lockable struct {
	*testing.T
	store *memkv.Store
	c     *varve.Collection
	opts  varve.BackupOptions
	begun time.Time

	mu    sync.Mutex
	met   []time.Duration // since begun
	locks []varve.LockedInfo
	files []varve.FileInfo
}

func newLockable(t *testing.T) *lockable {
	l := &lockable{T: t, begun: time.Now()}
	l.store = newStore(t, &memkv.Options{Locks: true, PartitionBytes: 512})
	fill(l.store, 100, 3)
	l.c = collectionIn(t, faultblob.New(t, nil), nil)
	l.opts = varve.BackupOptions{Concurrency: 1, TargetFileBytes: 256, Events: &varve.Events{
		Locked: func(i varve.LockedInfo) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.met, l.locks = append(l.met, time.Since(l.begun)), append(l.locks, i)
		},
		File: func(f varve.FileInfo) { l.files = append(l.files, f) },
	}}
	return l
}

func lockedKey(n int) []byte { return fmt.Appendf(nil, "key-%06d", n) }

// backup must end with what the store held at the end of the layer.
func (l *lockable) backup(store export.Store) *varve.Layer {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), time.Hour) // in a bubble that is soon
	defer cancel()
	layer, err := l.c.Backup(ctx, varve.Cluster(store), &l.opts)
	require.NoError(l, err)
	if !l.opts.NoDigest {
		_, err = l.c.Verify(l.Context(), layer.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
		require.NoError(l, err)
	}
	dst := newStore(l, nil)
	_, err = l.c.Restore(l.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: layer.ID})
	require.NoError(l, err)
	require.Equal(l, kvtest.Canonical(nil, kvtest.Timeless(l.store.StateAt(layer.End, varve.Span{}))), stateOf(dst))
	return layer
}

// lockModes are the ways in which a layer comes about.
func lockModes() map[string]func(l *lockable) {
	incremental := func(opts varve.BackupOptions, between func(l *lockable)) func(l *lockable) {
		return func(l *lockable) {
			_, err := l.c.Backup(l.Context(), varve.Cluster(l.store), &varve.BackupOptions{NoBase: opts.NoBase})
			require.NoError(l, err)
			for i := range 100 {
				l.store.Set(lockedKey(i), []byte("changed"))
				l.store.Set(lockedKey(i), []byte("changed again"))
			}
			if between != nil {
				between(l)
			}
			l.opts.Into, l.opts.RevisionHistory = varve.Latest, opts.RevisionHistory
		}
	}
	return map[string]func(l *lockable){
		"full":                func(*lockable) {},
		"history":             func(l *lockable) { l.opts.RevisionHistory = true },
		"incremental":         incremental(varve.BackupOptions{}, nil),
		"incremental history": incremental(varve.BackupOptions{RevisionHistory: true}, nil),
		"comparison":          incremental(varve.BackupOptions{NoBase: true}, func(l *lockable) { l.store.Collect(export.At(time.Now())) }),
		"no digest":           func(l *lockable) { l.opts.NoDigest = true },
		"audit":               func(l *lockable) { l.opts.Audit = true },
	}
}

// TestLockGoesToTheTail: what is behind it is retried until it is gone, while the rest is
// exported at once.
func TestLockGoesToTheTail(t *testing.T) {
	t.Parallel()
	for name, begin := range lockModes() {
		bubble(t, name, func(t *testing.T) {
			l := newLockable(t)
			begin(l)
			l.store.Lock(lockedKey(31), "transfer")
			l.begun = time.Now()
			go func() {
				time.Sleep(12 * time.Second)
				l.store.Unlock(lockedKey(31))
			}()
			l.backup(l.store)
			require.Equal(t, []time.Duration{0, 5 * time.Second, 10 * time.Second}, l.met)
			require.Equal(t, 15*time.Second, time.Since(l.begun))
			for _, i := range l.locks {
				require.Equal(t, "transfer", i.Holder)
				require.Equal(t, lockedKey(31), i.Key)
				require.False(t, i.Pushes)
			}
			if l.opts.Into == "" {
				require.Equal(t, lockedKey(31), l.locks[0].Span.Start, "what came before the lock is exported once")
				require.Less(t, bytes.Compare(l.files[len(l.files)-1].Span.Start, lockedKey(60)), 0, "the rest did not wait")
			}
		})
	}
}

// TestLockIsPushed: a minute after the moment that is backed up its holder must give way.
func TestLockIsPushed(t *testing.T) {
	t.Parallel()
	for name, begin := range lockModes() {
		bubble(t, name, func(t *testing.T) {
			l := newLockable(t)
			begin(l)
			l.store.Lock(lockedKey(31), "dead")
			l.store.Lock(lockedKey(70), "dead, too")
			l.begun = time.Now()
			l.backup(l.store)
			require.Equal(t, time.Minute, time.Since(l.begun))
			require.Len(t, l.met, 24)
			for i, info := range l.locks {
				require.Equal(t, l.met[i] == 55*time.Second, info.Pushes, "at %s", l.met[i])
				require.Equal(t, l.met[i], info.Age)
			}
		})
	}
}

// TestLockOfThePast: the minute counts from the moment that is backed up.
func TestLockOfThePast(t *testing.T) {
	t.Parallel()
	bubble(t, "lag", func(t *testing.T) {
		l := newLockable(t)
		l.store.Lock(lockedKey(31), "dead")
		time.Sleep(time.Hour)
		l.opts.Lag = 57 * time.Second
		l.begun = time.Now()
		l.backup(l.store)
		require.Equal(t, 5*time.Second, time.Since(l.begun))
		l.store.Lock(lockedKey(31), "dead")
		time.Sleep(time.Hour)
		l.opts.Lag, l.begun, l.met = 2*time.Minute, time.Now(), nil
		l.backup(l.store)
		require.Zero(t, time.Since(l.begun))
		require.Empty(t, l.met)
	})
}

func TestLockOptions(t *testing.T) {
	t.Parallel()
	bubble(t, "times", func(t *testing.T) {
		l := newLockable(t)
		l.store.Lock(lockedKey(31), "dead")
		l.opts.Locks = varve.LockOptions{PushAfter: 9 * time.Second, RetryDelay: 2 * time.Second}
		l.backup(l.store)
		require.Equal(t, []time.Duration{0, 2 * time.Second, 4 * time.Second, 6 * time.Second, 8 * time.Second}, l.met)
		require.Equal(t, 10*time.Second, time.Since(l.begun))
	})
	for field, opts := range map[string]varve.LockOptions{
		"Locks.PushAfter": {PushAfter: -1}, "Locks.RetryDelay": {RetryDelay: -1}, "Locks.AttemptTimeout": {AttemptTimeout: -1},
	} {
		l := newLockable(t)
		var option *varve.OptionError
		_, err := l.c.Backup(t.Context(), varve.Cluster(l.store), &varve.BackupOptions{Locks: opts})
		require.ErrorAs(t, err, &option)
		require.Equal(t, field, option.Field)
	}
}

// stubborn is a store whose exports do not go on where its locks are, however asked.
type stubborn struct {
	*memkv.Store
	next func(ctx context.Context, key []byte, req export.Request) error
}

func (s *stubborn) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	snapshot, err := s.Store.Snapshot(ctx, opts)
	return &stubbornSnapshot{snapshot, s}, err
}

type stubbornSnapshot struct {
	export.Snapshot
	store *stubborn
}

func (s *stubbornSnapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	c, err := s.Snapshot.Export(ctx, req)
	return &stubbornCursor{Cursor: c, ctx: ctx, req: req, store: s.store}, err
}

type stubbornCursor struct {
	export.Cursor
	ctx   context.Context
	req   export.Request
	store *stubborn
	err   error
}

func (c *stubbornCursor) Next() bool {
	if c.err != nil || !c.Cursor.Next() {
		return false
	}
	c.err = c.store.next(c.ctx, c.Entry().Key, c.req)
	return c.err == nil
}

func (c *stubbornCursor) Err() error { return errors.Join(c.err, c.Cursor.Err()) }

// TestLockThatStays: the backup does not wait for ever for a store that cannot resolve a
// lock, and does not skip it.
func TestLockThatStays(t *testing.T) {
	t.Parallel()
	bubble(t, "locked", func(t *testing.T) {
		l := newLockable(t)
		s := &stubborn{Store: l.store, next: func(_ context.Context, key []byte, _ export.Request) error {
			if bytes.Equal(key, lockedKey(31)) {
				return &export.LockedError{Key: key, Holder: "root"}
			}
			return nil
		}}
		_, err := l.c.Backup(t.Context(), varve.Cluster(s), &l.opts)
		var locked *varve.LockedError
		require.ErrorAs(t, err, &locked)
		require.Equal(t, "root", locked.Holder)
		require.Equal(t, 6*time.Minute, time.Since(l.begun))
		_, err = l.c.Layer(t.Context(), varve.Latest)
		require.ErrorIs(t, err, varve.ErrNoLayer)
	})
}

// TestAttemptTakesTooLong: a store that gives no answer ends the backup, one that is slow
// does not.
func TestAttemptTakesTooLong(t *testing.T) {
	t.Parallel()
	bubble(t, "hangs", func(t *testing.T) {
		l := newLockable(t)
		s := &stubborn{Store: l.store, next: func(ctx context.Context, key []byte, _ export.Request) error {
			if bytes.Equal(key, lockedKey(31)) {
				<-ctx.Done()
			}
			return ctx.Err()
		}}
		_, err := l.c.Backup(t.Context(), varve.Cluster(s), &l.opts)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "store gave no answer within 5m0s")
		require.Less(t, time.Since(l.begun), 11*time.Minute)
	})
	bubble(t, "slow", func(t *testing.T) {
		l := newLockable(t)
		l.opts.TargetFileBytes, l.opts.NoDigest = 1<<20, true
		s := &stubborn{Store: l.store, next: func(ctx context.Context, key []byte, _ export.Request) error {
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
			}
			return ctx.Err()
		}}
		_, err := l.c.Backup(t.Context(), varve.Cluster(s), &l.opts)
		require.NoError(t, err)
		require.Greater(t, time.Since(l.begun), time.Hour)
	})
}

// TestLockThatIsMetLate: what was exported before may only be left where it is known what
// that is. Else all of the task is exported again.
func TestLockThatIsMetLate(t *testing.T) {
	t.Parallel()
	bubble(t, "late", func(t *testing.T) {
		l := newLockable(t)
		l.opts.TargetFileBytes = 1 << 20
		times := 0
		s := &stubborn{Store: l.store, next: func(_ context.Context, key []byte, _ export.Request) error {
			if bytes.Equal(key, lockedKey(31)) && times < 2 {
				times++
				return &export.LockedError{Key: lockedKey(7), Holder: "somebody"}
			}
			return nil
		}}
		l.backup(s)
		require.Equal(t, []time.Duration{0, 5 * time.Second}, l.met)
		require.Empty(t, l.locks[0].Span.Start)
	})
}

// TestCancelWhileLocked: the wait ends with the context.
func TestCancelWhileLocked(t *testing.T) {
	t.Parallel()
	bubble(t, "cancel", func(t *testing.T) {
		l := newLockable(t)
		l.store.Lock(lockedKey(31), "dead")
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		_, err := l.c.Backup(ctx, varve.Cluster(l.store), &l.opts)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 7*time.Second, time.Since(l.begun))
		kept, err := l.store.Snapshots(t.Context())
		require.NoError(t, err)
		require.Empty(t, kept)
	})
}

// TestLocksOfWriters: while writers lock, write and let go, one of them only when it is in
// the way, and another never, each layer is the store as it was.
func TestLocksOfWriters(t *testing.T) {
	t.Parallel()
	l := newLockable(t)
	l.opts.Concurrency = 3
	l.opts.Locks = varve.LockOptions{PushAfter: 20 * time.Millisecond, RetryDelay: time.Millisecond}
	told := make(chan struct{}, 1)
	note := l.opts.Events.Locked
	l.opts.Events.Locked = func(i varve.LockedInfo) {
		note(i)
		if i.Holder == "patient" {
			select {
			case told <- struct{}{}:
			default:
			}
		}
	}
	for round := range 6 {
		l.store.Lock(lockedKey(20), "dead")
		l.store.Lock(lockedKey(40), "patient")
		var writers sync.WaitGroup
		over := make(chan struct{})
		writers.Go(func() {
			select {
			case <-told:
			case <-over: // the lock was pushed when it was met first
			}
			l.store.Set(lockedKey(40), fmt.Append(nil, round))
			l.store.Unlock(lockedKey(40))
		})
		for w := range 3 {
			rng := rand.New(rand.NewPCG(uint64(w), uint64(round)))
			writers.Go(func() {
				for n := range 100 {
					key := lockedKey(50 + rng.IntN(50))
					l.store.Lock(key, "quick")
					l.store.Set(key, fmt.Append(nil, n))
					l.store.Unlock(key)
				}
			})
		}
		l.opts.RevisionHistory = round%2 == 0
		l.backup(l.store)
		l.opts.Into = varve.Latest
		close(over)
		writers.Wait()
	}
}
