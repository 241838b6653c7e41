package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/varvekv/varve/export/internal/durable"
	"github.com/varvekv/varve/export/internal/tables"
)

// checkpointCache is the size of the block cache of an open checkpoint. A scan
// uses each block once, so it only has to hold what cursors are in the middle of.
const checkpointCache = 16 << 20

// checkpoint is an open checkpoint folder. Pebble lets one reader at a time open
// it, so all snapshots of that name and all their cursors share it.
type checkpoint struct {
	store   *Store
	path    string
	sidecar sidecar
	home    *scratch // of an unnamed one: the folder that goes with it

	db     *pebble.DB
	pebble *pebble.Options

	mu     sync.Mutex // over what was found out once
	tables []*tableFile
	logged *touched

	refs     atomic.Int64 // snapshots and cursors
	closed   bool         // under the store's turn
	released bool         // under the store's turn: remove the folder after the last use
}

// createCheckpoint makes a checkpoint with its sidecar inside home, durable under
// the path that it returns.
func (s *Store) createCheckpoint(ctx context.Context, home *scratch, side sidecar) (string, error) {
	path := home.join("checkpoint")
	if err := s.createMoment(ctx, path); err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	if err := s.refuseRemote(path); err != nil {
		return "", err
	}
	if err := writeSidecar(s.fs, path, side); err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	return path, ctx.Err()
}

// refuseRemote finds out whether tables or values of the checkpoint are remote
// objects: only then Pebble adds a catalog of them.
func (s *Store) refuseRemote(path string) error {
	names, err := s.fs.List(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "REMOTE-OBJ-CATALOG") {
			return fmt.Errorf("checkpoint: the database has remote objects, which a checkpoint does not hold; DB.Download makes them local: %w", errors.ErrUnsupported)
		}
	}
	return nil
}

// openCheckpoint opens the folder at path for reading, with one reference.
func (s *Store) openCheckpoint(path string, side sidecar) (*checkpoint, error) {
	c := &checkpoint{store: s, path: path, sidecar: side, pebble: s.readOptions()}
	cache := pebble.NewCache(checkpointCache)
	defer cache.Unref()
	o := c.pebble.Clone()
	o.Cache = cache
	readAhead(o)
	db, err := pebble.Open(path, o)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	c.db = db
	c.refs.Store(1)
	return c, nil
}

// readOptions are the user's, without what belongs to the live database: its log
// directories (a checkpoint holds its own log), caches, scheduler and lock. A
// damaged table ends the export with an error and not the process.
func (s *Store) readOptions() *pebble.Options {
	o := s.pebble.Clone()
	o.ReadOnly = true
	o.ErrorIfExists, o.ErrorIfNotPristine = false, false
	o.Cache, o.FileCache, o.Lock = nil, nil, nil
	o.WALDir, o.WALFailover, o.WALRecoveryDirs = "", nil, nil
	o.Unsafe.AllowMissingWALDirs = true
	o.Logger, o.LoggerAndTracer = quietLogger{o.Logger}, nil
	o.EventListener = &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}}
	o.Experimental.CompactionScheduler = nil
	o.Experimental.ReadSamplingMultiplier = -1
	return o
}

// release gives up one reference. The last one closes the database, and removes
// the folder if it is unnamed or was released meanwhile.
func (c *checkpoint) release() error {
	if c.refs.Add(-1) > 0 {
		return nil
	}
	s := c.store
	s.turn <- struct{}{}
	defer s.unlock()
	if c.closed || c.refs.Load() > 0 { // another snapshot took it up
		return nil
	}
	c.closed = true
	err := c.db.Close()
	if c.home != nil {
		return errors.Join(err, c.home.remove())
	}
	delete(s.open, c.sidecar.Name)
	if c.released {
		err = errors.Join(err, s.removeCheckpoint(c.path))
	}
	return err
}

// removeCheckpoint deletes a named snapshot's folder. It gets a temporary name
// first: a crash leaves the whole snapshot or a leftover, never half of one that
// still has its name. Holding the folder's own lock keeps it from a process that
// reads it.
func (s *Store) removeCheckpoint(path string) error {
	lock, err := pebble.LockDirectory(path, s.fs)
	if err != nil {
		return fmt.Errorf("%s is in use: %w", path, err)
	}
	aside := s.fs.PathJoin(s.snapDir, scratchPrefix+randomHex(8))
	if err := s.fs.Rename(path, aside); err != nil {
		return errors.Join(err, lock.Close())
	}
	err = durable.SyncDir(s.fs, s.snapDir)
	if err == nil {
		err = s.fs.RemoveAll(aside)
	}
	return errors.Join(err, lock.Close())
}

// reader opens the table file behind t.
func (c *checkpoint) reader(ctx context.Context, t *pebble.SSTableInfo) (*sstable.Reader, error) {
	fs := c.pebble.FS
	return tables.Open(ctx, fs, fs.PathJoin(c.path, t.BackingSSTNum.String()+".sst"), c.pebble)
}
