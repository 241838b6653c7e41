package pebblekv

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

// state is what a difference leads from, or to: what a reader finds.
type state interface {
	// points opens an iterator over the points of span.
	points(span export.Span) (pointIterator, error)
	// entries opens a cursor over all of span.
	entries(ctx context.Context, span export.Span) (export.Cursor, error)
	// release gives up what was taken for the difference.
	release() error
}

// pointIterator is the part of a *pebble.Iterator that finds values.
type pointIterator interface {
	SeekGE(key []byte) bool
	Next() bool
	Key() []byte
	ValueAndErr() ([]byte, error)
	Error() error
	Close() error
}

var _ state = (*checkpoint)(nil)

func (c *checkpoint) points(span export.Span) (pointIterator, error) {
	return c.db.NewIter(&pebble.IterOptions{LowerBound: bound(span.Start), UpperBound: bound(span.End)})
}

func (c *checkpoint) entries(ctx context.Context, span export.Span) (export.Cursor, error) {
	c.refs.Add(1)
	cur, err := newCursor(ctx, c, export.Request{Span: span})
	if err != nil {
		return nil, errors.Join(err, c.release())
	}
	return cur, nil
}
