package staging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/varvekv/varve/export"
)

// checkEvery is how many entries a loader takes between looks at its context.
const checkEvery = 256

// tableBytes is the logical size at which a loader goes on with a new table.
const tableBytes = 64 << 20

// bottom is the level that tables are written for.
const bottom = 6

var _ export.Loader = (*loader)(nil)

// loader writes the entries of one span to tables that do not overlap: it begins
// a new one only where the prefix changes, and cuts range keys there. Besides the
// table's own buffers it holds the range keys of one table in memory.
type loader struct {
	ctx  context.Context // of the Load call, which bounds the loader
	area *Area
	span export.Span

	mu    sync.Mutex // against abandon
	ended bool
	err   error // of a failed Add: ends the loader
	steps int

	table *sstable.Writer // nil between tables
	name  string
	size  int64
	full  []byte   // prefix that still belongs to a table that is full
	names []string // of the finished tables

	ranges []rangeKey // that begin in this table or reach into it, by start

	clears bool   // what the database has in span goes
	from   []byte // where the table's share of span begins
}

type rangeKey struct{ start, end, suffix, value []byte }

func (l *loader) Add(e *export.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return fmt.Errorf("load %s: %w", l.span, err)
	}
	if l.err = l.add(e); l.err != nil {
		return fmt.Errorf("load %s: key %q: %w", l.span, e.Key, l.err)
	}
	return nil
}

func (l *loader) ready() error {
	if l.ended {
		return export.ErrClosed
	}
	if l.err != nil {
		return l.err
	}
	l.steps++
	if l.steps%checkEvery == 1 {
		return l.ctx.Err()
	}
	return nil
}

func (l *loader) add(e *export.Entry) error {
	if !l.span.Contains(l.area.order, e.Key) {
		return errors.New("the key lies outside of the span")
	}
	if err := l.turn(e.Key); err != nil {
		return err
	}
	l.size += e.Size()
	switch e.Kind {
	case export.Set:
		return l.table.Set(e.Key, e.Value)
	case export.RangeKeySet:
		return l.addRange(e)
	}
	return fmt.Errorf("a loader takes no %s", e.Kind)
}

// turn sees to it that there is a table for key: a new one where the last one is
// full and another prefix begins.
func (l *loader) turn(key []byte) error {
	o := l.area.order.WithDefaults()
	if l.table != nil && l.size >= tableBytes {
		prefix := key[:o.Split(key)]
		switch {
		case l.full == nil:
			l.full = slices.Clone(prefix)
		case o.Compare(l.full, prefix) < 0:
			if err := l.finishTable(prefix); err != nil {
				return err
			}
		}
	}
	if l.table == nil {
		return l.beginTable()
	}
	return nil
}

// addRange keeps a range key back until the table ends, for only then it is known
// where it has to be cut.
func (l *loader) addRange(e *export.Entry) error {
	o := l.area.order
	if !o.CutPoint(e.Key) || !o.CutPoint(e.End) || !l.span.Covers(o, export.Span{Start: e.Key, End: e.End}) {
		return fmt.Errorf("range key up to %q is not cut at bare prefixes inside the span", e.End)
	}
	if n := len(l.ranges); n > 0 && o.WithDefaults().Compare(l.ranges[n-1].start, e.Key) > 0 {
		return fmt.Errorf("range key comes after one at %q", l.ranges[n-1].start)
	}
	l.ranges = append(l.ranges, rangeKey{
		start:  slices.Clone(e.Key),
		end:    slices.Clone(e.End),
		suffix: slices.Clone(e.Suffix),
		value:  slices.Clone(e.Value),
	})
	return nil
}

func (l *loader) beginTable() error {
	s := l.area
	name, file, err := s.create()
	if err != nil {
		return err
	}
	l.name, l.size, l.full = name, 0, nil
	l.table = sstable.NewWriter(objstorageprovider.NewFileWritable(file), s.pebble.MakeWriterOptions(bottom, s.format))
	return nil
}

// finishTable makes the table durable. Range keys that reach beyond limit, nil
// for none, are continued in the next one.
func (l *loader) finishTable(limit []byte) error {
	if l.clears {
		end := limit
		if end == nil {
			end = l.span.End
		}
		if err := clearTable(l.table, l.from, end); err != nil {
			return err
		}
		l.from = slices.Clone(end)
	}
	if err := l.writeRanges(limit); err != nil {
		return err
	}
	table := l.table
	l.table = nil
	if err := table.Close(); err != nil {
		return err
	}
	l.names = append(l.names, l.name)
	return nil
}

func (l *loader) writeRanges(limit []byte) error {
	o := l.area.order.WithDefaults()
	var rest []rangeKey
	for _, r := range l.ranges {
		end := r.end
		if limit != nil && o.Compare(limit, end) < 0 {
			end = slices.Clone(limit)
			rest = append(rest, rangeKey{start: end, end: r.end, suffix: r.suffix, value: r.value})
		}
		if err := l.table.RangeKeySet(r.start, end, r.suffix, r.value); err != nil {
			return err
		}
	}
	l.ranges = rest
	return nil
}

// Finish makes the tables durable and part of the load.
func (l *loader) Finish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.finish(); err != nil {
		return fmt.Errorf("load %s: %w", l.span, err)
	}
	return nil
}

func (l *loader) finish() error {
	if l.ended {
		return export.ErrClosed
	}
	if l.err == nil {
		l.err = l.ctx.Err()
	}
	if l.err == nil && l.table != nil {
		l.err = l.finishTable(nil)
	}
	if l.err == nil {
		l.err = l.area.finish(l, l.span, loaded, l.names)
	}
	l.ended = l.err == nil
	return l.err
}

// abandon ends the table that is being written, whether that works or not: its
// file goes with the folder.
func (l *loader) abandon() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.table == nil {
		return nil
	}
	table := l.table
	l.table = nil
	_ = table.Raw().Close()
	return nil
}
