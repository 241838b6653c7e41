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

type guarded struct {
	export.Cursor
	order   *export.Order
	span    Span
	changes bool

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
	case c == 0 && !g.last.Kind.IsRange() && e.Kind.IsRange():
		return fmt.Errorf("comes after a point of the same key")
	case c == 0 && !g.last.Kind.IsRange():
		return fmt.Errorf("comes twice")
	}
	return nil
}

func (g *guarded) Err() error {
	if g.err != nil {
		return g.err
	}
	return g.Cursor.Err()
}
