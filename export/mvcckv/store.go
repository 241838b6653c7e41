package mvcckv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

var (
	_ export.Store          = (*Store)(nil)
	_ export.SnapshotKeeper = (*Store)(nil)
)

// Store is a keyspace of versions with transactions, in a directory of its own. It
// implements [export.Store] and [export.SnapshotKeeper], and is safe for concurrent
// use.
type Store struct {
	opts Options
	dir  string
	db   *pebble.DB

	// running are calls that work on the database without mu, which Close waits for.
	running sync.WaitGroup

	// mu is held while a timestamp is given out and until what it stamps can be seen,
	// and while locks and iterators that must agree are taken. It is not held while a
	// commit waits for the disk, and not while anything is read but single keys.
	mu     sync.Mutex
	closed bool
	broken error // a commit whose outcome is not known: nothing goes on
	clock  clock
	meta   meta
	open   map[*Tx]bool
	locks  map[string]lock      // by key, those of dead transactions too
	reads  reads                // what open writers must stay above
	named  map[string]*kept     // named snapshots
	views  map[*snapshot]bool   // open snapshots
	loads  map[string]*ingester // open ingesters by name

	building int // commits of ingesters that write at a timestamp already given out
}

// Open opens the store in dir, or makes one where there is nothing. Locks of
// transactions that another process left open stay until somebody is in their way;
// those whose commit was decided are resolved. The caller closes the store.
func Open(dir string, opts *Options) (*Store, error) {
	full, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	db, err := pebble.Open(dir, full.Pebble.Clone())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	s := &Store{
		opts: full, dir: dir, db: db,
		open:  map[*Tx]bool{},
		locks: map[string]lock{},
		named: map[string]*kept{},
		views: map[*snapshot]bool{},
		loads: map[string]*ingester{},
	}
	s.clock = clock{wall: full.Now, raise: s.raiseBound}
	if err := errors.Join(s.loadMeta(), s.loadSnapshots(), s.recover(), s.passIDs()); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", dir, err), db.Close())
	}
	return s, nil
}

// raiseBound makes a bound of the clock durable. It needs mu.
func (s *Store) raiseBound(bound int64) error {
	m := s.meta
	m.Bound = bound
	return s.saveMeta(m)
}

// Close closes the store: calls on it, its transactions, snapshots and ingesters
// return export.ErrClosed from here on. Cursors must have been closed before. Open
// transactions are left as a crash leaves them. A second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
	var err error
	if s.broken == nil && s.meta.Bound > s.clock.last.WallNanos+1 {
		err = s.raiseBound(s.clock.last.WallNanos + 1) // so that restarts do not add up
	}
	if err := errors.Join(err, s.db.Close()); err != nil {
		return fmt.Errorf("close %s: %w", s.dir, err)
	}
	return nil
}

// usable is why no call can be served now. It needs mu.
func (s *Store) usable(ctx context.Context) error {
	switch {
	case s.closed:
		return export.ErrClosed
	case s.broken != nil:
		return s.broken
	}
	return ctx.Err()
}

// begin takes mu for a call that can be served; the caller unlocks it.
func (s *Store) begin(ctx context.Context) error {
	s.mu.Lock()
	if err := s.usable(ctx); err != nil {
		s.mu.Unlock()
		return err
	}
	return nil
}

// join is for a call that works on the database without mu: Close waits until the caller
// has called running.Done.
func (s *Store) join(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.running.Add(1)
	return nil
}

// Info implements [export.Store].
func (s *Store) Info(ctx context.Context) (export.Info, error) {
	if err := s.begin(ctx); err != nil {
		return export.Info{}, fmt.Errorf("info: %w", err)
	}
	defer s.mu.Unlock()
	return export.Info{
		Engine:       "mvcckv",
		Lineage:      s.meta.Lineage,
		Revisions:    true,
		Locks:        true,
		AtomicIngest: true,
		Oldest:       s.meta.Oldest,
		Regions:      slices.Clone(s.opts.Regions),
		Reserved:     []export.Span{catalogSpan()},
	}, nil
}

// apply commits a batch without waiting for the disk: the next write that does wait
// makes it durable, too. It needs mu.
func (s *Store) apply(b *pebble.Batch) error {
	s.meta.Written += int64(b.Len())
	return errors.Join(b.Commit(pebble.NoSync), b.Close())
}
