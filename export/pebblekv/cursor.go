package pebblekv

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

// checkEvery is how many entries a cursor yields between looks at its context.
const checkEvery = 256

var _ export.Cursor = (*cursor)(nil)

// cursor yields what a reader of the checkpoint sees. Its entries alias the
// iterator's bytes: nothing is copied and nothing allocated for an entry.
type cursor struct {
	ctx        context.Context // of the Export call, which bounds the cursor
	checkpoint *checkpoint
	it         *pebble.Iterator
	cmp        func(a, b []byte) int

	resume []byte // entries up to this key have been passed; nil once beyond it
	placed bool   // the iterator has its first position
	steps  int

	ranges []pebble.RangeKeyData // still to be yielded at this position
	point  bool                  // then its point

	entry export.Entry
	err   error
}

func newCursor(ctx context.Context, c *checkpoint, req export.Request) (*cursor, error) {
	it, err := c.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: bound(req.Span.Start),
		UpperBound: bound(req.Span.End),
		KeyTypes:   pebble.IterKeyTypePointsAndRanges,
	})
	if err != nil {
		return nil, err
	}
	cur := &cursor{ctx: ctx, checkpoint: c, it: it, cmp: c.pebble.Comparer.Compare}
	if req.Resume != nil {
		cur.resume = append([]byte{}, req.Resume.Key...)
	}
	return cur, nil
}

// bound is an iterator bound: Pebble tells none from empty, spans do not. It is
// copied, for an iterator keeps it.
func bound(key []byte) []byte {
	if len(key) == 0 {
		return nil
	}
	return append([]byte(nil), key...)
}

func (c *cursor) Entry() *export.Entry { return &c.entry }

func (c *cursor) Err() error { return c.err }

func (c *cursor) Next() bool {
	for {
		if len(c.ranges) > 0 {
			c.takeRange()
			return true
		}
		if c.point {
			return c.takePoint()
		}
		if !c.step() {
			return false
		}
	}
}

// step moves the iterator and notes what is to be yielded at its new position.
func (c *cursor) step() bool {
	if c.err != nil || c.it == nil {
		return false
	}
	if c.steps%checkEvery == 0 {
		if err := c.ctx.Err(); err != nil {
			c.err = fmt.Errorf("export: %w", err)
			return false
		}
	}
	c.steps++
	if !c.move() {
		if err := c.it.Error(); err != nil {
			c.err = fmt.Errorf("export: %w", err)
		}
		return false
	}
	if c.it.RangeKeyChanged() {
		c.point, _ = c.it.HasPointAndRange()
		c.ranges = c.it.RangeKeys()
	} else {
		c.point = true
	}
	if c.resume != nil {
		c.pass()
	}
	return true
}

func (c *cursor) move() bool {
	if c.placed {
		return c.it.Next()
	}
	c.placed = true
	if c.resume != nil {
		return c.it.SeekGE(c.resume)
	}
	return c.it.First()
}

// pass drops what a former cursor has yielded: ranges that start at or before
// the key to resume after, and the point at it.
func (c *cursor) pass() {
	if len(c.ranges) > 0 {
		if start, _ := c.it.RangeBounds(); c.cmp(start, c.resume) <= 0 {
			c.ranges = nil
		}
	}
	if c.cmp(c.it.Key(), c.resume) <= 0 {
		c.point = false
		return
	}
	c.resume = nil
}

// takeRange makes the next range key the entry. Bounds are the same for all at
// one position.
func (c *cursor) takeRange() {
	start, end := c.it.RangeBounds()
	r := &c.ranges[0]
	c.ranges = c.ranges[1:]
	c.entry = export.Entry{Kind: export.RangeKeySet, Key: start, End: end, Suffix: r.Suffix, Value: r.Value}
}

func (c *cursor) takePoint() bool {
	c.point = false
	value, err := c.it.ValueAndErr()
	if err != nil {
		c.err = fmt.Errorf("export: %w", err)
		return false
	}
	e := &c.entry
	e.Key, e.Value = c.it.Key(), value
	if e.Kind != export.Set { // a range came before
		e.Kind, e.End, e.Suffix = export.Set, nil, nil
	}
	return true
}

func (c *cursor) Close() error {
	if c.it == nil {
		return nil
	}
	err := c.it.Close()
	if c.err != nil {
		err = nil // the iterator repeats what Err has said
	}
	c.it, c.ranges, c.point = nil, nil, false
	if err := errors.Join(err, c.checkpoint.release()); err != nil {
		return fmt.Errorf("close cursor: %w", err)
	}
	return nil
}
