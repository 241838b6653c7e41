package export

import (
	"bytes"
	"errors"
	"slices"
)

// Compare is the cursor over the changes that make the state of now out of that of
// before: for adapters that can show both and know no shorter way. Both must be
// cursors of the state of one span; they are closed with the result.
//
// Changes are exact; where entries have timestamps, another one is a change. Runs of
// keys that are gone come as DeleteRange entries, each with its Deletes. Range keys are
// compared suffix by suffix, wherever the states cut them.
func Compare(order *Order, before, now Cursor) Changes {
	return &comparison{order: order.WithDefaults(), before: side{cursor: before}, now: side{cursor: now}}
}

// A run of keys that are gone becomes a DeleteRange if it has minRun of them. So
// many of them, and so many bytes, are held in memory.
const (
	minRun      = 8
	maxRun      = 1024
	maxRunBytes = 256 << 10
)

// comparison sweeps over both states. At each key it looks at the range keys that
// begin there, or of which something is left to compare from there on, and then at
// the points.
type comparison struct {
	order       *Order
	before, now side
	begun       bool
	key         []byte // where it is

	ready   []change // to be yielded, with bytes of their own
	point   change   // then this one, with bytes of the cursors
	current change
	err     error
}

// change is an entry and what it replaces. A zero Kind stands for nothing.
type change struct{ entry, former Entry }

// side is one of the two states.
type side struct {
	cursor Cursor
	head   *Entry  // the entry ahead; nil at the end
	used   bool    // head was yielded: the cursor moves on before the next look
	open   []Entry // range keys that were met, from where they are not compared yet
}

func (s *side) advance() error {
	s.head, s.used = nil, false
	if s.cursor.Next() {
		s.head = s.cursor.Entry()
		return nil
	}
	return s.cursor.Err()
}

// nearer is the smaller of key and the next one at which the side has something.
func (s *side) nearer(order *Order, key []byte, known bool) ([]byte, bool) {
	if s.head != nil && (!known || order.Compare(s.head.Key, key) < 0) {
		key, known = s.head.Key, true
	}
	for i := range s.open {
		if !known || order.Compare(s.open[i].Key, key) < 0 {
			key, known = s.open[i].Key, true
		}
	}
	return key, known
}

// absorb takes up the range keys that begin at key.
func (s *side) absorb(order *Order, key []byte) error {
	for s.head != nil && s.head.Kind.IsRange() && order.Compare(s.head.Key, key) == 0 {
		s.open = append(s.open, s.head.Clone())
		if err := s.advance(); err != nil {
			return err
		}
	}
	return nil
}

func (s *side) hasPoint(order *Order, key []byte) bool {
	return s.head != nil && !s.head.Kind.IsRange() && order.Compare(s.head.Key, key) == 0
}

// find is the place of the range key of a suffix that is to be compared from key on.
func (s *side) find(order *Order, key, suffix []byte) int {
	return slices.IndexFunc(s.open, func(e Entry) bool {
		return bytes.Equal(e.Suffix, suffix) && order.Compare(e.Key, key) == 0
	})
}

// cut leaves of the i-th range key what lies at and after key.
func (s *side) cut(order *Order, i int, key []byte) {
	if order.Compare(key, s.open[i].End) >= 0 {
		s.open = slices.Delete(s.open, i, i+1)
		return
	}
	s.open[i].Key = key
}

// Next implements [Cursor].
func (c *comparison) Next() bool {
	for c.err == nil && c.before.cursor != nil {
		switch {
		case len(c.ready) > 0:
			c.current, c.ready = c.ready[0], c.ready[1:]
			return true
		case c.point.entry.Kind != 0:
			c.current, c.point = c.point, change{}
			return true
		}
		more, err := c.step()
		if err != nil {
			c.err = err
		}
		if !more {
			break
		}
	}
	c.current = change{}
	return false
}

// step compares at the next key, and is false at the end of both states.
func (c *comparison) step() (bool, error) {
	for _, s := range []*side{&c.before, &c.now} {
		if s.used || !c.begun {
			if err := s.advance(); err != nil {
				return false, err
			}
		}
	}
	c.begun = true
	key, ok := c.before.nearer(c.order, nil, false)
	if key, ok = c.now.nearer(c.order, key, ok); !ok {
		return false, nil
	}
	c.key = append(c.key[:0], key...)
	if err := errors.Join(c.before.absorb(c.order, c.key), c.now.absorb(c.order, c.key)); err != nil {
		return false, err
	}
	c.ranges(c.key)
	return true, c.points(c.key)
}

// ranges compares the range keys from key on, as far as they reach.
func (c *comparison) ranges(key []byte) {
	for i := 0; i < len(c.before.open); {
		b := c.before.open[i]
		if c.order.Compare(b.Key, key) != 0 {
			i++
			continue
		}
		j := c.now.find(c.order, key, b.Suffix)
		if j < 0 {
			c.before.cut(c.order, i, b.End)
			c.ready = append(c.ready, change{
				entry:  Entry{Kind: RangeKeyUnset, Key: b.Key, End: b.End, Suffix: b.Suffix},
				former: b,
			})
			continue
		}
		n := c.now.open[j]
		if c.order.Compare(b.End, n.End) > 0 {
			b.End = n.End
		}
		n.End = b.End
		if !unchanged(&b, &n) {
			c.ready = append(c.ready, change{entry: n, former: b})
		}
		c.before.cut(c.order, i, b.End)
		c.now.cut(c.order, j, b.End)
	}
	c.now.open = slices.DeleteFunc(c.now.open, func(n Entry) bool {
		begins := c.order.Compare(n.Key, key) == 0
		if begins {
			c.ready = append(c.ready, change{entry: n})
		}
		return begins
	})
}

// points compares the points at key.
func (c *comparison) points(key []byte) error {
	before, now := c.before.hasPoint(c.order, key), c.now.hasPoint(c.order, key)
	if before && !now {
		return c.run()
	}
	c.before.used, c.now.used = before, now
	switch {
	case !now, before && unchanged(c.before.head, c.now.head):
	case before:
		c.point = change{entry: *c.now.head, former: *c.before.head}
	default:
		c.point = change{entry: *c.now.head}
	}
	return nil
}

// unchanged reports whether what stands at one place is the same revision.
func unchanged(before, now *Entry) bool {
	return before.Timestamp == now.Timestamp && bytes.Equal(before.Value, now.Value)
}

// run gathers keys that are gone, up to one at which there is something else. A
// run that is cut off by its size goes on with the next one, and their ranges touch.
func (c *comparison) run() error {
	var run []change
	size, within := int64(0), true
	for within && len(run) < maxRun && size < maxRunBytes {
		former := c.before.head.Clone()
		size += former.Size()
		run = append(run, change{entry: Entry{Kind: Delete, Key: former.Key}, former: former})
		if err := c.before.advance(); err != nil {
			return err
		}
		within = c.runsOn()
	}
	if len(run) >= minRun {
		end := run[len(run)-1].entry.Key
		if within {
			end = slices.Clone(c.before.head.Key)
		}
		c.ready = append(c.ready, change{entry: Entry{Kind: DeleteRange, Key: run[0].entry.Key, End: end}})
	}
	c.ready = append(c.ready, run...)
	return nil
}

// runsOn reports whether the next thing there is, is a point that is gone.
func (c *comparison) runsOn() bool {
	head := c.before.head
	if head == nil || head.Kind.IsRange() {
		return false
	}
	next, ok := c.now.nearer(c.order, nil, false)
	if ok && c.order.Compare(next, head.Key) <= 0 {
		return false
	}
	return !slices.ContainsFunc(c.before.open, func(e Entry) bool { return c.order.Compare(e.Key, head.Key) <= 0 })
}

// Entry implements [Cursor].
func (c *comparison) Entry() *Entry { return &c.current.entry }

// Former implements [Changes].
func (c *comparison) Former() *Entry {
	if c.current.former.Kind == 0 {
		return nil
	}
	return &c.current.former
}

// Err implements [Cursor].
func (c *comparison) Err() error { return c.err }

// Close implements [Cursor].
func (c *comparison) Close() error {
	if c.before.cursor == nil {
		return nil
	}
	err := errors.Join(c.before.cursor.Close(), c.now.cursor.Close())
	c.before, c.now = side{}, side{}
	return err
}
