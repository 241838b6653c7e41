package merge

import (
	"errors"
	"slices"

	"github.com/varvekv/varve/export"
)

// Level is one level of a merge, and is the merge's to close.
type Level struct {
	Points export.Cursor  // Set and Delete
	Ranges []export.Entry // range kinds, by start
}

// Output says what a merge yields.
type Output int

const (
	// State is what a reader sees: Set and RangeKeySet only.
	State Output = iota
	// Changes keeps deletions, so that the result can lie over older levels.
	Changes
	// History keeps every revision, so that what the levels amount to as of any moment is
	// what the result does. Levels must not have ranges of one timestamp that overlap.
	History
)

// Options say what to merge to what. The zero value yields the newest state of
// all keys in bytewise order.
type Options struct {
	Order  *export.Order
	Span   export.Span      // nothing outside it is yielded; ranges are cut at it
	AsOf   export.Timestamp // revisions after it do not count; zero: all count
	Output Output
}

// age orders entries of one key.
type age struct {
	time  export.Timestamp
	level int
}

func (a age) compare(b age) int {
	if c := a.time.Compare(b.time); c != 0 {
		return c
	}
	return a.level - b.level
}

// Cursor is the merge as one cursor, whose order is that of export.Cursor.
type Cursor struct {
	opts    Options
	order   *export.Order
	inputs  queue
	all     []export.Cursor
	deletes []rangeDelete  // ahead, by start
	covers  []rangeDelete  // begun, and not known to have ended
	ranges  []export.Entry // ahead, by start

	key    []byte // of the point last dealt with
	time   export.Timestamp
	point  *input // yields the point ahead; nil: none
	opened bool
	entry  *export.Entry
	err    error
}

// New merges levels, the lowest first.
func New(levels []Level, opts Options) *Cursor {
	c := &Cursor{opts: opts, order: opts.Order.WithDefaults()}
	c.inputs.compare = c.order.Compare
	var ranges []aged
	for i, l := range levels {
		if l.Points != nil {
			c.all = append(c.all, l.Points)
			c.inputs.inputs = append(c.inputs.inputs, &input{cursor: l.Points, level: i})
		}
		for _, e := range l.Ranges {
			if c.counts(e.Timestamp) {
				ranges = append(ranges, aged{age: age{time: e.Timestamp, level: i}, entry: e})
			}
		}
	}
	c.deletes = rangeDeletes(ranges, c.order)
	c.ranges = mergeRanges(ranges, c.order, opts)
	return c
}

func (c *Cursor) counts(t export.Timestamp) bool {
	return c.opts.AsOf.IsZero() || t.Compare(c.opts.AsOf) <= 0
}

// Next implements export.Cursor.
func (c *Cursor) Next() bool {
	if c.err != nil {
		return false
	}
	if c.err = c.advance(); c.err != nil {
		c.entry = nil
	}
	return c.entry != nil
}

func (c *Cursor) advance() error {
	if !c.opened || c.point != nil && c.entry == c.point.entry {
		if err := c.nextPoint(); err != nil {
			return err
		}
	}
	c.entry = nil
	switch {
	case len(c.ranges) > 0 && (c.point == nil || c.order.Compare(c.ranges[0].Key, c.point.entry.Key) <= 0):
		c.entry, c.ranges = &c.ranges[0], c.ranges[1:]
	case c.point != nil:
		c.entry = c.point.entry
	}
	return nil
}

// nextPoint finds the next key of which a point is to be yielded.
func (c *Cursor) nextPoint() error {
	for {
		if err := c.passKey(); err != nil {
			return err
		}
		if c.point = c.inputs.first(); c.point == nil {
			return nil
		}
		c.key = append(c.key[:0], c.point.entry.Key...)
		if err := c.youngest(); err != nil {
			return err
		}
		if c.point == nil {
			continue
		}
		if c.time = c.point.entry.Timestamp; c.yields(c.point) {
			return nil
		}
	}
}

// passKey moves every input past the key that was dealt with last, or if all revisions
// are kept, past that one.
func (c *Cursor) passKey() error {
	if !c.opened {
		c.opened = true
		return c.inputs.open()
	}
	for in := c.inputs.first(); in != nil && c.passes(in.entry); in = c.inputs.first() {
		if err := c.inputs.advance(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cursor) passes(e *export.Entry) bool {
	return c.order.Compare(e.Key, c.key) == 0 && (c.opts.Output != History || e.Timestamp == c.time)
}

// youngest leaves in point the input that holds the youngest revision of the key
// that counts, nil if none does. Inputs with younger ones are moved past them.
func (c *Cursor) youngest() error {
	for !c.counts(c.point.entry.Timestamp) {
		if err := c.inputs.advance(); err != nil {
			return err
		}
		in := c.inputs.first()
		if in == nil || c.order.Compare(in.entry.Key, c.key) != 0 {
			c.point = nil
			return nil
		}
		c.point = in
	}
	return nil
}

func (c *Cursor) yields(in *input) bool {
	e := in.entry
	if !c.opts.Span.Contains(c.order, e.Key) || e.Kind == export.Delete && c.opts.Output == State {
		return false
	}
	return c.opts.Output == History || !c.deleted(e.Key, age{time: e.Timestamp, level: in.level})
}

// deleted reports whether a younger range deletion covers key. Keys ascend from
// call to call.
func (c *Cursor) deleted(key []byte, own age) bool {
	for len(c.deletes) > 0 && c.order.Compare(c.deletes[0].span.Start, key) <= 0 {
		c.covers, c.deletes = append(c.covers, c.deletes[0]), c.deletes[1:]
	}
	c.covers = slices.DeleteFunc(c.covers, func(d rangeDelete) bool { return c.order.Compare(d.span.End, key) <= 0 })
	return slices.ContainsFunc(c.covers, func(d rangeDelete) bool { return d.age.compare(own) > 0 })
}

// Entry implements export.Cursor.
func (c *Cursor) Entry() *export.Entry { return c.entry }

// Err implements export.Cursor.
func (c *Cursor) Err() error { return c.err }

// Close closes the cursors of all levels.
func (c *Cursor) Close() error {
	var err error
	for _, in := range c.all {
		err = errors.Join(err, in.Close())
	}
	c.all, c.entry = nil, nil
	return err
}
