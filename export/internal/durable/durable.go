// Package durable writes files that are there after a crash, as a whole or not at all,
// on any of Pebble's file systems.
package durable

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// WriteFile replaces the file dir/name as a whole: after a crash it is the former
// one or the new one.
func WriteFile(fs vfs.FS, dir, name string, data []byte) error {
	aside := fs.PathJoin(dir, name+".tmp")
	if err := WriteSynced(fs, aside, data); err != nil {
		return fmt.Errorf("write %s: %w", aside, err)
	}
	if err := fs.Rename(aside, fs.PathJoin(dir, name)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return SyncDir(fs, dir)
}

// WriteSynced writes a file, which must not matter before, and syncs it. Its name is
// durable with its directory.
func WriteSynced(fs vfs.FS, path string, data []byte) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// SyncDir makes the names in dir durable.
func SyncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// MakeDir makes dir and the parents it lacks, each durable under its own parent.
func MakeDir(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil {
		return nil
	}
	parent := fs.PathDir(dir)
	if parent == dir {
		return nil
	}
	if err := MakeDir(fs, parent); err != nil {
		return err
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	return SyncDir(fs, parent)
}

// ReadFile is all that is in a file.
func ReadFile(fs vfs.FS, path string) (data []byte, err error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(f)
}
