package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

const (
	largePiece = 48 << 20  // logical bytes of a piece of a large store
	smallPiece = 256 << 10 // below this more pieces gain nothing
	maxPieces  = 4096
	// grains is how many slices of one level make up a piece if tables are large:
	// the more, the evener the pieces.
	grains = 16
	// maxStack bounds how much finer wide tables that lie on one another are cut.
	maxStack = 16
)

// ranked is a table and how many of its kind may lie on one another. Their slices
// end near the same keys, so that they must be that much smaller.
type ranked struct {
	pebble.SSTableInfo
	stack int64
}

// slice is a run of keys of one table: how many logical bytes end at or before
// end. End is a bare prefix.
type slice struct {
	end   []byte
	bytes int64
}

// partition cuts span where tables, or runs of blocks inside of large tables,
// end. It reads no data: table bounds and properties say how much there is, and
// the indexes of tables that are large or only partly in span where it lies.
func (c *checkpoint) partition(ctx context.Context, span export.Span) ([]export.Partition, error) {
	if err := checkSpan(c.store.order, span); err != nil {
		return nil, err
	}
	tables, err := c.tablesIn(span)
	if err != nil {
		return nil, err
	}
	return cutInto(ctx, c.store.order, span, largePiece, share{c, tables})
}

func checkSpan(order *export.Order, span export.Span) error {
	if span.IsEmpty(order) {
		return fmt.Errorf("span %s is empty", span)
	}
	if !order.CutPoint(span.Start) || !order.CutPoint(span.End) {
		return fmt.Errorf("span %s: its bounds must be bare prefixes", span)
	}
	return nil
}

// share is what a checkpoint has part in.
type share struct {
	checkpoint *checkpoint
	tables     []ranked
}

// cutInto cuts span into pieces of at most about largest bytes, and about equal
// parts of all shares.
func cutInto(ctx context.Context, order *export.Order, span export.Span, largest int64, shares ...share) ([]export.Partition, error) {
	cut := func(grain int64) (all []slice, err error) {
		for _, s := range shares {
			part, err := s.checkpoint.slices(ctx, s.tables, span, grain)
			if err != nil {
				return nil, err
			}
			all = append(all, part...)
		}
		return all, nil
	}
	edges, err := cut(math.MaxInt64)
	if err != nil {
		return nil, err
	}
	target := pieceBytes(totalBytes(edges), largest)
	cuts, err := cut(max(target/grains, 1))
	if err != nil {
		return nil, err
	}
	return assemble(order, span, cuts, target), nil
}

func totalBytes(slices []slice) int64 {
	var total int64
	for _, s := range slices {
		total += s.bytes
	}
	return total
}

// pieceBytes aims at several pieces for each processor, of a size that is worth
// its overhead, and at a bounded number of them.
func pieceBytes(total, largest int64) int64 {
	perWorker := total / int64(4*runtime.GOMAXPROCS(0))
	target := min(max(perWorker, smallPiece), largest)
	return max(target, total/(maxPieces-1)+1)
}

// assemble joins slices to pieces of about target bytes. What is left over at the
// end goes to the last piece unless it is large enough to be one.
func assemble(order *export.Order, span export.Span, cuts []slice, target int64) []export.Partition {
	o := order.WithDefaults()
	slices.SortStableFunc(cuts, func(a, b slice) int { return o.Compare(a.end, b.end) })
	left := totalBytes(cuts)
	var pieces []export.Partition
	piece := export.Partition{Span: span.Clone()}
	for i, s := range cuts {
		piece.Bytes += s.bytes
		left -= s.bytes
		same := i+1 < len(cuts) && o.Compare(s.end, cuts[i+1].end) == 0
		inside := o.Compare(piece.Span.Start, s.end) < 0 && order.CompareEnds(s.end, span.End) < 0
		if same || !inside || piece.Bytes < target || left < target/4*3 {
			continue
		}
		piece.Span.End = s.end
		pieces = append(pieces, piece)
		piece = export.Partition{Span: export.Span{Start: s.end, End: slices.Clone(span.End)}}
	}
	return append(pieces, piece)
}

// tablesIn lists the tables that may hold a key of span, with their properties.
func (c *checkpoint) tablesIn(span export.Span) ([]ranked, error) {
	levels, err := c.db.SSTables(pebble.WithProperties())
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	var all []ranked
	for level, tables := range levels {
		for _, t := range tables {
			if c.overlaps(&t, span) {
				all = append(all, ranked{SSTableInfo: t, stack: stackOf(level, len(tables))})
			}
		}
	}
	return all, nil
}

// stackOf is how many of n tables of a level may lie on one another.
func stackOf(level, n int) int64 {
	if level > 0 {
		return 1
	}
	return int64(min(max(n, 1), maxStack))
}

// partition cuts span where tables that only one of the checkpoints has end, or
// tables of the later one where everything is compared.
func (d *difference) partition(ctx context.Context, span export.Span) ([]export.Partition, error) {
	if err := checkSpan(d.now.store.order, span); err != nil {
		return nil, err
	}
	before := share{checkpoint: d.base, tables: rank(d.in(d.before, span))}
	after := share{checkpoint: d.now, tables: rank(d.in(d.after, span))}
	for _, s := range d.stages(span) {
		if !s.compare {
			continue
		}
		whole, err := d.now.tablesIn(s.span)
		if err != nil {
			return nil, err
		}
		after.tables = append(after.tables, whole...)
	}
	return cutInto(ctx, d.now.store.order, span, largePiece/4, before, after)
}

func rank(tables []*tableFile) []ranked {
	var all []ranked
	for _, t := range tables {
		n := 0
		for _, u := range tables {
			if u.level == t.level {
				n++
			}
		}
		all = append(all, ranked{SSTableInfo: t.SSTableInfo, stack: stackOf(t.level, n)})
	}
	return all
}

func (c *checkpoint) overlaps(t *pebble.SSTableInfo, span export.Span) bool {
	cmp := c.pebble.Comparer.Compare
	return cmp(t.Largest.UserKey, span.Start) >= 0 &&
		(len(span.End) == 0 || cmp(t.Smallest.UserKey, span.End) < 0)
}

// slices cuts what the tables have in span into slices of at most about grain
// bytes. A table that lies in span and is no larger is one slice.
func (c *checkpoint) slices(ctx context.Context, tables []ranked, span export.Span, grain int64) ([]slice, error) {
	var all []slice
	for i := range tables {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t, grain := &tables[i].SSTableInfo, max(grain/tables[i].stack, 1)
		bytes := logicalBytes(t)
		inside := span.Contains(c.store.order, t.Smallest.UserKey) && span.Contains(c.store.order, t.Largest.UserKey)
		if inside && bytes <= grain {
			all = append(all, slice{end: c.prefix(t.Largest.UserKey), bytes: bytes})
			continue
		}
		cut, err := c.cutTable(ctx, t, span, grain)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.BackingSSTNum, err)
		}
		all = append(all, cut...)
	}
	return all, nil
}

// cutTable walks the table's index. The table's logical bytes are spread over its
// data blocks by their stored size.
func (c *checkpoint) cutTable(ctx context.Context, t *pebble.SSTableInfo, span export.Span, grain int64) (_ []slice, err error) {
	r, err := c.reader(ctx, t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	logical := logicalBytes(t)
	storedGrain := float64(grain) * float64(t.Size) / float64(logical)
	w := walk{checkpoint: c, table: t, span: span, grain: int64(min(storedGrain, math.MaxInt64/2))}
	if err := eachBlock(ctx, r, w.visit); err != nil {
		return nil, err
	}
	w.flush()
	for i := range w.slices {
		w.slices[i].bytes = int64(float64(w.slices[i].bytes) * float64(logical) / float64(w.stored))
	}
	if w.stored == 0 { // no points
		return []slice{{end: c.prefix(t.Largest.UserKey), bytes: logical}}, nil
	}
	return w.slices, nil
}

// prefix is a copy of the bare prefix of key.
func (c *checkpoint) prefix(key []byte) []byte {
	return slices.Clone(key[:c.pebble.Comparer.Split(key)])
}

// walk goes over the blocks of one table, in stored bytes.
type walk struct {
	checkpoint *checkpoint
	table      *pebble.SSTableInfo
	span       export.Span
	grain      int64

	stored int64 // of the blocks in the table's bounds
	past   bool  // behind the table's last block

	pending int64 // in span since the last slice
	last    []byte
	slices  []slice
}

func (w *walk) visit(separator []byte, stored uint64) {
	if !w.belongs(separator) {
		return
	}
	w.stored += int64(stored)
	if !w.span.Contains(w.checkpoint.store.order, separator) {
		return
	}
	w.pending += int64(stored)
	w.last = append(w.last[:0], separator...)
	if w.pending >= w.grain {
		w.flush()
	}
}

// belongs reports whether the block is in the table's bounds: a virtual table
// shows only part of its file.
func (w *walk) belongs(separator []byte) bool {
	if w.past {
		return false
	}
	cmp := w.checkpoint.pebble.Comparer.Compare
	w.past = cmp(separator, w.table.Largest.UserKey) >= 0
	return cmp(separator, w.table.Smallest.UserKey) >= 0
}

func (w *walk) flush() {
	if w.pending == 0 {
		return
	}
	w.slices = append(w.slices, slice{end: w.checkpoint.prefix(w.last), bytes: w.pending})
	w.pending = 0
}

// logicalBytes estimates keys and values in a table, without tombstones and the
// trailers that are stored with keys.
func logicalBytes(t *pebble.SSTableInfo) int64 {
	p := t.Properties
	n := int64(p.RawKeySize+p.RawValueSize+p.RawRangeKeyKeySize+p.RawRangeKeyValueSize) -
		int64(p.RawPointTombstoneKeySize+p.RawPointTombstoneValueSize) - 8*int64(p.NumEntries)
	return max(n, 1)
}
