package mvcckv_test

import (
	"context"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/mvcckv"
)

func TestPriority(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		holder, pusher mvcckv.Priority
		pushed         bool
	}{
		{"higher", 0, 1, true},
		{"equal", 1, 1, false},
		{"lower", 1, 0, false},
	} {
		for _, reads := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				s := newStore(t, nil)
				holder := begin(t, s, &mvcckv.TxOptions{Name: "holder", Priority: c.holder})
				put(t, holder, "a", "holder")
				pusher := begin(t, s, &mvcckv.TxOptions{Name: "pusher", Priority: c.pusher})
				var err error
				if reads {
					require.Empty(t, scanned(t, pusher, export.Span{Start: []byte("b")}), "beside the lock")
					var c export.Cursor
					if c, err = pusher.Scan(t.Context(), export.Span{}); err == nil {
						require.NoError(t, c.Close())
					}
				} else {
					err = pusher.Put(t.Context(), []byte("a"), []byte("pusher"))
				}
				if !c.pushed {
					require.Equal(t, "holder", retries(t, err, mvcckv.Locked).Holder)
					require.NoError(t, pusher.Rollback())
					commit(t, holder)
					require.Equal(t, []string{"set a=holder"}, holds(t, s))
					return
				}
				require.NoError(t, err)
				_, err = holder.Commit(t.Context())
				require.Equal(t, "pusher", retries(t, err, mvcckv.Pushed).Holder)
				retries(t, holder.Put(t.Context(), []byte("b"), nil), mvcckv.Pushed)
				commit(t, pusher)
				if !reads {
					require.Equal(t, []string{"set a=pusher"}, holds(t, s))
				}
			})
		}
	}
}

// TestReaderBelowLock reads what was there before a lock, and meets one that was there
// first.
func TestReaderBelowLock(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	set(t, s, "a", "1")
	early := begin(t, s, nil)
	holder := begin(t, s, nil)
	put(t, holder, "a", "2")
	require.Equal(t, "1", get(t, early, "a"))
	late := begin(t, s, nil)
	_, err := late.Get(t.Context(), []byte("a"))
	retries(t, err, mvcckv.Locked)
	commit(t, holder)
	require.Equal(t, "1", get(t, early, "a"))
	require.Equal(t, "2", get(t, late, "a"), "the lock is gone")
}

// TestDeadHolder: a lock outlives its process, is seen, and gives way to anybody.
func TestDeadHolder(t *testing.T) {
	t.Parallel()
	for name, inTheWay := range map[string]func(t *testing.T, s *mvcckv.Store){
		"reader": func(t *testing.T, s *mvcckv.Store) {
			require.Equal(t, "1", get(t, begin(t, s, &mvcckv.TxOptions{Priority: -1}), "a"))
		},
		"writer": func(t *testing.T, s *mvcckv.Store) {
			tx := begin(t, s, &mvcckv.TxOptions{Priority: -1})
			put(t, tx, "a", "1")
			commit(t, tx)
		},
		"collection": func(t *testing.T, s *mvcckv.Store) {
			now := snapshot(t, s, export.SnapshotOptions{})
			require.NoError(t, now.Close())
			oldest, err := s.Collect(t.Context(), now.Timestamp())
			require.NoError(t, err)
			require.Equal(t, now.Timestamp(), oldest)
		},
		"export": func(t *testing.T, s *mvcckv.Store) {
			snap := snapshot(t, s, export.SnapshotOptions{})
			defer snap.Close()
			require.Equal(t, []string{"set a=1"}, exported(t, snap, export.Request{Locks: export.PushLocks}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := options(vfs.NewMem())
			s := newStore(t, opts)
			set(t, s, "a", "1")
			holder := begin(t, s, &mvcckv.TxOptions{Name: "the late", Priority: 9})
			put(t, holder, "a", "2")
			put(t, holder, "b", "2")
			for range 2 {
				s = reopen(t, s, opts)
				snap := snapshot(t, s, export.SnapshotOptions{})
				_, err := kvtest.Collect(t.Context(), snap, export.Request{})
				var locked *export.LockedError
				require.ErrorAs(t, err, &locked)
				require.Equal(t, "the late", locked.Holder)
				require.Equal(t, "a", string(locked.Key))
				require.NoError(t, snap.Close())
			}
			inTheWay(t, s)
			require.Equal(t, []string{"set a=1"}, holds(t, s), "all of its locks are gone")
			s = reopen(t, s, opts)
			require.Equal(t, []string{"set a=1"}, holds(t, s))
		})
	}
}

// TestExportPushes: at the cost of a holder of any priority.
func TestExportPushes(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	set(t, s, "a", "1")
	holder := begin(t, s, &mvcckv.TxOptions{Priority: 9})
	put(t, holder, "a", "2")
	put(t, holder, "z", "2")
	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	later := begin(t, s, nil)
	put(t, later, "c", "above the snapshot")
	require.Equal(t, []string{"set a=1"}, exported(t, snap, export.Request{
		Span: export.Span{End: []byte("b")}, Locks: export.PushLocks,
	}))
	_, err := holder.Commit(t.Context())
	retries(t, err, mvcckv.Pushed)
	require.Equal(t, []string{"set a=1"}, exported(t, snap, export.Request{}))
	commit(t, later)
	require.Equal(t, []string{"set a=1"}, exported(t, snap, export.Request{}))
}

// TestResumeBeyondLock: an export does not meet again what lies before its position.
func TestResumeBeyondLock(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	for _, key := range []string{"a", "c", "d"} {
		set(t, s, key, "1")
	}
	put(t, begin(t, s, nil), "b", "2")
	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	for _, resume := range []string{"b", "c"} {
		got := exported(t, snap, export.Request{Resume: &export.Position{Key: []byte(resume)}})
		require.Equal(t, "set d=1", got[len(got)-1])
	}
	_, err := kvtest.Collect(t.Context(), snap, export.Request{Resume: &export.Position{Key: []byte("a")}})
	var locked *export.LockedError
	require.ErrorAs(t, err, &locked)
}

// syncGate holds up syncs of the write-ahead log while it is shut.
type syncGate struct {
	mu   sync.Mutex
	shut chan struct{}
	met  chan struct{}
}

func (g *syncGate) inject(op errorfs.Op) error {
	if op.Kind != errorfs.OpFileSync && op.Kind != errorfs.OpFileSyncData && op.Kind != errorfs.OpFileSyncTo {
		return nil
	}
	g.mu.Lock()
	shut, met := g.shut, g.met
	g.mu.Unlock()
	if shut != nil {
		select {
		case met <- struct{}{}:
		default:
		}
		<-shut
	}
	return nil
}

// close shuts the gate. The result opens it.
func (g *syncGate) close() (open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	shut := make(chan struct{})
	g.shut, g.met = shut, make(chan struct{}, 1)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.shut = nil
		close(shut)
	}
}

// impatient is a context that ends when somebody waits for it to end.
func impatient(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	return waited{ctx, cancel}
}

type waited struct {
	context.Context
	cancel func()
}

func (w waited) Done() <-chan struct{} {
	w.cancel()
	return w.Context.Done()
}

// TestDecided: from the moment that a commit is decided nobody can push it, and until
// it is durable nobody sees it.
func TestDecided(t *testing.T) {
	t.Parallel()
	gate := &syncGate{}
	s := newStore(t, options(errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(gate.inject))))
	set(t, s, "a", "1")
	holder := begin(t, s, nil)
	put(t, holder, "a", "2")
	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	reader := begin(t, s, &mvcckv.TxOptions{Priority: 5})

	open := gate.close()
	done := make(chan error, 1)
	go func() {
		_, err := holder.Commit(t.Context())
		done <- err
	}()
	<-gate.met
	_, err := reader.Get(impatient(t), []byte("a"))
	require.ErrorIs(t, err, context.Canceled, "it waits")
	_, err = kvtest.Collect(t.Context(), snap, export.Request{})
	var locked *export.LockedError
	require.ErrorAs(t, err, &locked)
	_, err = kvtest.Collect(impatient(t), snap, export.Request{Locks: export.PushLocks})
	require.ErrorIs(t, err, context.Canceled, "it waits")
	select {
	case <-done:
		t.Error("the commit did not wait")
	default:
	}
	open()
	require.NoError(t, <-done)
	require.Equal(t, []string{"set a=2"}, exported(t, snap, export.Request{Locks: export.PushLocks}))
	require.Equal(t, "2", get(t, reader, "a"))
}
