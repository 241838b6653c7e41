package varve

import (
	"slices"
	"sync"

	"github.com/varvekv/varve/export"
)

// proof compares the digest of what passes through a restore or a verification
// with what the layer recorded, row by row, as far as rows were read entirely.
type proof struct {
	content *content
	check   *rowCheck // nil: the layer has no digests

	mu   sync.Mutex
	read []Span // pieces that were read entirely
}

func newProof(c *content, m *Manifest) *proof {
	p := &proof{content: c}
	if m.Digest != nil {
		p.check = newRowCheck(c.order, c.rows)
	}
	return p
}

// proofPart digests one piece.
type proofPart struct {
	proof *proof
	rows  *rowPart // nil: nothing to compare with
}

func (p *proof) part() *proofPart {
	if p.check == nil {
		return &proofPart{proof: p}
	}
	return &proofPart{proof: p, rows: p.check.part()}
}

func (p *proofPart) add(e *export.Entry) error {
	if p.rows == nil {
		return nil
	}
	return p.rows.add(e)
}

// done records that all of the piece has passed.
func (p *proofPart) done(read piece) {
	if p.rows == nil {
		return
	}
	p.rows.done()
	p.proof.mu.Lock()
	defer p.proof.mu.Unlock()
	p.proof.read = append(p.proof.read, read.span)
}

// partial reports, for each row, whether a file that it may have entries in was
// not read, or not entirely.
func (p *proof) partial() []bool {
	order := p.content.order
	cmp := order.WithDefaults().Compare
	slices.SortFunc(p.read, func(a, b Span) int { return cmp(a.Start, b.Start) })
	all := planPieces(p.content.files, order, Span{})
	out := make([]bool, len(p.check.want))
	for i := range out {
		row := p.check.span(i)
		for len(all) > 0 && len(all[0].span.End) > 0 && cmp(all[0].span.End, row.Start) <= 0 {
			all = all[1:]
		}
		for _, whole := range all {
			if !whole.span.Overlaps(order, row) {
				break
			}
			part, _ := whole.span.Intersect(order, row)
			out[i] = out[i] || !coveredBy(order, p.readAround(part), part)
		}
	}
	return out
}

// readAround are the spans read from the one on that holds the start of s.
func (p *proof) readAround(s Span) []Span {
	order := p.content.order.WithDefaults()
	i, found := slices.BinarySearchFunc(p.read, s.Start, func(r Span, key []byte) int { return order.Compare(r.Start, key) })
	if !found && i > 0 {
		i--
	}
	return p.read[i:]
}

// compare names the first row that was read entirely and differs.
func (p *proof) compare(object string) error {
	for _, i := range p.bad() {
		return p.check.mismatch(object, i)
	}
	return nil
}

// bad are the rows that were read entirely and differ.
func (p *proof) bad() []int {
	if p.check == nil {
		return nil
	}
	partial := p.partial()
	return slices.DeleteFunc(p.check.bad(), func(i int) bool { return partial[i] })
}

// kind is ProofDigest if there are digests and every row in the spans was compared.
func (p *proof) kind(spans []Span) Proof {
	if p.check == nil {
		return ProofHashes
	}
	for i, partial := range p.partial() {
		row := p.check.span(i)
		if partial && slices.ContainsFunc(spans, func(s Span) bool { return s.Overlaps(p.content.order, row) }) {
			return ProofHashes
		}
	}
	return ProofDigest
}
