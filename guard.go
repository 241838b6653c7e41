package varve

import (
	"fmt"

	"github.com/varvekv/varve/export"
)

// guard watches a store's cursor keep the contract where a breach would write a
// layer that is not the state of span: keys must ascend, lie in span, and come
// once, and only what a state consists of may come.
func guard(c export.Cursor, order *export.Order, span Span) export.Cursor {
	return &guarded{Cursor: c, order: order.WithDefaults(), span: span}
}

// guardChanges does so for changes, which are of every kind.
func guardChanges(c export.Cursor, order *export.Order, span Span) export.Cursor {
	return &guarded{Cursor: c, order: order.WithDefaults(), span: span, changes: true}
}

// guard watches what the run has asked a store for. Revisions must lie between the two
// moments; where all are asked for, those of a key go from the newest to the oldest.
func (r *run) guard(c export.Cursor, req export.Request) export.Cursor {
	g := &guarded{Cursor: c, order: r.info.Order.WithDefaults(), span: req.Span}
	g.changes, g.all = req.Revisions || !req.Since.IsZero(), req.Revisions
	if r.info.Revisions {
		g.since, g.until = req.Since, r.layer.End
	}
	return g
}

type guarded struct {
	export.Cursor
	order   *export.Order
	span    Span
	changes bool
	all     bool // every revision of a key may come

	since, until Timestamp // where revisions lie; no until: there are none

	begun bool
	last  export.Entry // Kind, Key and Timestamp of the entry before
	err   error
}

func (g *guarded) Next() bool {
	if g.err != nil || !g.Cursor.Next() {
		return false
	}
	e := g.Entry()
	if err := g.check(e); err != nil {
		g.err = fmt.Errorf("store broke its contract: %s %q: %w", e.Kind, e.Key, err)
		return false
	}
	g.last.Kind, g.last.Timestamp = e.Kind, e.Timestamp
	g.last.Key = append(g.last.Key[:0], e.Key...)
	g.begun = true
	return true
}

func (g *guarded) check(e *export.Entry) error {
	switch {
	case !g.changes && e.Kind != export.Set && e.Kind != export.RangeKeySet, e.Kind < export.Set, e.Kind > export.RangeKeyDelete:
		return fmt.Errorf("is not part of a state")
	case len(g.span.End) > 0 && g.order.Compare(e.Key, g.span.End) >= 0, !g.begun && g.order.Compare(e.Key, g.span.Start) < 0:
		return fmt.Errorf("is outside the span %s", g.span)
	case e.Kind.IsRange() && (len(e.End) == 0 || g.order.CompareEnds(e.End, g.span.End) > 0):
		return fmt.Errorf("ends at %q, outside the span %s", e.End, g.span)
	case e.Kind.IsRange() && g.order.Compare(e.Key, e.End) >= 0:
		return fmt.Errorf("ends at %q, where or before it begins", e.End)
	case !g.until.IsZero() && (e.Timestamp.Compare(g.since) <= 0 || e.Timestamp.Compare(g.until) > 0):
		return fmt.Errorf("is of %s, which is not after %s and up to %s", e.Timestamp, g.since, g.until)
	case g.begun:
		return g.checkOrder(e)
	}
	return nil
}

func (g *guarded) checkOrder(e *export.Entry) error {
	c := g.order.Compare(g.last.Key, e.Key)
	switch {
	case c > 0:
		return fmt.Errorf("comes after %q", g.last.Key)
	case c < 0 || g.last.Kind.IsRange():
	case e.Kind.IsRange():
		return fmt.Errorf("comes after a point of the same key")
	case !g.all:
		return fmt.Errorf("comes twice")
	case g.last.Timestamp.Compare(e.Timestamp) <= 0:
		return fmt.Errorf("of %s comes after that of %s", e.Timestamp, g.last.Timestamp)
	}
	return nil
}

func (g *guarded) Err() error {
	if g.err != nil {
		return g.err
	}
	return g.Cursor.Err()
}
