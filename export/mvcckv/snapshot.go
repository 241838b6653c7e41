package mvcckv

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"

	"github.com/varvekv/varve/export"
)

var _ export.Snapshot = (*snapshot)(nil)

// snapshot is a moment that is read, and the promise that nothing is forgotten that it
// needs. It holds nothing open in the database.
type snapshot struct {
	store  *Store
	at     export.Timestamp
	kept   *kept // nil: not named
	closed bool  // under store.mu
}

// Snapshot implements [export.Store]. It protects everything, whatever the spans are,
// and needs no base. AsOf may be any moment from Info.Oldest up to now; one before that
// is a *export.BeforeGCError.
func (s *Store) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	snap, err := s.snapshot(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", opts.Name, err)
	}
	return snap, nil
}

func (s *Store) snapshot(ctx context.Context, opts export.SnapshotOptions) (*snapshot, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	snap := &snapshot{store: s}
	if opts.Name != "" {
		k, err := s.openKept(opts)
		if err != nil {
			return nil, err
		}
		snap.kept, snap.at = k, k.record.Timestamp
	} else {
		at, err := s.stamp(opts)
		if err != nil {
			return nil, err
		}
		snap.at = at
		s.views[snap] = true
	}
	// Open transactions write above it from here on, and where they have written below
	// it there are locks.
	s.reads.low = later(s.reads.low, snap.at)
	return snap, nil
}

// stamp is the timestamp of a snapshot that is taken now. It needs mu.
func (s *Store) stamp(opts export.SnapshotOptions) (export.Timestamp, error) {
	at, err := s.readable(opts.AsOf)
	if err != nil {
		return at, err
	}
	if opts.AsOf.IsZero() && at == opts.After {
		at, err = s.clock.tick()
	}
	if err == nil && at.Compare(opts.After) <= 0 {
		err = fmt.Errorf("at %s: not after %s", at, opts.After)
	}
	return at, err
}

// Timestamp implements [export.Snapshot].
func (s *snapshot) Timestamp() export.Timestamp { return s.at }

// Close implements [export.Snapshot].
func (s *snapshot) Close() error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	delete(s.store.views, s)
	if s.kept != nil {
		s.store.leave(s.kept)
	}
	return nil
}

// Export implements [export.Snapshot]. Changes are read by the time that blocks of
// tables are of: those with nothing of the window are not read. Since reaches back to
// Info.Oldest, and is ErrNoBase before that.
func (s *snapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	c, err := s.export(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", req.Span, err)
	}
	return c, nil
}

func (s *snapshot) export(ctx context.Context, req export.Request) (*cursor, error) {
	db := s.store
	if err := db.begin(ctx); err != nil {
		return nil, err
	}
	defer db.mu.Unlock()
	return s.open(ctx, req)
}

// open needs mu, which it may let go of, but not after it has looked at the locks and
// opened the iterator.
func (s *snapshot) open(ctx context.Context, req export.Request) (*cursor, error) {
	db := s.store
	locks := func() []lock { return after(db.locksIn(req.Span, s.at, nil), req.Resume) }
	if req.Locks == export.PushLocks {
		pushed := func(l lock) error { return db.push(l.holder, l.key, "an export") }
		if err := db.pass(ctx, locks, pushed); err != nil {
			return nil, err
		}
	}
	if err := s.readable(req.Since); err != nil {
		return nil, err
	}
	c := &cursor{
		ctx: ctx, span: req.Span.Clone(), seen: visible{until: s.at}, since: req.Since, all: req.Revisions,
		resume: clonePosition(req.Resume),
	}
	span := req.Span
	if met := locks(); len(met) > 0 {
		key := []byte(met[0].key)
		c.locked = &export.LockedError{Span: c.span, Key: key, Holder: met[0].holder.name}
		return c, c.open(db, export.Span{Start: span.Start, End: key}, len(key) == 0)
	}
	return c, c.open(db, span, false)
}

// open opens the iterator, over nothing if that is said: an empty end of a span is no
// end.
func (c *cursor) open(db *Store, span export.Span, nothing bool) (err error) {
	if nothing {
		span = export.Span{End: []byte{0}}
	}
	c.it, err = db.iterate(c.ctx, span, timeFilters(c.since, c.seen.until))
	return err
}

// timeFilters leave out blocks without a version after since, up to until. They go by
// wall time, so that each version is looked at, too.
func timeFilters(since, until export.Timestamp) []pebble.BlockPropertyFilter {
	if since.IsZero() {
		return nil
	}
	filters := make([]pebble.BlockPropertyFilter, 0, 2) // Pebble adds one
	return append(filters, cockroachkvs.NewMVCCTimeIntervalFilter(uint64(since.WallNanos), uint64(until.WallNanos)))
}

// after are the locks that an export has not passed.
func after(locks []lock, resume *export.Position) []lock {
	for resume != nil && len(locks) > 0 && locks[0].key <= string(resume.Key) {
		locks = locks[1:]
	}
	return locks
}

func clonePosition(p *export.Position) *export.Position {
	if p == nil {
		return nil
	}
	return &export.Position{Key: append([]byte{}, p.Key...), Timestamp: p.Timestamp}
}

// readable is why s cannot be read, or not for what changed after since. It needs mu:
// an iterator that is opened before mu is let go of sees all that is kept now.
func (s *snapshot) readable(since export.Timestamp) error {
	db := s.store
	switch oldest := db.meta.Oldest; {
	case s.closed:
		return fmt.Errorf("snapshot at %s: %w", s.at, export.ErrClosed)
	case !since.IsZero() && since.Compare(oldest) < 0:
		return fmt.Errorf("since %s: the oldest moment that is kept is %s: %w", since, oldest, export.ErrNoBase)
	}
	return db.keeps(s.at)
}
