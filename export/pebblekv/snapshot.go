package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/durable"
)

// Snapshot takes a checkpoint, or reopens the one called opts.Name as it is; it
// always covers the whole database. AsOf must be zero. It refuses a database
// with remote objects, and a name whose folder is not a snapshot of this store's
// lineage.
func (s *Store) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	c, base, err := s.snapshot(ctx, &opts)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", opts.Name, err)
	}
	snap := &snapshot{checkpoint: c, changes: changes{base: base}}
	if s.objects == nil {
		return snap, nil
	}
	return &catalogSnapshot{snapshot: snap, objects: s.objects}, nil
}

// snapshot is the checkpoint, and that of the base, nil if there is none.
func (s *Store) snapshot(ctx context.Context, opts *export.SnapshotOptions) (c, base *checkpoint, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, nil, err
	}
	if !opts.AsOf.IsZero() {
		return nil, nil, fmt.Errorf("as of %s: a plain Pebble database has no history: %w", opts.AsOf, errors.ErrUnsupported)
	}
	if err := errors.Join(checkOptionalName(opts.Name), checkOptionalName(opts.Base)); err != nil {
		return nil, nil, err
	}
	if err := s.lock(ctx); err != nil {
		return nil, nil, err
	}
	defer s.unlock()
	side, err := s.newSidecar(opts)
	if err != nil {
		return nil, nil, err
	}
	if opts.Name == "" {
		c, err = s.unnamed(ctx, side)
	} else {
		c, err = s.named(ctx, opts, side)
	}
	if err != nil {
		return nil, nil, err
	}
	return c, s.base(opts.Base, side.Lineage), nil
}

func (s *Store) newSidecar(opts *export.SnapshotOptions) (sidecar, error) {
	lineage, err := readLineage(s.fs, s.dir)
	if err != nil {
		return sidecar{}, err
	}
	now := s.now()
	ts := export.At(now)
	if next := opts.After.Next(); ts.Compare(next) < 0 {
		ts = next
	}
	return sidecar{
		Version:   1,
		Lineage:   lineage,
		Name:      opts.Name,
		Note:      opts.Note,
		Timestamp: ts,
		CreatedAt: now.UTC(),
		Spans:     sidecarSpans(opts.Spans),
	}, nil
}

// unnamed keeps the checkpoint in its scratch folder, which goes with it.
func (s *Store) unnamed(ctx context.Context, side sidecar) (*checkpoint, error) {
	home, err := s.newHome()
	if err != nil {
		return nil, err
	}
	path, err := s.createCheckpoint(ctx, home, side)
	if err != nil {
		return nil, errors.Join(err, home.remove())
	}
	c, err := s.openCheckpoint(path, side)
	if err != nil {
		return nil, errors.Join(err, home.remove())
	}
	c.home = home
	return c, nil
}

func (s *Store) named(ctx context.Context, opts *export.SnapshotOptions, side sidecar) (*checkpoint, error) {
	if c := s.open[opts.Name]; c != nil {
		if err := fits(opts, c.sidecar); err != nil {
			return nil, err
		}
		c.refs.Add(1)
		return c, nil
	}
	path := s.fs.PathJoin(s.snapDir, opts.Name)
	_, err := s.fs.Stat(path)
	if err == nil {
		side, err = readSidecar(s.fs, path, opts.Name, side.Lineage)
	} else {
		err = s.createNamed(ctx, path, side)
	}
	if err != nil {
		return nil, err
	}
	if err := fits(opts, side); err != nil {
		return nil, err
	}
	c, err := s.openCheckpoint(path, side)
	if err != nil {
		return nil, err
	}
	s.open[opts.Name] = c
	return c, nil
}

// createNamed builds the snapshot aside and renames it to path. Everything in it
// is durable before the rename, and the rename before it returns.
func (s *Store) createNamed(ctx context.Context, path string, side sidecar) error {
	home, err := s.newHome()
	if err != nil {
		return err
	}
	built, err := s.createCheckpoint(ctx, home, side)
	if err == nil {
		err = s.fs.Rename(built, path)
	}
	if err == nil {
		err = durable.SyncDir(s.fs, s.snapDir)
	}
	return errors.Join(err, home.remove())
}

// newHome makes a scratch folder beside the snapshots. The caller holds the turn.
func (s *Store) newHome() (*scratch, error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	return newScratch(s.fs, s.snapDir)
}

// prepare makes the snapshots' folder and clears it of what dead processes left, and
// of snapshots that nobody can use since another history began. The caller holds the
// turn.
func (s *Store) prepare() error {
	if err := durable.MakeDir(s.fs, s.snapDir); err != nil {
		return err
	}
	if err := s.clearFormer(); err != nil {
		return err
	}
	return sweep(s.fs, s.snapDir, isScratch)
}

// clearFormer removes the snapshots of the lineage before this one.
func (s *Store) clearFormer() error {
	f, err := readLineageFile(s.fs, s.dir)
	if err != nil || f.Former == "" {
		return err
	}
	sides, err := s.sidecars(f.Former)
	if err != nil {
		return err
	}
	for _, side := range sides {
		if s.open[side.Name] != nil {
			continue // it is being read: the next call finds it
		}
		if err := s.removeCheckpoint(s.fs.PathJoin(s.snapDir, side.Name)); err != nil {
			return fmt.Errorf("clear a snapshot of a former history: %w", err)
		}
	}
	return nil
}

func fits(opts *export.SnapshotOptions, side sidecar) error {
	if side.Timestamp.Compare(opts.After) <= 0 {
		return fmt.Errorf("it is of %s, which is not after %s", side.Timestamp, opts.After)
	}
	return nil
}

var _ export.Differ = (*snapshot)(nil)

// snapshot is one use of a checkpoint.
type snapshot struct {
	checkpoint *checkpoint
	changes    changes

	mu     sync.Mutex
	closed bool
}

func (s *snapshot) Timestamp() export.Timestamp { return s.checkpoint.sidecar.Timestamp }

// Close waits while another snapshot of the store is being created.
func (s *snapshot) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return nil
	}
	err := s.checkpoint.release()
	if s.changes.base != nil {
		err = errors.Join(err, s.changes.base.release())
	}
	if err != nil {
		return fmt.Errorf("close snapshot: %w", err)
	}
	return nil
}

// use takes a reference to the checkpoint for as long as a cursor or a call
// needs it. The caller releases it.
func (s *snapshot) use() (*checkpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, export.ErrClosed
	}
	s.checkpoint.refs.Add(1)
	return s.checkpoint, nil
}

func (s *snapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	if !req.Since.IsZero() {
		return s.changesSince(ctx, req, false)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	c, err := s.use()
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	cur, err := newCursor(ctx, c, req)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("export: %w", err), c.release())
	}
	return cur, nil
}

func (s *snapshot) Partition(ctx context.Context, span export.Span, since export.Timestamp) ([]export.Partition, error) {
	pieces, err := s.partition(ctx, span, since)
	if err != nil {
		return nil, fmt.Errorf("partition: %w", err)
	}
	return pieces, nil
}

func (s *snapshot) partition(ctx context.Context, span export.Span, since export.Timestamp) (_ []export.Partition, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if since.IsZero() {
		c, err := s.use()
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, c.release()) }()
		return c.partition(ctx, span)
	}
	c, base, err := s.useBoth(since)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, base.release(), c.release()) }()
	d, err := s.changes.difference(ctx, c)
	if err != nil {
		return nil, err
	}
	return d.partition(ctx, span)
}
