package sink

import (
	"context"
	"fmt"
	"io"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/frame"
)

// copyBytes is how much of a table is read at once.
const copyBytes = 1 << 20

// CopyIn stores a whole table of a store as it is, under path, and returns its entry.
// Smallest and largest key, and counts, are what the caller has read of it. Of the
// options Bucket, Layer, Tier, Compression, Key and Wrote matter.
func CopyIn(ctx context.Context, opts Options, path string, t export.TableInfo, f File, src io.Reader) (File, error) {
	frames, err := frame.NewWriter(opts.Compression)
	if err != nil {
		return File{}, err
	}
	frames.HashContent()
	w := &Writer{ctx: ctx, opts: opts, frames: frames}
	defer w.Abort()
	if err := w.begin(path); err != nil {
		return File{}, err
	}
	n, err := io.CopyBuffer(onlyWriter{frames}, onlyReader{src}, make([]byte, copyBytes))
	if err != nil {
		return File{}, w.failed(err)
	}
	if n != t.Bytes {
		return File{}, fmt.Errorf("table of %d bytes has %d", t.Bytes, n)
	}
	facts, err := frames.Finish()
	if err != nil {
		return File{}, w.failed(err)
	}
	f.Path, f.Layer, f.Tier, f.Span, f.key = path, opts.Layer, opts.Tier, t.Span, opts.Key
	f.Size, f.Hash, f.IndexSize, f.IndexHash, f.Plain = facts.Size, facts.Hash, facts.IndexSize, facts.IndexHash, facts.Plain
	f.Format, f.KeySchema, f.Merger, f.Content = t.Format, t.KeySchema, t.Merger, facts.Content
	if err := w.store(f); err != nil {
		return File{}, err
	}
	return f, nil
}

// Same reports whether src has the bytes of the table that f stores.
func (f *File) Same(src io.Reader) (bool, error) {
	hash, err := frame.ContentHash(onlyReader{src})
	return err == nil && hash == f.Content, err
}

// onlyReader and onlyWriter keep io.CopyBuffer to its buffer.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)
