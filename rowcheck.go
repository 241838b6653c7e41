package varve

import (
	"fmt"
	"sort"
	"sync"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
)

// rowCheck digests a state again, by the rows in which it was digested before, and
// compares. Several goroutines may add different parts of the state.
type rowCheck struct {
	order *export.Order
	want  []digest.Row
	// stateOnly compares keys and values and not when they were written: a store
	// with revisions gives what is restored into it timestamps of its own.
	stateOnly bool

	mu  sync.Mutex
	got []digest.Digest // of the row with the same number
}

func newRowCheck(order *export.Order, rows []digest.Row) *rowCheck {
	return &rowCheck{order: order.WithDefaults(), want: rows, got: make([]digest.Digest, len(rows))}
}

// addAll digests the rest of a cursor of the state.
func (c *rowCheck) addAll(cursor export.Cursor) error {
	p := c.part()
	for cursor.Next() {
		e := cursor.Entry()
		if err := p.add(e); err != nil {
			return err
		}
	}
	p.done()
	return cursor.Err()
}

// rowPart digests one ascending run of entries, or of changes. Done adds it to the
// whole, which until then knows nothing of it.
type rowPart struct {
	c       *rowCheck
	row     int // that of the last point
	added   digest.Digest
	removed digest.Digest
	sums    map[int]digest.Digest // of rows before
	hasher  digest.Hasher
}

func (c *rowCheck) part() *rowPart { return &rowPart{c: c, row: -1, sums: map[int]digest.Digest{}} }

// find is the number of the row that key lies in, -1 before the first.
func (c *rowCheck) find(key []byte) int {
	return sort.Search(len(c.want), func(i int) bool { return c.order.Compare(c.want[i].Start, key) > 0 }) - 1
}

// span is the part of the keyspace that row i speaks for.
func (c *rowCheck) span(i int) Span {
	s := Span{Start: c.want[i].Start}
	if i+1 < len(c.want) {
		s.End = c.want[i+1].Start
	}
	return s
}

func (p *rowPart) add(e *export.Entry) error {
	if e.Kind.IsRange() {
		return p.spread(e, p.sum)
	}
	return p.point(e, &p.added)
}

// remove takes back what e, of the state before, has added.
func (p *rowPart) remove(e *export.Entry) error {
	if e.Kind.IsRange() {
		return p.spread(e, func(row int, d digest.Digest) { p.sum(row, digest.Digest{}.Sub(d)) })
	}
	return p.point(e, &p.removed)
}

func (p *rowPart) point(e *export.Entry, sum *digest.Digest) error {
	next := p.row + 1
	if p.row < 0 || next < len(p.c.want) && p.c.order.Compare(p.c.want[next].Start, e.Key) <= 0 {
		p.flush()
		if p.row = p.c.find(e.Key); p.row < 0 {
			return undigested(e)
		}
	}
	p.hasher.Add(sum, e)
	return nil
}

// spread gives each row the part of the range that lies in it.
func (p *rowPart) spread(e *export.Entry, sum func(row int, d digest.Digest)) error {
	first := p.c.find(e.Key)
	if first < 0 {
		return undigested(e)
	}
	for i := first; i < len(p.c.want); i++ {
		part, ok := p.c.span(i).Intersect(p.c.order, Span{Start: e.Key, End: e.End})
		if !ok {
			break
		}
		cut := *e
		cut.Key, cut.End = part.Start, part.End
		var d digest.Digest
		p.hasher.Add(&d, &cut)
		sum(i, d)
	}
	return nil
}

func undigested(e *export.Entry) error {
	return &CorruptError{
		Object: fmt.Sprintf("the state at %q", e.Key), Want: "nothing: no row that was digested begins before it", Got: "a " + e.Kind.String(),
	}
}

func (p *rowPart) flush() {
	if p.row >= 0 {
		p.sum(p.row, p.added.Sub(p.removed))
	}
	p.added, p.removed = digest.Digest{}, digest.Digest{}
}

func (p *rowPart) sum(row int, d digest.Digest) { p.sums[row] = p.sums[row].Add(d) }

func (p *rowPart) done() { p.c.join(p.take()) }

// take is what the part has to add to the whole, by row, since it was last asked.
func (p *rowPart) take() map[int]digest.Digest {
	p.flush()
	sums := p.sums
	p.row, p.sums = -1, map[int]digest.Digest{}
	return sums
}

// join adds what a part has taken.
func (c *rowCheck) join(sums map[int]digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for row, d := range sums {
		c.got[row] = c.got[row].Add(d)
	}
}

// bad are the numbers of the rows that differ.
func (c *rowCheck) bad() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []int
	for i := range c.want {
		if !c.same(c.got[i], c.want[i].Digest) {
			out = append(out, i)
		}
	}
	return out
}

func (c *rowCheck) same(a, b digest.Digest) bool {
	if c.stateOnly {
		a.Revisions, b.Revisions = digest.Sum{}, digest.Sum{}
	}
	return a == b
}

// compare names the first row that differs.
func (c *rowCheck) compare(object string) error {
	bad := c.bad()
	if len(bad) == 0 {
		return nil
	}
	return c.mismatch(object, bad[0])
}

func (c *rowCheck) mismatch(object string, row int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &CorruptError{
		Object: fmt.Sprintf("%s in %s", object, c.span(row)),
		Want:   describe(c.want[row].Digest),
		Got:    describe(c.got[row]),
	}
}

func describe(d digest.Digest) string {
	return fmt.Sprintf("%d keys, %d bytes, digest %s", d.Keys, d.Bytes, d.State)
}
