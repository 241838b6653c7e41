// Package dirblob keeps a bucket in a directory: one plain file an object, named
// by its key, and nothing beside it. No metadata is stored: content types are
// not kept, MD5 sums not computed.
//
// A write that returned nil survives a crash of the machine. What a crash leaves
// that comes after a step:
//
//	create .varve-tmp/<random>         garbage, which no key names
//	write it, sync it                  garbage
//	make folders, syncing on the way   empty folders, which are not listed
//	link or rename it to its key       the whole object or none of it
//	sync its folder, and the next      the object
//
// Create-only writes are arbitrated by link(2), between handles as between
// processes, so the file system must have hard links. Two folders are enough: a
// folder is made only where all above it is durable, whichever process makes it.
// Folders that others made (mkdir -p) are as durable as they left them. Delete
// removes the folders that it empties. What crashes leave in .varve-tmp may be
// removed whenever nobody writes.
//
// Keys are slash-separated paths without empty, "." or ".." elements; elements
// that begin with ".varve-" are reserved. A key cannot be an object and a folder
// of others. No key leads out of the directory, not through symbolic links
// either; links are not listed. Where file names ignore case, so do keys.
package dirblob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
)

// Options tunes a bucket; nil and the zero value are the defaults.
type Options struct {
	// Sync makes the bytes of a file, or the names in a folder, durable; nil is
	// (*os.File).Sync. Tests watch and fail it. It may be called concurrently and
	// must not keep the file.
	Sync func(*os.File) error
}

// Open returns the bucket in dir, safe for concurrent use, to be closed by the
// caller. A directory that does not exist is an empty bucket; the first write
// makes it. It is an error if dir is something else than a directory.
func Open(dir string, opts *Options) (*blob.Bucket, error) {
	b, err := open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", dir, err)
	}
	return blob.NewBucket(b), nil
}

// bucket opens the directory anew in each call: nothing is pinned in between,
// and what others do to the directory is seen.
type bucket struct {
	dir    string // absolute
	sync   func(*os.File) error
	rooted atomic.Bool // dir exists, durably
}

func open(dir string, opts *Options) (*bucket, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(abs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil && !info.IsDir() {
		return nil, errors.New("not a directory")
	}
	b := &bucket{dir: abs, sync: (*os.File).Sync}
	if opts != nil && opts.Sync != nil {
		b.sync = opts.Sync
	}
	return b, nil
}

// Close does nothing: open readers and writers go on.
func (b *bucket) Close() error { return nil }

// As offers nothing.
func (b *bucket) As(any) bool { return false }

// none is what As is to the callbacks and results of this driver.
func none(any) bool { return false }

// SignedURL is not supported.
func (b *bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errors.ErrUnsupported
}
