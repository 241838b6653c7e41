package dirblob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

const (
	reservedPrefix = ".varve-"

	// tempFolder lies in the bucket's directory, hence on its file system.
	tempFolder = reservedPrefix + "tmp"

	// contentType is what every object has, since none is stored.
	contentType = "application/octet-stream"
)

// checkKey refuses what cannot be the name of an object's file. A key that it
// accepts is the file's path within the directory.
func checkKey(key string) error {
	_, err := filepath.Localize(key)
	switch {
	case err != nil || key == ".":
		return coded(gcerrors.InvalidArgument, "key is not a plain path")
	case reserved(key):
		return coded(gcerrors.InvalidArgument, "names that begin with %s are reserved", reservedPrefix)
	}
	return nil
}

// reserved tells whether an element of the key is ours, in any case: some file
// systems ignore it.
func reserved(key string) bool {
	return strings.Contains("/"+strings.ToLower(key), "/"+reservedPrefix)
}

// openRoot opens the directory.
func (b *bucket) openRoot(ctx context.Context) (*os.Root, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return os.OpenRoot(b.dir)
}

// find opens the directory, for the caller to close, and looks at an object's
// file itself: a folder, a link or a device is no object.
func (b *bucket) find(ctx context.Context, key string) (*os.Root, fs.FileInfo, error) {
	if err := checkKey(key); err != nil {
		return nil, nil, coded(gcerrors.NotFound, "%w", err)
	}
	root, err := b.openRoot(ctx)
	if err != nil {
		return nil, nil, err
	}
	info, err := root.Lstat(key)
	if err == nil && !info.Mode().IsRegular() {
		err = coded(gcerrors.NotFound, "not a file")
	}
	if err != nil {
		return nil, nil, errors.Join(err, root.Close())
	}
	return root, info, nil
}

// Attributes tells size, modification time and an ETag made of the two.
func (b *bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	root, info, err := b.find(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("stat in %s: %w", b.dir, err)
	}
	return &driver.Attributes{
		ContentType: contentType,
		ModTime:     info.ModTime(),
		Size:        info.Size(),
		ETag:        fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()),
		AsFunc:      none,
	}, root.Close()
}

// Delete removes the object, durably, and the folders that are empty then.
func (b *bucket) Delete(ctx context.Context, key string, opts *driver.DeleteOptions) error {
	if opts.BeforeDelete != nil {
		if err := opts.BeforeDelete(none); err != nil {
			return err
		}
	}
	if err := b.remove(ctx, key); err != nil {
		return fmt.Errorf("delete in %s: %w", b.dir, err)
	}
	return nil
}

func (b *bucket) remove(ctx context.Context, key string) error {
	root, _, err := b.find(ctx, key)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Remove(key); err != nil {
		return err
	}
	return b.tidy(root, filepath.Dir(key))
}

// Copy writes the bytes of one object to another: two files, not one with two
// names, for whoever edits files in place.
func (b *bucket) Copy(ctx context.Context, dstKey, srcKey string, opts *driver.CopyOptions) error {
	r, err := b.NewRangeReader(ctx, srcKey, 0, -1, &driver.ReaderOptions{})
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := b.newWriter(ctx, dstKey, &driver.WriterOptions{BeforeWrite: opts.BeforeCopy})
	if err != nil {
		return err
	}
	return errors.Join(w.Upload(r), w.Close())
}
