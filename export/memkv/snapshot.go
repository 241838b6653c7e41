package memkv

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/varvekv/varve/export"
)

// snapshot implements [export.Snapshot].
type snapshot struct {
	store   *Store
	version version
	at      export.Timestamp
	until   export.Timestamp // of the revisions that are seen
	kept    *kept            // nil: not named
	base    *kept            // what changes may be asked after; nil: nothing

	mu     sync.Mutex
	closed bool
}

// Snapshot implements [export.Store]. It protects everything, whatever the spans.
func (s *Store) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	snap, err := s.open(opts)
	if err != nil {
		return nil, err
	}
	if !s.db.opts.SingleRevision {
		return &historical{snap}, nil
	}
	snap.base = s.db.base(opts.Base)
	return &comparable{snap}, nil
}

func (s *Store) open(opts export.SnapshotOptions) (*snapshot, error) {
	if opts.Name != "" {
		return s.openKept(opts)
	}
	at, until, err := s.db.stamp(opts)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return &snapshot{store: s, version: s.db.freeze(), at: at, until: until}, nil
}

// stamp is the timestamp of a snapshot taken now, and the newest revision in it.
// It needs mu.
func (db *database) stamp(opts export.SnapshotOptions) (at, until export.Timestamp, err error) {
	wall := db.wall()
	if db.opts.SingleRevision {
		if !opts.AsOf.IsZero() {
			return at, until, fmt.Errorf("as of %s: a store of single revisions: %w", opts.AsOf, errors.ErrUnsupported)
		}
		return later(wall, opts.After.Next()), db.last, nil
	}
	at = later(later(wall, db.last), opts.After.Next())
	if !opts.AsOf.IsZero() {
		if newest := later(wall, db.last); opts.AsOf.Compare(newest) > 0 {
			return at, until, fmt.Errorf("as of %s: it is %s now", opts.AsOf, newest)
		}
		at = opts.AsOf
	}
	switch {
	case at.Compare(opts.After) <= 0:
		return at, until, fmt.Errorf("as of %s: not after %s", at, opts.After)
	case at.Compare(db.oldest) < 0:
		return at, until, &export.BeforeGCError{AsOf: at, Threshold: db.oldest}
	}
	// What is written from here on comes after the snapshot.
	db.last = later(db.last, at)
	return at, at, nil
}

// Timestamp implements [export.Snapshot].
func (s *snapshot) Timestamp() export.Timestamp { return s.at }

// Export implements [export.Snapshot].
func (s *snapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	if s.store.db.opts.SingleRevision && !req.Since.IsZero() {
		return s.changes(ctx, req)
	}
	w, err := s.window(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", req.Span, err)
	}
	return s.cursor(ctx, s.version, w, req), nil
}

// cursor is over the window of a version, seen by this snapshot's user.
func (s *snapshot) cursor(ctx context.Context, v version, w window, req export.Request) *cursor {
	return &cursor{
		ctx:      ctx,
		snapshot: s,
		span:     req.Span.Clone(),
		in:       newStream(s.store.db, v, req.Span.Clone(), w, clonePosition(req.Resume)),
		locks:    s.store.db.locksFor(v, req, w.until),
	}
}

func clonePosition(p *export.Position) *export.Position {
	if p == nil {
		return nil
	}
	return &export.Position{Key: append([]byte{}, p.Key...), Timestamp: p.Timestamp}
}

// window checks req, and is what it asks for.
func (s *snapshot) window(ctx context.Context, req export.Request) (window, error) {
	w := window{since: req.Since, until: s.until, all: req.Revisions}
	if err := s.usable(ctx); err != nil {
		return w, err
	}
	db := s.store.db
	switch {
	case db.opts.SingleRevision && req.Revisions:
		return w, fmt.Errorf("revisions: a store of single revisions: %w", errors.ErrUnsupported)
	case !req.Since.IsZero() && req.Since.Compare(s.version.oldest) < 0:
		return w, fmt.Errorf("since %s: the oldest revision kept is of %s: %w", req.Since, s.version.oldest, export.ErrNoBase)
	}
	return w, db.checkSpan(req.Span)
}

// usable is why no call can be served now.
func (s *snapshot) usable(ctx context.Context) error {
	if err := s.ended(); err != nil {
		return err
	}
	s.store.db.mu.Lock()
	defer s.store.db.mu.Unlock()
	return s.store.usable(ctx)
}

func (s *snapshot) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("snapshot at %s: %w", s.at, export.ErrClosed)
	}
	return nil
}

// Close implements [export.Snapshot].
func (s *snapshot) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.kept != nil {
		s.store.leave(s.kept)
	}
	s.closed = true
	return nil
}
