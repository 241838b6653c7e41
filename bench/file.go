package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"
)

// writeSynced makes a file of what write writes; it is durable with its folder.
func writeSynced(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(write(buffered), buffered.Flush()); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close(), syncFolder(filepath.Dir(path)))
}

// copySynced copies a file. Without a hash the kernel does it alone.
func copySynced(from, to string, sum *blake3.Hasher) (err error) {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	if sum == nil {
		_, err = io.Copy(w, r)
	} else {
		_, err = io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(w, sum)}, struct{ io.Reader }{r}, make([]byte, 1<<20))
	}
	return errors.Join(err, w.Sync(), w.Close())
}

// syncTree syncs all files and folders below dir.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncFolder(path)
	})
}

// syncFolder syncs a folder, or a file.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncAround writes out all that the file system of path has not yet written, so that
// nobody pays for another.
func syncAround(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// warm reads all files below dir, so that they are in the page cache.
func warm(dir string) error {
	buffer := make([]byte, 1<<20)
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a database that was just opened still removes what it replaced
		}
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, buffer)
		return errors.Join(err, f.Close())
	})
}

// sizeOf is how many bytes the files below dir hold, each counted once however many
// links it has.
func sizeOf(dir string) (size int64, err error) {
	seen := map[uint64]bool{}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if inode := info.Sys().(*syscall.Stat_t).Ino; !seen[inode] {
			seen[inode] = true
			size += info.Size()
		}
		return nil
	})
	return size, err
}

// immutable says whether an engine never writes again to a file of that name.
func immutable(name string) bool { return filepath.Ext(name) == ".sst" }

// clone makes a database that is closed into two. They share the files that are
// never written again.
func clone(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		copied := filepath.Join(to, relative)
		switch {
		case e.IsDir():
			return os.MkdirAll(copied, 0o755)
		case immutable(path):
			return os.Link(path, copied)
		default:
			return copySynced(path, copied, nil)
		}
	})
}

func megabytes(n int64) string {
	switch mb := float64(n) / 1e6; {
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case mb >= 99.5:
		return fmt.Sprintf("%.0f MB", mb)
	case mb >= 9.95:
		return fmt.Sprintf("%.1f MB", mb)
	default:
		return fmt.Sprintf("%.2f MB", mb)
	}
}
