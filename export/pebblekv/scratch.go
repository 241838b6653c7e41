package pebblekv

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const scratchPrefix = "tmp-"

// scratch is a temporary folder that is alive as long as its lock is held. The
// lock is beside what is built, not in it: a checkpoint must not exist before
// Pebble makes it.
type scratch struct {
	fs   vfs.FS
	path string
	lock *pebble.Lock
}

// newScratch makes a locked folder under root. It need not be durable: what is
// kept is renamed out of it.
func newScratch(fs vfs.FS, root string) (*scratch, error) {
	path := fs.PathJoin(root, scratchPrefix+randomHex(8))
	if err := fs.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	lock, err := pebble.LockDirectory(path, fs)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), fs.RemoveAll(path))
	}
	return &scratch{fs: fs, path: path, lock: lock}, nil
}

func (s *scratch) join(name string) string { return s.fs.PathJoin(s.path, name) }

// remove deletes the folder. Where that fails, or a crash comes first, the folder
// is dead once the lock is gone, and the next sweep removes it.
func (s *scratch) remove() error {
	return errors.Join(s.fs.RemoveAll(s.path), s.lock.Close())
}

// sweep clears the folders under root that is(name) says are temporary and that
// nobody holds: those of processes that died.
func sweep(fs vfs.FS, root string, is func(name string) bool) error {
	names, err := fs.List(root)
	if err != nil {
		return fmt.Errorf("list %s: %w", root, err)
	}
	for _, name := range names {
		if !is(name) {
			continue
		}
		path := fs.PathJoin(root, name)
		lock, err := pebble.LockDirectory(path, fs)
		if err != nil {
			continue // alive
		}
		dead := &scratch{fs: fs, path: path, lock: lock}
		if err := dead.remove(); err != nil {
			return fmt.Errorf("clear leftover %s: %w", path, err)
		}
	}
	return nil
}

func isScratch(name string) bool { return strings.HasPrefix(name, scratchPrefix) }
