package varve

import (
	"fmt"
	"slices"
	"sync"

	"github.com/varvekv/varve/export"
)

// Proof is how what was restored is known to be what was backed up.
type Proof int

const (
	// ProofHashes: every stored byte had the hash that its writer recorded.
	ProofHashes Proof = iota + 1
	// ProofDigest: and the state had the digest that was taken of the store.
	ProofDigest
)

// String is "hashes" or "digest".
func (p Proof) String() string {
	switch p {
	case ProofHashes:
		return "hashes"
	case ProofDigest:
		return "digest"
	}
	return fmt.Sprintf("Proof(%d)", int(p))
}

// proof compares the digest of what passes through a restore or a verification
// with what the layer recorded, row by row, as far as rows were read entirely.
type proof struct {
	content *content
	check   *rowCheck // nil: there is no digest

	mu   sync.Mutex
	read []Span // parts of the keyspace that were read entirely; apart
}

func newProof(c *content) *proof {
	p := &proof{content: c}
	if c.digested() {
		p.check = newRowCheck(c.order, c.rows)
	}
	return p
}

// proofPart digests one part of the keyspace.
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

// addAll digests the state of all of span.
func (p *proofPart) addAll(state export.Cursor, span Span) error {
	for state.Next() {
		if err := p.add(state.Entry()); err != nil {
			return err
		}
	}
	if err := state.Err(); err != nil {
		return err
	}
	p.done(span)
	return nil
}

// done records that all there is in span has passed.
func (p *proofPart) done(span Span) {
	if p.rows == nil {
		return
	}
	p.rows.done()
	p.proof.mu.Lock()
	defer p.proof.mu.Unlock()
	p.proof.read = append(p.proof.read, span)
}

// partial reports, for each row, whether a file that it may have entries in was
// not read, or not entirely.
func (p *proof) partial() []bool {
	order := p.content.order
	slices.SortFunc(p.read, func(a, b Span) int { return order.WithDefaults().Compare(a.Start, b.Start) })
	var held []Span
	for _, whole := range planPieces(order, p.content.views) {
		held = append(held, whole.span)
	}
	unread := subtractSpans(order, held, p.read)
	out := make([]bool, len(p.check.want))
	for i := range out {
		row := p.check.span(i)
		unread = spansFrom(order, unread, row.Start)
		out[i] = len(unread) > 0 && unread[0].Overlaps(order, row)
	}
	return out
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
