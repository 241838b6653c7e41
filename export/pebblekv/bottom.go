package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

var _ export.TableExporter = (*snapshot)(nil)

// bottomLevel is the level below all others, where compactions leave one version of a
// key and no tombstones.
const bottomLevel = 6

// Tables chooses tables of the bottom level that may be sound, by what the manifest and
// their properties say. Where much lies over a table it is cheaper to encode what is
// visible than to copy it and to encode that: one is chosen if what may lie over it is
// at most half as large.
func (s *snapshot) Tables(ctx context.Context, span export.Span, least, most int64) ([]export.Table, error) {
	c, err := s.use()
	if err != nil {
		return nil, fmt.Errorf("tables: %w", err)
	}
	chosen, err := c.choose(ctx, span, least, most)
	if err = errors.Join(err, c.release()); err != nil {
		return nil, fmt.Errorf("tables of %s: %w", span, err)
	}
	return chosen, nil
}

func (c *checkpoint) choose(ctx context.Context, span export.Span, least, most int64) ([]export.Table, error) {
	if err := checkSpan(c.store.order, span); err != nil {
		return nil, err
	}
	all, err := c.tableFiles()
	if err != nil {
		return nil, err
	}
	from, _ := slices.BinarySearchFunc(all, bottomLevel, func(t *tableFile, level int) int { return t.level - level })
	bottom := all[from:]
	over := c.over(bottom, all[:from])
	var chosen []export.Table
	for i, t := range bottom {
		size := int64(t.Size)
		if size < least || size > most || 2*over[i] > size || !t.mayBeSound() {
			continue
		}
		own, ok := c.own(bottom, i, span)
		if !ok {
			continue
		}
		w := &wholeTable{file: t, span: own}
		sound, err := w.describe(ctx)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.path(), err)
		}
		if sound {
			chosen = append(chosen, w)
		}
	}
	return chosen, nil
}

// mayBeSound reports whether the bytes of the file are all there is to the table: none
// of it is hidden, nothing is added to its keys, and values are inside. A sequence
// number that an ingest gave to it stands in the manifest alone, where all of the
// table is older than what lies over it: the bytes do not know of it.
func (t *tableFile) mayBeSound() bool {
	zeroed := t.SmallestSeqNum == 0 && t.LargestSeqNum == 0
	ingested := t.points.SyntheticSeqNum != 0
	return !t.Virtual && t.BackingType == pebble.BackingTypeLocal && len(t.blobs) == 0 &&
		t.points.SyntheticPrefixAndSuffix.IsUnset() && (zeroed || ingested)
}

// own is the span that the i-th table of the bottom speaks for, up to the prefix of the
// next one: it must lie in span, and hold all of the table. That no prefix is shared
// does not follow from this, for an empty one, as an end, is behind all keys.
func (c *checkpoint) own(bottom []*tableFile, i int, span export.Span) (export.Span, bool) {
	cmp := c.pebble.Comparer.Compare
	t := bottom[i]
	own := export.Span{Start: c.prefix(t.Smallest.UserKey), End: span.End}
	if i+1 < len(bottom) {
		next := c.prefix(bottom[i+1].Smallest.UserKey)
		if cmp(c.prefix(t.Largest.UserKey), next) >= 0 {
			return own, false
		}
		if c.store.order.CompareEnds(next, own.End) < 0 {
			own.End = next
		}
	}
	return own, span.Contains(c.store.order, own.Start) && own.Contains(c.store.order, t.Largest.UserKey)
}

// over is how many bytes of the upper tables may lie over each table of the bottom: what
// lies over several is taken to be spread evenly.
func (c *checkpoint) over(bottom, upper []*tableFile) []int64 {
	cmp := c.pebble.Comparer.Compare
	over := make([]int64, len(bottom))
	for _, u := range upper {
		from := sort.Search(len(bottom), func(i int) bool { return cmp(bottom[i].Largest.UserKey, u.Smallest.UserKey) >= 0 })
		to := sort.Search(len(bottom), func(i int) bool { return cmp(bottom[i].Smallest.UserKey, u.Largest.UserKey) > 0 })
		for i := from; i < to; i++ {
			over[i] += int64(u.Size) / int64(to-from)
		}
	}
	return over
}

// Over compares the state with that of the tables.
func (s *snapshot) Over(ctx context.Context, span export.Span, tables []export.Table, exact bool) (export.Changes, error) {
	c, err := s.use()
	if err != nil {
		return nil, fmt.Errorf("export over tables: %w", err)
	}
	d, err := c.differenceOver(ctx, span, tables)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("export over tables: %w", err), c.release())
	}
	return newDiffCursor(ctx, d, export.Request{Span: span}, exact), nil
}

// differenceOver is that between what whole tables hold and what a reader of span finds.
func (c *checkpoint) differenceOver(ctx context.Context, span export.Span, tables []export.Table) (*difference, error) {
	all, err := c.tableFiles()
	if err != nil {
		return nil, err
	}
	under := &floor{checkpoint: c}
	copied := map[*tableFile]bool{}
	for _, t := range tables {
		w, ok := t.(*wholeTable)
		if !ok || w.file.owner != c {
			return nil, errors.New("a table is not of this snapshot")
		}
		under.tables, copied[w.file] = append(under.tables, w.file), true
	}
	cmp := c.pebble.Comparer.Compare
	slices.SortFunc(under.tables, func(a, b *tableFile) int { return cmp(a.Smallest.UserKey, b.Smallest.UserKey) })
	d := &difference{former: under, now: c, shared: make([][]*tableFile, bottomLevel+1)}
	d.shared[bottomLevel] = under.tables
	for _, t := range d.in(all, span) {
		if !copied[t] {
			d.after = append(d.after, t)
		}
	}
	return d, d.survey(ctx, c)
}
