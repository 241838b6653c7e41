package pebblekv

import (
	"context"
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
)

// A difference is where two states of one database can differ at all: that of the
// base, which is an earlier checkpoint, or a few of the tables, and that of a later one.
//
// What a reader sees of a key follows from the records of it that the tables and
// the log hold. Tables that both checkpoints have are left out: a key without a
// record in any other table, and which no range deletion or range key of another
// table covers, has the same records in both, and so the same value. The argument
// needs no common history: a base whose tables are other files than the database's
// shares none with it, and then everything is compared.
//
// Nothing is concluded from sequence numbers alone: compactions zero them and drop
// tombstones.
type difference struct {
	base   *checkpoint // nil: tables are what it leads from
	former state       // that of the base
	now    *checkpoint

	before, after []*tableFile   // that only the base has, or only the later one
	shared        [][]*tableFile // by level
	keys          [][]byte       // that a log touches, ascending
	spans         []export.Span  // in which everything is compared, ascending and apart
}

func findDifference(ctx context.Context, base, now *checkpoint) (*difference, error) {
	d := &difference{base: base, former: base, now: now}
	if err := d.match(); err != nil {
		return nil, err
	}
	return d, d.survey(ctx, base, now)
}

// survey finds what the tables that differ, and the logs, touch.
func (d *difference) survey(ctx context.Context, logs ...*checkpoint) error {
	var spans []keySpan
	for _, t := range slices.Concat(d.before, d.after) {
		covered, err := t.covered(ctx)
		if err != nil {
			return fmt.Errorf("table %s: %w", t.path(), err)
		}
		spans = append(spans, covered...)
	}
	for _, c := range logs {
		log, err := c.log(ctx)
		if err != nil {
			return err
		}
		d.keys, spans = append(d.keys, log.keys...), append(spans, log.spans...)
		if log.all {
			spans = append(spans, keySpan{})
		}
	}
	slices.SortFunc(d.keys, d.now.pebble.Comparer.Compare)
	d.keys = slices.CompactFunc(d.keys, d.now.pebble.Comparer.Equal)
	d.spans = d.widen(spans)
	return nil
}

// lost is err where the base cannot be read, which makes it none.
func (d *difference) lost(ctx context.Context, err error) error {
	if d.base == nil {
		return err
	}
	return lost(ctx, err)
}

// match parts the tables into those that both have and those that one has.
func (d *difference) match() error {
	before, err := d.base.tableFiles()
	if err != nil {
		return err
	}
	after, err := d.now.tableFiles()
	if err != nil {
		return err
	}
	former := map[identity]*tableFile{}
	for _, t := range before {
		former[t.identity()] = t
	}
	matched := map[*tableFile]bool{}
	for _, t := range after {
		u := former[t.identity()]
		one := false
		if u != nil {
			if one, err = t.same(u); err != nil {
				return err
			}
		}
		if !one {
			d.after = append(d.after, t)
			continue
		}
		matched[u] = true
		for len(d.shared) <= t.level {
			d.shared = append(d.shared, nil)
		}
		d.shared[t.level] = append(d.shared[t.level], t)
	}
	d.before = slices.DeleteFunc(slices.Clone(before), func(t *tableFile) bool { return matched[t] })
	return nil
}

// widen makes spans that can be compared of those that were touched: cut at bare
// prefixes, in order, and apart.
func (d *difference) widen(touched []keySpan) []export.Span {
	c := d.now.pebble.Comparer
	spans := make([]export.Span, 0, len(touched))
	for _, t := range touched {
		s := export.Span{Start: t.start[:c.Split(t.start)], End: t.end}
		if !d.now.store.order.CutPoint(t.end) {
			if s.End = nil; c.ImmediateSuccessor != nil {
				s.End = c.ImmediateSuccessor(nil, t.end[:c.Split(t.end)])
			}
		}
		spans = append(spans, s)
	}
	slices.SortFunc(spans, func(a, b export.Span) int { return c.Compare(a.Start, b.Start) })
	order := d.now.store.order
	apart := spans[:0]
	for _, s := range spans {
		if n := len(apart); n > 0 && (len(apart[n-1].End) == 0 || c.Compare(s.Start, apart[n-1].End) <= 0) {
			if order.CompareEnds(s.End, apart[n-1].End) > 0 {
				apart[n-1].End = s.End
			}
			continue
		}
		apart = append(apart, s)
	}
	return apart
}

// in are the tables of a list that may hold a key of span.
func (d *difference) in(tables []*tableFile, span export.Span) []*tableFile {
	var out []*tableFile
	for _, t := range tables {
		if d.now.overlaps(&t.SSTableInfo, span) {
			out = append(out, t)
		}
	}
	return out
}

// logged are the keys of span that a log touches.
func (d *difference) logged(span export.Span) [][]byte {
	cmp := d.now.pebble.Comparer.Compare
	from, _ := slices.BinarySearchFunc(d.keys, span.Start, cmp)
	keys := d.keys[from:]
	if len(span.End) > 0 {
		to, _ := slices.BinarySearchFunc(keys, span.End, cmp)
		keys = keys[:to]
	}
	return keys
}
