package varve_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/faultblob"
)

var errStumbled = errors.New("stumbled")

// stumbling is a destination that fails at one of the calls that restore to it, and counts
// what it takes entry by entry.
type stumbling struct {
	parish
	mu        sync.Mutex
	calls, at int64 // at 0: it never fails
	also      func()
	loads     int // loaders that were opened
	tables    int // and tables that were taken
}

func (s *stumbling) step(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls++; s.calls == s.at {
		s.also()
		return errStumbled
	}
	return ctx.Err()
}

// stumble sets the call that fails from now on, and what happens there as well.
func (s *stumbling) stumble(at int64, also func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.at, s.also = 0, at, also
}

func (s *stumbling) Place(ctx context.Context, wanted []export.Placement) ([]export.Object, error) {
	if err := s.step(ctx); err != nil {
		return nil, err
	}
	return s.parish.Place(ctx, wanted)
}

func (s *stumbling) Ingest(ctx context.Context, opts export.IngestOptions) (export.Ingester, error) {
	if err := s.step(ctx); err != nil {
		return nil, err
	}
	in, err := s.parish.Ingest(ctx, opts)
	if err != nil {
		return nil, err
	}
	wrapped := &stumblingIngester{Ingester: in, store: s}
	if tables, ok := in.(export.TableLoader); ok {
		return &stumblingLinker{stumblingIngester: wrapped, TableLoader: tables}, nil
	}
	return wrapped, nil
}

type stumblingIngester struct {
	export.Ingester
	store *stumbling
}

func (i *stumblingIngester) Load(ctx context.Context, span export.Span) (export.Loader, error) {
	i.store.mu.Lock()
	i.store.loads++
	i.store.mu.Unlock()
	if err := i.store.step(ctx); err != nil {
		return nil, err
	}
	l, err := i.Ingester.Load(ctx, span)
	return &stumblingLoader{l, ctx, i.store}, err
}

func (i *stumblingIngester) Publish(ctx context.Context, objects []export.Object) error {
	if err := i.store.step(ctx); err != nil {
		return err
	}
	return i.Ingester.(export.CatalogIngester).Publish(ctx, objects)
}

func (i *stumblingIngester) Commit(ctx context.Context) error {
	if err := i.store.step(ctx); err != nil {
		return err
	}
	return i.Ingester.Commit(ctx)
}

type stumblingLinker struct {
	*stumblingIngester
	export.TableLoader
}

func (l *stumblingLinker) LoadTable(ctx context.Context, t export.TableInfo) (export.TableWriter, error) {
	l.store.mu.Lock()
	l.store.tables++
	l.store.mu.Unlock()
	if err := l.store.step(ctx); err != nil {
		return nil, err
	}
	return l.TableLoader.LoadTable(ctx, t)
}

type stumblingLoader struct {
	export.Loader
	ctx   context.Context
	store *stumbling
}

func (l *stumblingLoader) Add(e *export.Entry) error {
	if err := l.store.step(l.ctx); err != nil {
		return err
	}
	return l.Loader.Add(e)
}

func (l *stumblingLoader) Finish() error {
	if err := l.store.step(l.ctx); err != nil {
		return err
	}
	return l.Loader.Finish()
}

// TestRestoreOfTablesThatFails, at whatever call to storage or to the destination it may be,
// or is cancelled there, leaves no object and no key, and what was to be replaced as it was.
func TestRestoreOfTablesThatFails(t *testing.T) {
	t.Parallel()
	for engine, newParish := range parishes() {
		for why, fails := range map[string]failing{
			"no storage": {storage: true}, "no destination": {},
			"cancelled at storage": {storage: true, cancels: true}, "cancelled at the destination": {cancels: true},
		} {
			for _, replace := range []bool{false, true} {
				t.Run(engine+"/"+why, func(t *testing.T) {
					t.Parallel()
					fails.everywhere(t, newParish, replace)
				})
			}
		}
	}
}

// failing is how a restore fails: at a call to storage or to the destination.
type failing struct{ storage, cancels bool }

// at makes the call of that number fail: of those to the destination one, of those to storage
// all from there on.
func (f failing) at(n int64, to *stumbling, bucket *faultblob.Bucket, cancel func()) {
	if !f.cancels {
		cancel = func() {}
	}
	if !f.storage {
		to.stumble(n, cancel)
		return
	}
	var calls atomic.Int64
	bucket.Inject(func(faultblob.Op) faultblob.Fault {
		if calls.Add(1) < n {
			return faultblob.Fault{}
		}
		cancel()
		return faultblob.Fault{Kind: faultblob.Denied}
	})
}

// everywhere restores a table until no call is left at which it fails.
func (f failing) everywhere(t *testing.T, newParish parishOf, replace bool) {
	p, bucket := newParish(t, "eu", townPaths()...), faultblob.New(t, nil)
	grow(t, p, "bank.accounts", "first", 0, 3)
	c := collectionIn(t, bucket, nil)
	_, err := c.Backup(t.Context(), varve.Tables(p, "bank.accounts"), nil)
	require.NoError(t, err)
	want := rows(t, p, export.Timestamp{}, "bank.accounts")
	grow(t, p, "bank.accounts", "spoiled", 1, 4)
	before := allOf(t, p)
	to := &stumbling{parish: p}
	opts, name := &varve.RestoreOptions{Replace: replace, Concurrency: 1}, "bank.accounts"
	if !replace {
		name = "bank.rescued"
		opts.Rename = []varve.Rename{{From: "bank.accounts", To: name}}
	}
	for n := int64(1); ; n++ {
		require.Less(t, n, int64(100), "it never gets through")
		ctx, cancel := context.WithCancel(t.Context())
		f.at(n, to, bucket, cancel)
		_, err := c.Restore(ctx, varve.Tables(to, "bank.accounts"), opts)
		cancel()
		to.stumble(0, nil)
		bucket.Inject(nil)
		if err == nil {
			require.Greater(t, n, int64(8))
			require.Equal(t, want, rows(t, p, export.Timestamp{}, name))
			return
		}
		require.Equal(t, before, allOf(t, p), "%v", err)
	}
}
