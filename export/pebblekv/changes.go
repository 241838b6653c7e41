package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/varvekv/varve/export"
)

// changes finds the difference once for all cursors of a snapshot.
type changes struct {
	base *checkpoint // nil: there is none

	mu    sync.Mutex
	found *difference
}

func (c *changes) difference(ctx context.Context, now *checkpoint) (*difference, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found == nil {
		d, err := findDifference(ctx, c.base, now)
		if err != nil {
			// If it is not the base that cannot be read, others will say so.
			return nil, fmt.Errorf("compare with %s: %w", c.base.path, lost(ctx, err))
		}
		c.found = d
	}
	return c.found, nil
}

// lost is why a base cannot be read, which makes it none.
func lost(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, export.ErrNoBase) {
		return err
	}
	return fmt.Errorf("%w: %w", export.ErrNoBase, err)
}

// Changes compares with the base.
func (s *snapshot) Changes(ctx context.Context, req export.Request) (export.Changes, error) {
	return s.changesSince(ctx, req, true)
}

func (s *snapshot) changesSince(ctx context.Context, req export.Request, exact bool) (export.Changes, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("export changes: %w", err)
	}
	c, base, err := s.useBoth(req.Since)
	if err != nil {
		return nil, fmt.Errorf("export changes: %w", err)
	}
	d, err := s.changes.difference(ctx, c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("export changes: %w", err), base.release(), c.release())
	}
	return newDiffCursor(ctx, d, req, exact), nil
}

// useBoth is use, of the base as well, which must be of since.
func (s *snapshot) useBoth(since export.Timestamp) (c, base *checkpoint, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	base = s.changes.base
	switch {
	case s.closed:
		return nil, nil, export.ErrClosed
	case base == nil, base.sidecar.Timestamp != since:
		return nil, nil, fmt.Errorf("since %s: no such base: %w", since, export.ErrNoBase)
	}
	s.checkpoint.refs.Add(1)
	base.refs.Add(1)
	return s.checkpoint, base, nil
}

// base opens the named snapshot to compare with. One that cannot be opened, for
// whatever reason, is none: changes are then found without it. The caller holds the
// turn.
func (s *Store) base(name, lineage string) *checkpoint {
	if name == "" {
		return nil
	}
	if c := s.open[name]; c != nil && c.sidecar.Lineage == lineage {
		c.refs.Add(1)
		return c
	}
	path := s.fs.PathJoin(s.snapDir, name)
	side, err := readSidecar(s.fs, path, name, lineage)
	if err != nil {
		return nil
	}
	c, err := s.openCheckpoint(path, side)
	if err != nil {
		return nil
	}
	s.open[name] = c
	return c
}
