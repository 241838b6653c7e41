package sink

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/frame"
)

// Blocks of 32 KiB hold some 250 rows of 100 bytes: large enough that their index
// is 1 % of them, small enough to read one key from a bucket.
const (
	blockBytes      = 32 << 10
	indexBlockBytes = 256 << 10
)

// table writes entries as one sorted table.
type table struct {
	form   Form
	layers Overlay
	w      *sstable.Writer
	plain  *writable
	frames *frame.Writer // nil: it is written to memory
	counts Counts
	closed bool

	key, value []byte // buffers of the versioned form
}

// writable lets the table writer write into frames or a buffer, which copy what they
// get.
type writable struct {
	to      io.Writer
	size    int64
	aborted bool
}

func (w *writable) Write(p []byte) error {
	if w.aborted {
		return errAborted
	}
	w.size += int64(len(p))
	_, err := w.to.Write(p)
	return err
}

func (w *writable) Finish() error { return nil }
func (w *writable) Abort()        {}

func newTable(frames *frame.Writer, form Form, layers Overlay) *table {
	t := newPlainTable(frames, form, layers)
	t.frames = frames
	return t
}

func newPlainTable(to io.Writer, form Form, layers Overlay) *table {
	plain := &writable{to: to}
	return &table{form: form, layers: layers, plain: plain, w: sstable.NewWriter(plain, sstable.WriterOptions{
		TableFormat:    sstable.TableFormatPebblev3,
		Comparer:       form.comparer(),
		MergerName:     "nullptr", // holds no merges, so that stores with any merger take it
		Compression:    block.NoCompression,
		BlockSize:      blockBytes,
		IndexBlockSize: indexBlockBytes,
		// Value blocks are held in memory until the table is finished.
		DisableValueBlocks: true,
	})}
}

// stored is about how large the table would be if it ended here: what lies in full
// frames as it is stored, the rest as it is.
func (t *table) stored() int64 {
	framed := t.plain.size - t.plain.size%frame.PlainSize
	return t.frames.Stored() + int64(t.w.Raw().EstimatedSize()) - framed
}

// point adds a Set or Delete, in order.
func (t *table) point(e *export.Entry) error {
	t.counts.Add(e)
	if t.form.Revisions {
		t.key, t.value = encodeRevision(t.key[:0], t.value[:0], e)
		return t.w.Set(t.key, t.value)
	}
	switch {
	case e.Kind == export.Delete:
		return t.w.Delete(e.Key)
	case t.layers == Above:
		return t.w.Raw().Add(pebble.MakeInternalKey(e.Key, 0, pebble.InternalKeyKindSetWithDelete), e.Value, false)
	}
	return t.w.Set(e.Key, e.Value)
}

// ranges adds all range kinds of the table, ordered by start.
func (t *table) ranges(held []export.Entry) error {
	var deletes []export.Span
	for i := range held {
		e := &held[i]
		t.counts.Add(e)
		if e.Kind == export.DeleteRange && !t.form.Revisions {
			deletes = t.join(deletes, export.Span{Start: e.Key, End: e.End})
			continue
		}
		if err := t.rangeKey(e); err != nil {
			return fmt.Errorf("%s [%q, %q): %w", e.Kind, e.Key, e.End, err)
		}
	}
	for _, d := range deletes {
		if err := t.w.DeleteRange(d.Start, d.End); err != nil {
			return fmt.Errorf("delete-range %s: %w", d, err)
		}
	}
	return nil
}

// join adds s to spans that ascend and neither touch nor overlap.
func (t *table) join(spans []export.Span, s export.Span) []export.Span {
	if n := len(spans); n > 0 {
		cmp := t.form.Order.WithDefaults().Compare
		if last := &spans[n-1]; cmp(s.Start, last.End) <= 0 {
			if cmp(s.End, last.End) > 0 {
				last.End = s.End
			}
			return spans
		}
	}
	return append(spans, s)
}

func (t *table) rangeKey(e *export.Entry) error {
	if t.form.Revisions {
		r := encodeRange(e)
		return t.w.RangeKeySet(r.start, r.end, r.suffix, r.value)
	}
	switch e.Kind {
	case export.RangeKeySet:
		return t.w.RangeKeySet(e.Key, e.End, e.Suffix, e.Value)
	case export.RangeKeyUnset:
		return t.w.RangeKeyUnset(e.Key, e.End, e.Suffix)
	case export.RangeKeyDelete:
		return t.w.RangeKeyDelete(e.Key, e.End)
	}
	return fmt.Errorf("kind %s is not one of a range key", e.Kind)
}

// finish completes the table and returns its smallest and largest key.
func (t *table) finish() (smallest, largest []byte, err error) {
	t.closed = true
	if err := t.w.Close(); err != nil {
		return nil, nil, err
	}
	m, err := t.w.Metadata()
	if err != nil {
		return nil, nil, err
	}
	var keys [][]byte
	for _, b := range []struct {
		has      bool
		from, to pebble.InternalKey
	}{
		{m.HasPointKeys, m.SmallestPoint, m.LargestPoint},
		{m.HasRangeDelKeys, m.SmallestRangeDel, m.LargestRangeDel},
		{m.HasRangeKeys, m.SmallestRangeKey, m.LargestRangeKey},
	} {
		if b.has {
			keys = append(keys, b.from.UserKey, b.to.UserKey)
		}
	}
	if len(keys) == 0 {
		return nil, nil, errors.New("table holds nothing")
	}
	if smallest, err = t.logical(slices.MinFunc(keys, t.form.comparer().Compare)); err != nil {
		return nil, nil, err
	}
	largest, err = t.logical(slices.MaxFunc(keys, t.form.comparer().Compare))
	return smallest, largest, err
}

// abort ends the goroutine of a table writer that was not finished. Its error is of
// no use: what it would still write goes nowhere.
func (t *table) abort() {
	t.plain.aborted = true
	if !t.closed {
		t.w.Close()
	}
}

// logical is a copy of the engine's key in a physical one.
func (t *table) logical(k []byte) (_ []byte, err error) {
	if t.form.Revisions {
		k, _, err = decodeKey(k)
	}
	return slices.Clone(k), err
}
