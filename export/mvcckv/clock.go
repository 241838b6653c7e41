package mvcckv

import (
	"time"

	"github.com/varvekv/varve/export"
)

// lead is how far ahead of what was given out the clock's bound is made durable: the
// longer, the fewer writes it costs, and the further a store that crashed may start
// ahead of the wall clock.
const lead = time.Second

// clock is a hybrid logical clock: wall nanoseconds, and where these do not advance a
// counter. It never goes back, whatever the wall clock does, and not over a restart
// either: nothing is given out that is not below a durable bound, and the next
// process begins at that bound. All of it is guarded by the store's mu.
type clock struct {
	wall  func() time.Time
	last  export.Timestamp // the newest given out
	bound int64            // wall nanoseconds that all given out stays below
	raise func(bound int64) error
}

// present is a timestamp to read at: none given out is after it, and what is written
// from here on will be.
func (c *clock) present() (export.Timestamp, error) { return c.give(later(c.now(), c.last)) }

// tick is a timestamp to write at, after every other that was given out.
func (c *clock) tick() (export.Timestamp, error) { return c.give(later(c.now(), c.last.Next())) }

// now is the wall clock's first position of this nanosecond, which is in the range of
// versions.
func (c *clock) now() export.Timestamp {
	return later(export.At(c.wall()), export.Timestamp{WallNanos: 1})
}

func (c *clock) give(t export.Timestamp) (export.Timestamp, error) {
	if t.WallNanos >= c.bound {
		bound := t.WallNanos + int64(lead)
		if err := c.raise(bound); err != nil {
			return export.Timestamp{}, err
		}
		c.bound = bound
	}
	c.last = t
	return t, nil
}

// begin starts the clock of a process where that of the one before may have ended.
func (c *clock) begin(bound int64) {
	c.bound, c.last = bound, export.Timestamp{WallNanos: bound}
}

func later(t, u export.Timestamp) export.Timestamp {
	if t.Compare(u) < 0 {
		return u
	}
	return t
}

func earlier(t, u export.Timestamp) export.Timestamp {
	if t.Compare(u) < 0 {
		return t
	}
	return u
}
