package pebblekv

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvekv/varve/export"
)

var _ export.Changes = (*diffCursor)(nil)

// diffCursor yields the changes after the base, stage by stage. It uses both
// states until it is closed.
type diffCursor struct {
	ctx    context.Context // of the call that opened it, which bounds it
	diff   *difference
	exact  bool
	stages []stage
	at     export.Changes // of the stage that is being read; nil between stages
	err    error
	closed bool
}

// newDiffCursor takes over one reference to each state. If exact is not set,
// it may yield writes that changed nothing, where it would cost a search to know.
func newDiffCursor(ctx context.Context, d *difference, req export.Request, exact bool) export.Changes {
	c := &diffCursor{ctx: ctx, diff: d, exact: exact, stages: d.stages(req.Span)}
	if req.Resume == nil {
		return c
	}
	return export.After(d.now.store.order, c, export.Position{Key: append([]byte{}, req.Resume.Key...)})
}

func (c *diffCursor) Next() bool {
	for c.err == nil && !c.closed {
		if c.at == nil && !c.open() {
			break
		}
		if c.at.Next() {
			return true
		}
		err := errors.Join(c.at.Err(), c.at.Close())
		c.at = nil
		c.fail(err)
	}
	return false
}

// open begins the next stage, and is false if there is none.
func (c *diffCursor) open() bool {
	if len(c.stages) == 0 {
		return false
	}
	next := c.stages[0]
	c.stages = c.stages[1:]
	err := c.ctx.Err()
	switch {
	case err != nil:
	case next.compare:
		c.at, err = c.diff.compare(c.ctx, next.span)
	default:
		var keys *candidates
		if keys, err = newCandidates(c.ctx, c.diff, next.span, c.exact); err == nil {
			c.at = keys
		}
	}
	c.fail(err)
	return err == nil
}

func (c *diffCursor) fail(err error) {
	if err != nil {
		c.err = fmt.Errorf("export changes: %w", err)
	}
}

// compare goes over all that is in span.
func (d *difference) compare(ctx context.Context, span export.Span) (export.Changes, error) {
	before, err := d.former.entries(ctx, span)
	if err != nil {
		return nil, d.lost(ctx, err)
	}
	now, err := d.now.entries(ctx, span)
	if err != nil {
		return nil, errors.Join(err, before.Close())
	}
	return export.Compare(d.now.store.order, &formerCursor{Cursor: before, ctx: ctx, diff: d}, now), nil
}

// formerCursor tells errors of the base from others.
type formerCursor struct {
	export.Cursor
	ctx  context.Context
	diff *difference
}

func (c *formerCursor) Err() error { return c.diff.lost(c.ctx, c.Cursor.Err()) }

func (c *diffCursor) Entry() *export.Entry {
	if c.at == nil {
		return new(export.Entry)
	}
	return c.at.Entry()
}

// Former implements export.Changes.
func (c *diffCursor) Former() *export.Entry {
	if c.at == nil {
		return nil
	}
	return c.at.Former()
}

func (c *diffCursor) Err() error { return c.err }

func (c *diffCursor) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	var err error
	if c.at != nil {
		err = c.at.Close()
		c.at = nil
	}
	if err := errors.Join(err, c.diff.former.release(), c.diff.now.release()); err != nil {
		return fmt.Errorf("close cursor: %w", err)
	}
	return nil
}
