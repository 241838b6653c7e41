package sink

import (
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/varvekv/varve/export"
)

// rangeCollector gathers the range kinds of a table.
type rangeCollector struct {
	form   Form
	order  *export.Order
	span   export.Span
	ranges []export.Entry
}

func (c *rangeCollector) collect(ctx context.Context, t *sstable.Reader) (err error) {
	defer recovered(&err)
	if err := c.deletes(ctx, t); err != nil {
		return err
	}
	if err := c.keys(ctx, t); err != nil {
		return err
	}
	slices.SortStableFunc(c.ranges, func(a, b export.Entry) int { return c.order.Compare(a.Key, b.Key) })
	return nil
}

func (c *rangeCollector) deletes(ctx context.Context, t *sstable.Reader) error {
	it, err := t.NewRawRangeDelIter(ctx, sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil || it == nil {
		return err
	}
	defer it.Close()
	s, err := it.First()
	for ; s != nil && err == nil; s, err = it.Next() {
		c.hold(export.Entry{Kind: export.DeleteRange, Key: s.Start, End: s.End})
	}
	return err
}

func (c *rangeCollector) keys(ctx context.Context, t *sstable.Reader) error {
	it, err := t.NewRawRangeKeyIter(ctx, sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil || it == nil {
		return err
	}
	defer it.Close()
	s, err := it.First()
	for ; s != nil && err == nil; s, err = it.Next() {
		for _, k := range s.Keys {
			e, err := c.decode(physicalRange{start: s.Start, end: s.End, suffix: k.Suffix, value: k.Value}, k.Kind())
			if err != nil {
				return err
			}
			c.hold(e)
		}
	}
	return err
}

func (c *rangeCollector) decode(r physicalRange, kind pebble.InternalKeyKind) (export.Entry, error) {
	if c.form.Revisions {
		return decodeRange(r)
	}
	e := export.Entry{Key: r.start, End: r.end, Suffix: r.suffix, Value: r.value}
	switch kind {
	case pebble.InternalKeyKindRangeKeySet:
		e.Kind = export.RangeKeySet
	case pebble.InternalKeyKindRangeKeyUnset:
		e.Kind = export.RangeKeyUnset
	case pebble.InternalKeyKindRangeKeyDelete:
		e.Kind = export.RangeKeyDelete
	default:
		return e, fmt.Errorf("range key of kind %s", kind)
	}
	return e, nil
}

// hold keeps a copy of what of e lies in the span.
func (c *rangeCollector) hold(e export.Entry) {
	part, ok := c.span.Intersect(c.order, export.Span{Start: e.Key, End: e.End})
	if ok {
		e.Key, e.End = part.Start, part.End
		c.ranges = append(c.ranges, e.Clone())
	}
}
