package mvcckv

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/varvekv/varve/export"
)

const (
	largePiece = 48 << 20 // bytes of tables that make up a piece of a large store
	smallPiece = 16 << 10 // below this more pieces gain nothing
	maxPieces  = 4096
)

// Partition implements [export.Snapshot]. It reads no data: span is cut where tables
// end, of changes only those that may hold one. What is in memory is flushed before.
func (s *snapshot) Partition(ctx context.Context, span export.Span, since export.Timestamp) ([]export.Partition, error) {
	pieces, err := s.partition(ctx, span, since)
	if err != nil {
		return nil, fmt.Errorf("partition %s: %w", span, err)
	}
	return pieces, nil
}

func (s *snapshot) partition(ctx context.Context, span export.Span, since export.Timestamp) ([]export.Partition, error) {
	db := s.store
	if err := db.join(ctx); err != nil {
		return nil, err
	}
	defer db.running.Done()
	db.mu.Lock()
	err := s.readable(since)
	db.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if span.IsEmpty(nil) {
		return nil, fmt.Errorf("the span is empty")
	}
	if err := db.flush(ctx); err != nil {
		return nil, err
	}
	ends, err := db.tableEnds(span, timeFilters(since, s.at))
	if err != nil {
		return nil, err
	}
	return cut(span, ends), nil
}

// flush moves the memtable into tables. Pebble tries again and again where that fails,
// so the wait ends with ctx.
func (s *Store) flush(ctx context.Context) error {
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	select {
	case <-flushed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flush: %w", ctx.Err())
	}
}

// tableEnd is where a table ends, and how large it is.
type tableEnd struct {
	key   string
	bytes int64
}

// tableEnds are those of the tables that may hold a version in span that the filters
// leave in, in order.
func (s *Store) tableEnds(span export.Span, filters []pebble.BlockPropertyFilter) ([]tableEnd, error) {
	levels, err := s.db.SSTables(pebble.WithProperties())
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	var ends []tableEnd
	for _, t := range slices.Concat(levels...) {
		first, err := userKey(t.Smallest.UserKey)
		if err != nil {
			return nil, err
		}
		last, err := userKey(t.Largest.UserKey)
		if err != nil {
			return nil, err
		}
		if !span.Overlaps(nil, export.Span{Start: first, End: nextKey(last)}) {
			continue
		}
		wanted, err := intersects(filters, t.Properties)
		if err != nil {
			return nil, err
		}
		if wanted {
			ends = append(ends, tableEnd{key: string(last), bytes: int64(t.Size)})
		}
	}
	slices.SortFunc(ends, func(a, b tableEnd) int { return strings.Compare(a.key, b.key) })
	return ends, nil
}

// intersects reports whether a table may hold what the filters leave in: one that was
// written without the property may.
func intersects(filters []pebble.BlockPropertyFilter, p *sstable.Properties) (bool, error) {
	for _, f := range filters {
		property := p.UserProperties[f.Name()]
		if property == "" {
			continue
		}
		ok, err := f.Intersects([]byte(property[1:])) // after the property's number
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// cut joins what lies between tables' ends to pieces of about equal bytes.
func cut(span export.Span, ends []tableEnd) []export.Partition {
	var total int64
	for _, e := range ends {
		total += e.bytes
	}
	target := min(max(total/int64(4*runtime.GOMAXPROCS(0)), smallPiece), largePiece)
	target = max(target, total/(maxPieces-1)+1)
	var pieces []export.Partition
	piece := export.Partition{Span: span.Clone()}
	for i, e := range ends {
		piece.Bytes += e.bytes
		at := []byte(e.key)
		same := i+1 < len(ends) && ends[i+1].key == e.key
		if same || piece.Bytes < target || string(piece.Span.Start) >= e.key || !span.Contains(nil, at) {
			continue
		}
		piece.Span.End = at
		pieces = append(pieces, piece)
		piece = export.Partition{Span: export.Span{Start: at, End: slices.Clone(span.End)}}
	}
	return append(pieces, piece)
}
