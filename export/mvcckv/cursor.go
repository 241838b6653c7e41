package mvcckv

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

// checkEvery is how many versions a cursor passes between looks at its context.
const checkEvery = 256

var _ export.Cursor = (*cursor)(nil)

// cursor yields versions out of a window of time. Its entries alias the iterator's
// bytes: nothing is copied and nothing allocated for an entry.
type cursor struct {
	ctx    context.Context
	it     *pebble.Iterator // nil once it is closed
	span   export.Span
	seen   visible
	since  export.Timestamp
	all    bool                // every version of a key, else the newest
	resume *export.Position    // nil once it was passed
	locked *export.LockedError // met at the end

	placed bool
	done   bool // with the key that the iterator is at
	steps  int
	entry  export.Entry
	err    error
}

// Next implements [export.Cursor].
func (c *cursor) Next() bool {
	for c.err == nil && c.it != nil {
		if c.steps%checkEvery == 0 {
			if err := c.ctx.Err(); err != nil {
				return c.fail(err)
			}
		}
		c.steps++
		if !c.move() {
			return c.end()
		}
		found, err := c.look()
		if err != nil {
			return c.fail(err)
		}
		if found {
			return true
		}
	}
	return false
}

func (c *cursor) fail(err error) bool {
	c.err = fmt.Errorf("read %s: %w", c.span, err)
	return false
}

func (c *cursor) end() bool {
	if err := c.it.Error(); err != nil {
		return c.fail(err)
	}
	if c.locked != nil {
		return c.fail(c.locked)
	}
	return false
}

func (c *cursor) move() bool {
	switch {
	case !c.placed && c.resume != nil:
		c.placed = true
		return c.it.SeekGE(c.start())
	case !c.placed:
		c.placed = true
		return c.it.First()
	case c.done:
		c.done = false
		return c.it.NextPrefix()
	}
	return c.it.Next()
}

// start is where to go on after a position: at its version, which is passed, or at
// the next key.
func (c *cursor) start() []byte {
	p := c.resume
	if !c.all || p.Timestamp.IsZero() {
		c.resume = nil
		return bareKey(nextKey(p.Key))
	}
	return versionKey(nil, p.Key, p.Timestamp)
}

// look makes the version that the iterator is at the entry, if it is asked for.
func (c *cursor) look() (bool, error) {
	if !isData(c.it.Key()) {
		return false, nil
	}
	key, at, err := splitVersion(c.it.Key())
	if err != nil {
		return false, err
	}
	if p := c.resume; p != nil {
		c.resume = nil
		if at == p.Timestamp && string(key) == string(p.Key) {
			return false, nil
		}
	}
	if at.Compare(c.since) <= 0 {
		c.done = true // what follows of the key is older
		return false, nil
	}
	if !c.seen.has(at) {
		return false, nil
	}
	c.done = !c.all
	stored, err := c.it.ValueAndErr()
	if err != nil {
		return false, err
	}
	kind, value, err := splitValue(stored)
	if err != nil {
		return false, fmt.Errorf("key %q: %w", key, err)
	}
	c.entry = export.Entry{Kind: kind, Key: key, Value: value, Timestamp: at}
	return kind == export.Set || c.all || !c.since.IsZero(), nil
}

// Entry implements [export.Cursor].
func (c *cursor) Entry() *export.Entry { return &c.entry }

// Err implements [export.Cursor].
func (c *cursor) Err() error { return c.err }

// Close implements [export.Cursor].
func (c *cursor) Close() error {
	if c.it == nil {
		return nil
	}
	err := c.it.Close()
	c.it = nil
	if c.err != nil {
		return nil // the iterator repeats what Err has said
	}
	return err
}
