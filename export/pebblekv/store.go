package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

var (
	_ export.Store          = (*Store)(nil)
	_ export.SnapshotKeeper = (*Store)(nil)
)

// Store is a Pebble database as varve sees it: an [export.Store] and an
// [export.SnapshotKeeper]. It is safe for concurrent use and does not own the
// database. Use one Store for a database at a time: a snapshot that one Store has
// open is locked for another.
type Store struct {
	config
	db      *pebble.DB
	dir     string
	snapDir string

	// turn is held by whoever changes which snapshots and loads exist or are in
	// use. It is a channel so that waiting ends with a context.
	turn    chan struct{}
	open    map[string]*checkpoint // named snapshots in use
	loading map[string]bool        // named ingesters in use

	lineage sync.Mutex // serializes changes of the lineage file
}

// New adapts an open database in dir. It begins a lineage if the database has
// none, holds nothing open between calls, and needs no closing. Errors say which
// name of opts.Pebble differs from the database's.
func New(db *pebble.DB, dir string, opts *Options) (*Store, error) {
	s := &Store{
		config:  opts.config(),
		db:      db,
		dir:     dir,
		turn:    make(chan struct{}, 1),
		open:    make(map[string]*checkpoint),
		loading: make(map[string]bool),
	}
	s.snapDir = s.fs.PathJoin(dir, "varve-snapshots")
	if opts != nil && opts.SnapshotDir != "" {
		s.snapDir = opts.SnapshotDir
	}
	if err := s.checkObjects(); err != nil {
		return nil, fmt.Errorf("new store %s: %w", dir, err)
	}
	if err := s.alive(); err != nil {
		return nil, fmt.Errorf("new store %s: %w", dir, err)
	}
	if err := s.checkNames(dir); err != nil {
		return nil, fmt.Errorf("new store %s: %w", dir, err)
	}
	if err := ensureLineage(s.fs, dir); err != nil {
		return nil, fmt.Errorf("new store %s: %w", dir, err)
	}
	return s, nil
}

// Open opens the database in dir with popts, which take the place of
// opts.Pebble, and adapts it. The caller closes the database.
func Open(dir string, popts *pebble.Options, opts *Options) (*pebble.DB, *Store, error) {
	db, err := pebble.Open(dir, popts.Clone())
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", dir, err)
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	o.Pebble = popts
	s, err := New(db, dir, &o)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, s, nil
}

// Info reads the lineage from the database's directory.
func (s *Store) Info(ctx context.Context) (export.Info, error) {
	if err := s.ready(ctx); err != nil {
		return export.Info{}, fmt.Errorf("info: %w", err)
	}
	lineage, err := readLineage(s.fs, s.dir)
	if err != nil {
		return export.Info{}, fmt.Errorf("info: %w", err)
	}
	info := s.info()
	info.Lineage = lineage
	return info, nil
}

// ready is what every call asks first.
func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.alive()
}

// alive is an error that wraps export.ErrClosed once the database was closed.
// Raising the format to what it is already does nothing, but notices; its own
// errors (a read-only database, a raise in progress) do not matter here.
func (s *Store) alive() error {
	return guard(func() error {
		if err := s.db.RatchetFormatMajorVersion(s.db.FormatMajorVersion()); errors.Is(err, pebble.ErrClosed) {
			return export.ErrClosed
		}
		return nil
	})
}

// guard calls f and turns the panic with which Pebble meets calls on a closed
// database into an error.
func guard(f func() error) (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if e, ok := r.(error); ok && errors.Is(e, pebble.ErrClosed) {
			err = fmt.Errorf("%w: %w", export.ErrClosed, e)
			return
		}
		panic(r)
	}()
	return f()
}

// flush moves the memtable into tables. Pebble tries again and again where that
// fails, so the wait ends with ctx.
func (s *Store) flush(ctx context.Context) error {
	return guard(func() error {
		flushed, err := s.db.AsyncFlush()
		if err != nil {
			return fmt.Errorf("flush: %w", err)
		}
		select {
		case <-flushed:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("flush: %w", ctx.Err())
		}
	})
}

// lock takes the store's turn. Callers unlock.
func (s *Store) lock(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) unlock() { <-s.turn }
