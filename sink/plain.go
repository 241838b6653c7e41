package sink

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/varvekv/varve/export"
)

// PlainTable is a table as a store ingests it, held in memory.
type PlainTable struct {
	Span   export.Span // holds every key of the table
	Bytes  int64       // as it is ingested, in TableFormat
	Counts Counts
	plain  *pages
}

// WriteTo writes the table to w. It must be called before the writer goes on: the next
// table is built in the place of this one.
func (t PlainTable) WriteTo(w io.Writer) (int64, error) { return t.plain.WriteTo(w) }

// PlainWriter turns the entries of one span into tables in memory, which do not
// overlap: what several levels have merged to, for a store that takes tables. Their
// sets may come to lie on older values. It is used by one goroutine. Exactly one of
// Finish and Abort takes effect.
type PlainWriter struct {
	form  Form
	ord   *export.Order
	limit int64
	done  func(PlainTable) error

	span  export.Span // what is left of the writer's
	plain pages
	table *table         // nil between tables
	held  []export.Entry // ranges that the current table has yet to write, by start
	last  []byte
	err   error // for good
}

// NewPlainWriter makes a writer of span that ends a table after about limit bytes,
// and hands each to done as soon as it is finished.
func NewPlainWriter(form Form, span export.Span, limit int64, done func(PlainTable) error) *PlainWriter {
	return &PlainWriter{form: form, ord: form.Order.WithDefaults(), limit: limit, done: done, span: span.Clone()}
}

// Add writes the next entry, in the order of an export.Cursor, and keeps no reference
// to it. After an error there is nothing but Abort.
func (w *PlainWriter) Add(e *export.Entry) error {
	if w.err == nil {
		w.err = w.add(e)
	}
	return w.err
}

func (w *PlainWriter) add(e *export.Entry) error {
	prefix := e.Key[:w.ord.Split(e.Key)]
	if w.table != nil && w.size() >= w.limit && !bytes.Equal(prefix, w.last[:w.ord.Split(w.last)]) {
		if err := w.end(slices.Clone(prefix)); err != nil {
			return err
		}
	}
	w.begin()
	w.last = append(w.last[:0], e.Key...)
	if e.Kind.IsRange() {
		w.held = append(w.held, e.Clone())
		return nil
	}
	if err := w.table.point(e); err != nil {
		return fmt.Errorf("%s %q: %w", e.Kind, e.Key, err)
	}
	return nil
}

func (w *PlainWriter) begin() {
	if w.table == nil {
		w.plain.reset()
		w.table = newPlainTable(&w.plain, w.form, Above)
	}
}

// size is about how large the table would be if it ended here.
func (w *PlainWriter) size() int64 {
	size := int64(w.table.w.Raw().EstimatedSize())
	for i := range w.held {
		size += w.held[i].Size()
	}
	return size
}

// end finishes the table before the key at, empty meaning the end of the span, and
// carries ranges that go on over into the next one.
func (w *PlainWriter) end(at []byte) error {
	here, rest := splitRanges(w.ord, w.held, at)
	t := w.table
	if err := t.ranges(here); err != nil {
		return err
	}
	w.table = nil
	if _, _, err := t.finish(); err != nil {
		return fmt.Errorf("finish table: %w", err)
	}
	span := export.Span{Start: w.span.Start, End: at}
	w.held, w.span.Start = rest, at
	if err := w.done(PlainTable{Span: span, Bytes: w.plain.size, Counts: t.counts, plain: &w.plain}); err != nil {
		return err
	}
	if len(rest) > 0 {
		w.begin()
	}
	return nil
}

// splitRanges parts ranges at a key; without one all of them are here.
func splitRanges(order *export.Order, ranges []export.Entry, at []byte) (here, rest []export.Entry) {
	for _, e := range ranges {
		if order.CompareEnds(e.End, at) <= 0 {
			here = append(here, e)
			continue
		}
		if order.Compare(e.Key, at) < 0 {
			first := e
			first.End = at
			here = append(here, first)
			e.Key = at
		}
		rest = append(rest, e)
	}
	return here, rest
}

// Finish ends the last table.
func (w *PlainWriter) Finish() error {
	if w.err != nil {
		return w.err
	}
	if w.table != nil {
		w.err = w.end(w.span.End)
	}
	if w.err == nil {
		w.err = errFinished
		return nil
	}
	return w.err
}

// Abort ends the writer. The table that it was in is not handed out.
func (w *PlainWriter) Abort() {
	if w.table != nil {
		w.table.abort()
		w.table = nil
	}
	if w.err == nil {
		w.err = errAborted
	}
}
