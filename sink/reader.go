package sink

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/objstorage"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
)

// CorruptError says that an object of a collection is damaged, missing, or not
// the one that its record describes.
type CorruptError struct {
	Object    string // its name in the collection
	Want, Got string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt: want %s, got %s", e.Object, e.Want, e.Got)
}

// Reader reads one table object. Every byte is checked against the file entry
// before it is used. It is safe for concurrent use; cursors must be closed first.
type Reader struct {
	file   File
	form   Form
	frames *frame.Reader
	table  *sstable.Reader
}

// Open reads the frame index and the table's own index blocks: two or three
// ranged reads.
func Open(ctx context.Context, bucket *objectio.Bucket, form Form, f File) (*Reader, error) {
	if err := f.Validate(); err != nil {
		return nil, &CorruptError{Object: f.Path, Want: "a possible file entry", Got: err.Error()}
	}
	frames, err := frame.Open(ctx, bucket.Object(f.Path, f.Size), f.facts(), f.sealing())
	if err != nil {
		return nil, asCorrupt(f.Path, err)
	}
	r := &Reader{file: f, form: form, frames: frames}
	if r.table, err = r.openTable(ctx); err != nil {
		return nil, r.tableError(err)
	}
	return r, nil
}

// Copy writes the plain table to w, every frame of it checked, and does not
// interpret it.
func Copy(ctx context.Context, bucket *objectio.Bucket, f File, w io.Writer) error {
	frames, err := frame.Open(ctx, bucket.Object(f.Path, f.Size), f.facts(), f.sealing())
	if err != nil {
		return asCorrupt(f.Path, err)
	}
	return asCorrupt(f.Path, frames.WriteTo(ctx, w))
}

// CheckHash compares the stored object with its hash, with nothing but storage.
func CheckHash(ctx context.Context, bucket *objectio.Bucket, f File) error {
	return asCorrupt(f.Path, frame.CheckHash(ctx, bucket.Object(f.Path, f.Size), f.facts()))
}

// Close releases the reader.
func (r *Reader) Close() error { return r.table.Close() }

// asCorrupt gives a frame's corruption the name of its object.
func asCorrupt(path string, err error) error {
	var c *frame.CorruptError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &c):
		return &CorruptError{Object: path, Want: c.Want, Got: c.Got}
	case errors.Is(err, objectio.ErrSize), errors.Is(err, objectio.ErrNotExist):
		return &CorruptError{Object: path, Want: "the object as it was written", Got: err.Error()}
	}
	return fmt.Errorf("read %q: %w", path, err)
}

// tableError is for bytes that have the hash that was recorded, and yet are no
// proper table: the writer was wrong.
func (r *Reader) tableError(err error) error {
	if err = asCorrupt(r.file.Path, err); err == nil {
		return nil
	}
	var c *CorruptError
	var s storageError
	if errors.As(err, &c) || errors.As(err, &s) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &CorruptError{Object: r.file.Path, Want: "a sorted table in order", Got: err.Error()}
}

// storageError is why bytes could not be had, which says nothing about the bytes.
type storageError struct{ error }

func (e storageError) Unwrap() error { return e.error }

// readable lets the table reader read from frames.
type readable struct{ frames *frame.Reader }

func (r readable) Size() int64  { return r.frames.Size() }
func (r readable) Close() error { return nil }

func (r readable) ReadAt(ctx context.Context, p []byte, off int64) (err error) {
	h := readHandle{r.frames.NewHandle()}
	defer func() { err = errors.Join(err, h.Close()) }()
	return h.ReadAt(ctx, p, off)
}

func (r readable) NewReadHandle(objstorage.ReadBeforeSize) objstorage.ReadHandle {
	return &readHandle{Handle: r.frames.NewHandle()}
}

type readHandle struct{ *frame.Handle }

func (h *readHandle) ReadAt(ctx context.Context, p []byte, off int64) error {
	if err := h.Handle.ReadAt(ctx, p, off); err != nil {
		return storageError{err}
	}
	return nil
}

func (h *readHandle) SetupForCompaction()                          {}
func (h *readHandle) RecordCacheHit(_ context.Context, _, _ int64) {}

// Cursor yields the entries of the table that lie in span, deletions included,
// ranges clipped to it. Its order is that of export.Cursor.
func (r *Reader) Cursor(ctx context.Context, span export.Span) (export.Cursor, error) {
	ranges, err := r.Ranges(ctx, span)
	if err != nil {
		return nil, err
	}
	return r.newCursor(ctx, span, ranges)
}

// Points yields the points of the table that lie in span.
func (r *Reader) Points(ctx context.Context, span export.Span) (export.Cursor, error) {
	return r.newCursor(ctx, span, nil)
}

// Ranges are the range kinds of the table, clipped to span, by start. They are as
// many as the table's writer held in memory.
func (r *Reader) Ranges(ctx context.Context, span export.Span) ([]export.Entry, error) {
	c := rangeCollector{form: r.form, order: r.form.Order.WithDefaults(), span: span}
	if err := c.collect(ctx, r.table); err != nil {
		return nil, r.tableError(err)
	}
	return c.ranges, nil
}
