package dirblob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

const (
	// publishTries bounds how often a folder is made again that another process,
	// deleting its last object, removed meanwhile.
	publishTries = 100

	copyBufferBytes = 256 << 10
)

// writer writes one object. Nothing shows before Close, and nothing ever if the
// context was cancelled or a call failed before. Not safe for concurrent use.
type writer struct {
	ctx        context.Context
	bucket     *bucket
	key        string
	ifNotExist bool

	root     *os.Root
	temp     *os.File
	tempName string
	err      error // the first failure
}

// NewTypedWriter begins an object. The content type and what else describes an
// object are not kept.
func (b *bucket) NewTypedWriter(ctx context.Context, key, _ string, opts *driver.WriterOptions) (driver.Writer, error) {
	w, err := b.newWriter(ctx, key, opts)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (b *bucket) newWriter(ctx context.Context, key string, opts *driver.WriterOptions) (*writer, error) {
	w := &writer{ctx: ctx, bucket: b, key: key, ifNotExist: opts.IfNotExist}
	if err := w.createTemp(); err != nil {
		return nil, fmt.Errorf("write in %s: %w", b.dir, err)
	}
	if opts.BeforeWrite != nil {
		if err := opts.BeforeWrite(none); err != nil {
			return nil, errors.Join(err, w.clean())
		}
	}
	return w, nil
}

func (w *writer) createTemp() error {
	err := checkKey(w.key)
	if err != nil {
		return err
	}
	w.root, err = w.bucket.makeRoot(w.ctx)
	if err != nil {
		return err
	}
	w.tempName = tempFolder + "/" + rand.Text()
	err = w.root.Mkdir(tempFolder, 0o777)
	if err == nil || errors.Is(err, fs.ErrExist) {
		w.temp, err = w.root.OpenFile(w.tempName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	}
	if err != nil {
		return errors.Join(err, w.root.Close())
	}
	return nil
}

func (w *writer) Write(p []byte) (int, error) {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.temp.Write(p)
	w.err = err
	return n, err
}

// Upload takes all that r has. Where r or the disk fails, it is Close that says so
// and stores nothing: the portable type calls Close in any case, and gives a code
// only to what that returns.
func (w *writer) Upload(r io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, r, make([]byte, copyBufferBytes))
	if w.err == nil {
		w.err = err
	}
	return nil
}

// Close makes the object appear, durably, and removes the temporary file. Where
// it fails to sync a folder, or to remove, the object has appeared already.
func (w *writer) Close() error {
	if w.err == nil {
		w.err = w.commit()
	}
	if err := errors.Join(w.err, w.clean()); err != nil {
		return fmt.Errorf("write in %s: %w", w.bucket.dir, err)
	}
	return nil
}

func (w *writer) commit() error {
	syncBytes := func() error { return w.bucket.sync(w.temp) }
	for _, step := range []func() error{w.ctx.Err, syncBytes, w.temp.Close, w.ctx.Err, w.publish, w.syncName} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// publish gives the file its name, and makes the folders where that fails for
// want of them.
func (w *writer) publish() error {
	place := w.root.Rename
	if w.ifNotExist {
		place = w.root.Link
	}
	var err error
	for range publishTries {
		if err = place(w.tempName, w.key); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		err = w.bucket.makeFolder(w.root, filepath.Dir(w.key))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return w.explain(err)
	}
	return nil
}

// explain tells what the caller did wrong, where that is why publish failed.
func (w *writer) explain(err error) error {
	info, statErr := w.root.Lstat(w.key)
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return coded(gcerrors.InvalidArgument, "a folder of the key is an object: %w", err)
	case statErr == nil && info.IsDir():
		return coded(gcerrors.InvalidArgument, "key is a folder of others: %w", err)
	case errors.Is(err, fs.ErrExist):
		return coded(gcerrors.FailedPrecondition, "object exists: %w", err)
	}
	return err
}

// syncName makes the object's name durable, and that of its folder, which another
// process may have made a moment ago. What is above was synced before it was made.
func (w *writer) syncName() error {
	folder := filepath.Dir(w.key)
	err := w.bucket.syncFolder(w.root, folder)
	if err == nil && folder != "." {
		err = w.bucket.syncFolder(w.root, filepath.Dir(folder))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the object was deleted meanwhile, and the folder with it
	}
	return err
}

// clean closes what is open and removes the temporary file, which is gone already
// where it was renamed.
func (w *writer) clean() error {
	closeErr := w.temp.Close()
	if errors.Is(closeErr, os.ErrClosed) {
		closeErr = nil
	}
	removeErr := w.root.Remove(w.tempName)
	if errors.Is(removeErr, fs.ErrNotExist) {
		removeErr = nil
	}
	return errors.Join(closeErr, removeErr, w.root.Close())
}
