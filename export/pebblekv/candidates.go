package pebblekv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/varvekv/varve/export"
)

// candidates goes over the keys that have a record in a table that only one of the
// checkpoints has, or that a log touches: where no range deletion and no range key
// differs, no other key can have changed. Most of them were only moved by a
// compaction, which shows in their records. Of the others, values are compared.
type candidates struct {
	ctx    context.Context
	diff   *difference
	exact  bool // yield real changes only, and what they replaced
	queue  runQueue
	logged [][]byte
	top    ceiling
	before lookup
	now    lookup

	begun bool
	key   []byte
	group []*run // those with a record of key
	steps int

	entry     export.Entry
	former    export.Entry
	hasFormer bool
	err       error
	closed    bool
}

func newCandidates(ctx context.Context, d *difference, span export.Span, exact bool) (*candidates, error) {
	c := &candidates{
		ctx: ctx, diff: d, exact: exact, logged: d.logged(span),
		queue:  runQueue{cmp: d.now.pebble.Comparer.Compare},
		top:    newCeiling(d, span),
		before: lookup{state: d.former, cmp: d.now.pebble.Comparer.Compare, span: span},
		now:    lookup{state: d.now, cmp: d.now.pebble.Comparer.Compare, span: span},
	}
	c.group = append(runs(d.in(d.before, span), false, span), runs(d.in(d.after, span), true, span)...)
	for i, r := range c.group {
		ok, err := r.next(ctx)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		if ok {
			c.queue.push(r)
		}
		c.group[i] = nil
	}
	c.group = c.group[:0]
	return c, nil
}

// Next implements export.Cursor.
func (c *candidates) Next() bool {
	for c.err == nil && !c.closed {
		if c.steps++; c.steps%checkEvery == 0 && c.ctx.Err() != nil {
			c.err = c.ctx.Err()
			break
		}
		more, err := c.nextKey()
		if err != nil {
			c.err = err
		}
		if err != nil || !more {
			break
		}
		changed, err := c.compare()
		if err != nil {
			c.err = fmt.Errorf("key %q: %w", c.key, err)
			break
		}
		if changed {
			return true
		}
	}
	c.entry, c.hasFormer = export.Entry{}, false
	return false
}

// nextKey moves on to the next key, with all runs that have a record of it.
func (c *candidates) nextKey() (bool, error) {
	cmp := c.queue.cmp
	for _, r := range c.group {
		for {
			ok, err := r.next(c.ctx)
			if err != nil {
				return false, err
			}
			if !ok {
				break
			}
			if cmp(r.record.key.UserKey, c.key) != 0 {
				c.queue.push(r)
				break
			}
		}
	}
	if c.begun && len(c.logged) > 0 && cmp(c.logged[0], c.key) <= 0 {
		c.logged = c.logged[1:]
	}
	c.begun = true
	c.group = c.group[:0]
	switch {
	case len(c.queue.runs) == 0 && len(c.logged) == 0:
		return false, nil
	case len(c.queue.runs) == 0, len(c.logged) > 0 && cmp(c.logged[0], c.queue.runs[0].record.key.UserKey) < 0:
		c.key = append(c.key[:0], c.logged[0]...)
		return true, nil
	}
	c.key = append(c.key[:0], c.queue.runs[0].record.key.UserKey...)
	for len(c.queue.runs) > 0 && cmp(c.queue.runs[0].record.key.UserKey, c.key) == 0 {
		c.group = append(c.group, c.queue.pop())
	}
	return true, nil
}

// newest is the newest record of the key in the tables of one checkpoint that the
// other one lacks, nil if there is none.
func (c *candidates) newest(late bool) *rawRecord {
	var newest *rawRecord
	for _, r := range c.group {
		if r.late == late && (newest == nil || r.record.key.Trailer > newest.key.Trailer) {
			newest = &r.record
		}
	}
	return newest
}

// compare reports whether the key has changed, and leaves the change in entry.
func (c *candidates) compare() (bool, error) {
	was, is := c.newest(false), c.newest(true)
	fromLog := len(c.logged) > 0 && c.queue.cmp(c.logged[0], c.key) == 0
	if fromLog { // which is newer than tables, and not read
		was, is = nil, nil
	}
	if was != nil && is != nil && was.equals(is) {
		return false, nil
	}
	value, live, known, err := c.value(is, &c.now)
	if err != nil {
		return false, err
	}
	c.entry = export.Entry{Kind: export.Delete, Key: c.key}
	if live {
		c.entry.Kind, c.entry.Value = export.Set, value
	}
	if known && was == nil && !c.exact { // it was written since, whatever it was before
		return true, nil
	}
	old, lived, _, err := c.value(was, &c.before)
	if err != nil {
		return false, c.diff.lost(c.ctx, err)
	}
	if c.hasFormer = lived; lived {
		c.former = export.Entry{Kind: export.Set, Key: c.key, Value: old}
	}
	return live != lived || live && !bytes.Equal(value, old), nil
}

// value is what a reader of one checkpoint finds at the key. It is known from the
// newest record, if that one decides and is newer than every record of a shared
// table can be.
func (c *candidates) value(newest *rawRecord, l *lookup) (value []byte, live, known bool, err error) {
	if newest != nil && newest.decides() && int64(newest.key.SeqNum()) > c.top.at(c.key) {
		return newest.value, newest.sets(), true, nil
	}
	value, live, err = l.get(c.key)
	return value, live, false, err
}

// Entry implements export.Cursor.
func (c *candidates) Entry() *export.Entry { return &c.entry }

// Former implements export.Changes.
func (c *candidates) Former() *export.Entry {
	if !c.hasFormer {
		return nil
	}
	return &c.former
}

// Err implements export.Cursor.
func (c *candidates) Err() error { return c.err }

// Close implements export.Cursor.
func (c *candidates) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	err := errors.Join(c.before.close(), c.now.close())
	for _, r := range append(c.queue.runs, c.group...) {
		if r != nil {
			err = errors.Join(err, r.close())
		}
	}
	return err
}

// ceiling is how new a record in a shared table can be, by key.
type ceiling struct {
	cmp    func(a, b []byte) int
	levels [][]*tableFile
}

func newCeiling(d *difference, span export.Span) ceiling {
	c := ceiling{cmp: d.now.pebble.Comparer.Compare}
	for _, tables := range d.shared {
		c.levels = append(c.levels, d.in(tables, span))
	}
	return c
}

// none is below every sequence number: no shared table can hold the key.
const none = math.MinInt64

// at is the largest sequence number that a shared table whose bounds hold key has.
// Keys ascend from call to call.
func (c *ceiling) at(key []byte) int64 {
	top := int64(none)
	for level, tables := range c.levels {
		for level > 0 && len(tables) > 0 && c.cmp(tables[0].Largest.UserKey, key) < 0 {
			tables = tables[1:]
		}
		c.levels[level] = tables
		for _, t := range tables {
			if c.cmp(key, t.Smallest.UserKey) < 0 {
				if level > 0 {
					break // those behind it begin later
				}
				continue
			}
			if c.cmp(key, t.Largest.UserKey) <= 0 {
				top = max(top, int64(t.LargestSeqNum))
			}
		}
	}
	return top
}
