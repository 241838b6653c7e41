package memkv

import (
	"context"
	"fmt"

	"github.com/varvekv/varve/export"
)

// cursor implements [export.Cursor]. The bytes of its entry are one buffer, which
// it overwrites before it moves on.
type cursor struct {
	ctx      context.Context
	snapshot *snapshot
	span     export.Span
	in       *stream
	locks    []lock // to be met
	entry    export.Entry
	buffer   []byte
	err      error
	closed   bool
}

// Next implements [export.Cursor].
func (c *cursor) Next() bool {
	c.spoil()
	if c.closed || c.err != nil {
		return false
	}
	if err := c.snapshot.usable(c.ctx); err != nil {
		return c.fail(err)
	}
	e, ok := c.in.peek()
	if len(c.locks) > 0 && (!ok || c.in.order.Compare(c.locks[0].key, e.Key) <= 0) {
		l := c.locks[0]
		return c.fail(&export.LockedError{Span: c.span, Key: l.key, Holder: l.holder})
	}
	if e, ok = c.in.next(); ok {
		c.take(&e)
	}
	return ok
}

func (c *cursor) fail(err error) bool {
	c.err = fmt.Errorf("export %s: %w", c.span, err)
	return false
}

// spoil makes what a caller kept against the contract unreadable.
func (c *cursor) spoil() {
	for i := range c.buffer {
		c.buffer[i] = 0xcc
	}
	c.entry = export.Entry{}
}

// take copies e into the buffer.
func (c *cursor) take(e *export.Entry) {
	if size := int(e.Size()); cap(c.buffer) < size {
		c.buffer = make([]byte, 0, 2*size)
	}
	c.buffer = c.buffer[:0]
	c.entry = export.Entry{
		Kind: e.Kind, Timestamp: e.Timestamp,
		Key: c.copy(e.Key), End: c.copy(e.End), Suffix: c.copy(e.Suffix), Value: c.copy(e.Value),
	}
}

func (c *cursor) copy(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	from := len(c.buffer)
	c.buffer = append(c.buffer, b...)
	return c.buffer[from:len(c.buffer):len(c.buffer)]
}

// Entry implements [export.Cursor].
func (c *cursor) Entry() *export.Entry { return &c.entry }

// Err implements [export.Cursor].
func (c *cursor) Err() error { return c.err }

// Close implements [export.Cursor].
func (c *cursor) Close() error {
	c.spoil()
	c.closed = true
	return nil
}
