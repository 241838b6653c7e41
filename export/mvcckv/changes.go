package mvcckv

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"

	"github.com/varvekv/varve/export"
)

var (
	_ export.Differ  = (*snapshot)(nil)
	_ export.Changes = (*changes)(nil)
)

// Changes implements [export.Differ]. What stood at a key is looked up for those alone
// that have changed, so that at most one more block is read for each of them. A value
// that was written again is a change, since it has another timestamp; a deletion of what
// was not there is none, but with Revisions it is yielded like every other version.
func (s *snapshot) Changes(ctx context.Context, req export.Request) (export.Changes, error) {
	c, err := s.changes(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("changes %s: %w", req.Span, err)
	}
	return c, nil
}

// changes opens both iterators before mu is let go of: nothing at Since is forgotten in
// between, and no lock is resolved.
func (s *snapshot) changes(ctx context.Context, req export.Request) (*changes, error) {
	db := s.store
	if err := db.begin(ctx); err != nil {
		return nil, err
	}
	defer db.mu.Unlock()
	in, err := s.open(ctx, req)
	if err != nil {
		return nil, err
	}
	c := &changes{cursor: in}
	if p := in.resume; p != nil && in.all && !p.Timestamp.IsZero() {
		c.key, c.begun = append(c.key, p.Key...), true
	}
	if c.before, err = db.iterate(ctx, req.Span, formerFilters(req.Since)); err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return c, nil
}

// formerFilters leave out blocks in which all is newer than since.
func formerFilters(since export.Timestamp) []pebble.BlockPropertyFilter {
	filters := make([]pebble.BlockPropertyFilter, 0, 2) // Pebble adds one
	return append(filters, cockroachkvs.NewMVCCTimeIntervalFilter(0, uint64(since.WallNanos)))
}

// changes are versions of a window, with what stood at their keys before it.
type changes struct {
	*cursor
	before *pebble.Iterator // nil once it is closed

	key    []byte // that of the last version, whose newest one was met
	begun  bool
	seek   []byte
	former export.Entry // its bytes are those of before; of no kind where nothing stood
}

// Next implements [export.Cursor].
func (c *changes) Next() bool {
	for c.cursor.Next() {
		if err := c.find(); err != nil {
			return c.fail(err)
		}
		if c.all || c.entry.Kind == export.Set || c.former.Kind != 0 {
			return true
		}
	}
	c.former = export.Entry{}
	return false
}

// find looks up what the entry replaced, if it is the newest version of its key.
func (c *changes) find() error {
	c.former = export.Entry{}
	if c.begun && string(c.key) == string(c.entry.Key) {
		return nil
	}
	c.key, c.begun = append(c.key[:0], c.entry.Key...), true
	if c.since.IsZero() {
		return nil
	}
	c.seek = versionKey(c.seek[:0], c.key, c.since)
	for ok := c.before.SeekPrefixGE(c.seek); ok; ok = c.before.Next() {
		if isData(c.before.Key()) {
			return c.take()
		}
	}
	return c.before.Error()
}

// take makes the version that before is at the former one, unless it is a deletion.
func (c *changes) take() error {
	_, at, err := splitVersion(c.before.Key())
	if err != nil {
		return err
	}
	stored, err := c.before.ValueAndErr()
	if err != nil {
		return err
	}
	kind, value, err := splitValue(stored)
	if err != nil {
		return fmt.Errorf("key %q: %w", c.key, err)
	}
	if kind == export.Set {
		c.former = export.Entry{Kind: kind, Key: c.key, Value: value, Timestamp: at}
	}
	return nil
}

// Former implements [export.Changes].
func (c *changes) Former() *export.Entry {
	if c.former.Kind == 0 {
		return nil
	}
	return &c.former
}

// Close implements [export.Cursor].
func (c *changes) Close() error {
	if c.before == nil {
		return nil
	}
	failed := c.err != nil
	err := errors.Join(c.cursor.Close(), c.before.Close())
	c.before, c.former = nil, export.Entry{}
	if failed {
		return nil // the iterators repeat what Err has said
	}
	return err
}
