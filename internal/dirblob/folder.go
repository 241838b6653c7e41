package dirblob

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// folders is what folders are made in: the bucket's directory, or the disk it is
// on.
type folders interface {
	Stat(name string) (fs.FileInfo, error)
	Mkdir(name string, perm fs.FileMode) error
	Open(name string) (*os.File, error)
}

type disk struct{}

func (disk) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (disk) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }

func (disk) Open(name string) (*os.File, error) { return os.Open(name) }

// makeRoot opens the directory, and makes it if it is not there.
func (b *bucket) makeRoot(ctx context.Context) (*os.Root, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !b.rooted.Load() {
		if err := b.makeFolder(disk{}, b.dir); err != nil {
			return nil, err
		}
		b.rooted.Store(true)
	}
	return os.OpenRoot(b.dir)
}

// makeFolder makes the folder if it is not there, and leaves its name durable,
// whoever made it; first those above it, so that nothing is ever made in a folder
// that a crash could take away.
func (b *bucket) makeFolder(in folders, name string) error {
	parent := filepath.Dir(name)
	if parent == name {
		return nil
	}
	if _, err := in.Stat(name); err == nil {
		err = b.syncFolder(in, parent)
		if errors.Is(err, fs.ErrPermission) {
			return nil // it was prepared for us in a place that is not ours to read
		}
		return err
	}
	if err := b.makeFolder(in, parent); err != nil {
		return err
	}
	if err := in.Mkdir(name, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return b.syncFolder(in, parent)
}

// syncFolder makes the names in a folder durable. Windows has no call for that:
// a folder's handle cannot be flushed, its file system journals names by itself.
// A file system that says it has none, either, is left to its own ways.
func (b *bucket) syncFolder(in folders, name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := in.Open(name)
	if err != nil {
		return err
	}
	err = b.sync(f)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// tidy removes the folder and those above it while they are empty, and syncs the
// lowest that stays: the end of a folder is the end of all that was in it.
func (b *bucket) tidy(root *os.Root, folder string) error {
	for ; folder != "."; folder = filepath.Dir(folder) {
		// With the slash, an object that took the folder's name is not removed.
		if err := root.Remove(folder + "/"); err == nil || gone(err) {
			continue
		}
		if err := b.syncFolder(root, folder); !gone(err) {
			return err
		}
	}
	return b.syncFolder(root, ".")
}
