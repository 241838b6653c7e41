package sink

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/internal/seal"
)

// Overlay says whether what is written may come to lie on older values.
type Overlay int

const (
	// Bottom tables lie on nothing: a set is a plain set.
	Bottom Overlay = iota
	// Above tables may cover older values of their keys. Their sets are written so
	// that a store which later single-deletes the key does not uncover those.
	Above
)

// Options say where and how a Writer writes.
type Options struct {
	Bucket      *objectio.Bucket
	Form        Form
	Layer       string // ID of the layer, recorded in each File
	Tier        int
	Overlay     Overlay
	Compression frame.Codec
	TargetBytes int64                 // stored bytes at which a table is ended; at least 1
	NoDigest    bool                  // write no rows
	Key         *seal.DataKey         // what is written is sealed under; nil: it is not sealed
	Name        func(file int) string // path of the n-th file of this writer, from 0
	Wrote       func(File)            // told of each file once it is stored; may be nil
}

// Result is what a Writer wrote.
type Result struct {
	Files []File
	Rows  []digest.Row
}

// Writer writes the entries of one span. It is used by one goroutine. Exactly one
// of Finish and Abort takes effect, so that deferring Abort is always right.
type Writer struct {
	ctx  context.Context // of the uploads, which Add drives
	opts Options
	span export.Span
	ord  *export.Order

	frames *frame.Writer
	upload *upload // nil between files
	table  *table  // nil between files

	rower *digest.Rower
	held  []export.Entry // ranges that the current file has yet to write, by start

	fileStart []byte
	minTime   export.Timestamp
	maxTime   export.Timestamp
	result    Result
	err       error // for good: the first failure, or that the writer has ended
}

// NewWriter makes a writer of span. Cancelling ctx makes it fail, and leaves no
// object that anything names.
func NewWriter(ctx context.Context, span export.Span, opts Options) (*Writer, error) {
	frames, err := frame.NewWriter(opts.Compression)
	if err != nil {
		return nil, err
	}
	w := &Writer{
		ctx: ctx, opts: opts, span: span.Clone(), ord: opts.Form.Order.WithDefaults(),
		frames: frames, fileStart: slices.Clone(span.Start),
		rower: digest.NewRower(opts.Form.Order, span.Start, min(digest.RowBytes, opts.TargetBytes)),
	}
	w.rower.Off = opts.NoDigest
	return w, nil
}

// Add writes the next entry, in the order of an export.Cursor, and keeps no
// reference to it. After an error there is nothing but Abort.
func (w *Writer) Add(e *export.Entry) error {
	if w.err == nil {
		w.err = w.add(e)
	}
	return w.err
}

func (w *Writer) add(e *export.Entry) error {
	if e.Timestamp.WallNanos < 0 {
		return fmt.Errorf("%s %q: timestamp %s is before 1970", e.Kind, e.Key, e.Timestamp)
	}
	if w.rower.Due(e.Key) {
		if err := w.cut(e.Key[:w.ord.Split(e.Key)]); err != nil {
			return err
		}
	}
	if w.upload == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	w.rower.Add(e)
	w.observe(e.Timestamp)
	if e.Kind.IsRange() {
		w.held = append(w.held, e.Clone())
		return nil
	}
	if err := w.table.point(e); err != nil {
		return w.failed(fmt.Errorf("%s %q: %w", e.Kind, e.Key, err))
	}
	return nil
}

// EndAt makes the span of the writer end at a bare prefix in it, and what is cut off of
// ranges that go on is not written. It is false, and does nothing, if something at or
// after that key was added.
func (w *Writer) EndAt(at []byte) bool {
	last := w.rower.Last()
	if w.err != nil || last == nil || w.ord.Compare(last, at) >= 0 || !w.span.Contains(w.ord, at) {
		return false
	}
	w.held, _ = splitRanges(w.ord, w.held, at)
	w.span.End = slices.Clone(at)
	return true
}

// Rows are those that have ended. When Options.Wrote is told of a file, they are all that
// the writer has digested up to the end of that.
func (w *Writer) Rows() []digest.Row { return w.rower.Rows() }

// Crosses reports whether a range that was added begins before the key at and ends behind it.
func (w *Writer) Crosses(at []byte) bool {
	return slices.ContainsFunc(w.held, func(e export.Entry) bool { return w.ord.Compare(e.End, at) > 0 })
}

// Finish ends the last file and returns what was written.
func (w *Writer) Finish() (Result, error) {
	if w.err != nil {
		return Result{}, w.err
	}
	w.rower.End(nil, w.held)
	if w.upload != nil {
		if w.err = w.close(w.span.End); w.err != nil {
			return Result{}, w.err
		}
	}
	w.result.Rows = w.rower.Rows()
	w.err = errFinished
	return w.result, nil
}

var errFinished = errors.New("writer has finished")

// Abort ends the writer and leaves nothing of the file it was in. Files that it
// finished stay in the bucket; nothing names them.
func (w *Writer) Abort() {
	if w.table != nil {
		w.table.abort()
	}
	if w.upload != nil {
		w.upload.abort()
	}
	w.table, w.upload = nil, nil
	if w.err == nil {
		w.err = errAborted
	}
}

// cut ends the row at a bare prefix, and the file too once it is large enough.
func (w *Writer) cut(at []byte) error {
	at = slices.Clone(at)
	w.rower.End(at, w.held)
	var heldBytes int64
	for i := range w.held {
		heldBytes += w.held[i].Size()
	}
	if w.upload != nil && w.table.stored()+heldBytes >= w.opts.TargetBytes {
		if err := w.close(at); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) open() error {
	if err := w.begin(w.opts.Name(len(w.result.Files))); err != nil {
		return err
	}
	w.table = newTable(w.frames, w.opts.Form, w.opts.Overlay)
	return nil
}

// begin starts to store an object.
func (w *Writer) begin(path string) error {
	var sealing *seal.Object
	if w.opts.Key != nil {
		var err error
		if sealing, err = w.opts.Key.NewObject(path); err != nil {
			return err
		}
	}
	w.upload = startUpload(w.ctx, w.opts.Bucket, path)
	if err := w.frames.Reset(w.upload, sealing); err != nil {
		return w.failed(err)
	}
	return nil
}

// close ends the file before the key at, empty meaning the end of the span, and
// carries ranges that go on over into the next one.
func (w *Writer) close(at []byte) error {
	here, rest := splitRanges(w.ord, w.held, at)
	if err := w.table.ranges(here); err != nil {
		return w.failed(err)
	}
	smallest, largest, err := w.table.finish()
	if err != nil {
		return w.failed(fmt.Errorf("finish table: %w", err))
	}
	facts, err := w.frames.Finish()
	if err != nil {
		return w.failed(err)
	}
	file := File{
		Path: w.opts.Name(len(w.result.Files)), Layer: w.opts.Layer, Tier: w.opts.Tier,
		Span:     export.Span{Start: w.fileStart, End: at},
		Smallest: smallest, Largest: largest,
		Size: facts.Size, Hash: facts.Hash, IndexSize: facts.IndexSize, IndexHash: facts.IndexHash, Plain: facts.Plain,
		Format: TableFormat, Counts: w.table.counts,
		MinTimestamp: w.minTime, MaxTimestamp: w.maxTime, key: w.opts.Key,
	}
	if err := w.store(file); err != nil {
		return err
	}
	w.held, w.fileStart = rest, at
	w.minTime, w.maxTime = export.Timestamp{}, export.Timestamp{}
	for i := range rest {
		w.observe(rest[i].Timestamp)
	}
	return nil
}

// store waits until the object is stored, and the bucket has said that it is as
// long as what was written.
func (w *Writer) store(f File) error {
	size, err := w.upload.finish()
	w.upload, w.table = nil, nil
	if err != nil {
		return err
	}
	if size != f.Size {
		return fmt.Errorf("store %q: wrote %d bytes, bucket has %d", f.Path, f.Size, size)
	}
	w.result.Files = append(w.result.Files, f)
	if w.opts.Wrote != nil {
		w.opts.Wrote(f)
	}
	return nil
}

func (w *Writer) observe(t export.Timestamp) {
	if w.minTime.IsZero() || t.Compare(w.minTime) < 0 {
		w.minTime = t
	}
	if t.Compare(w.maxTime) > 0 {
		w.maxTime = t
	}
}

// failed prefers the upload's error, of which err is the consequence.
func (w *Writer) failed(err error) error {
	select {
	case <-w.upload.done:
		if w.upload.err != nil {
			return w.upload.err
		}
	default:
	}
	return err
}
