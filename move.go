package varve

import (
	"fmt"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

// move is a span of the layer that gets other keys.
type move struct {
	from     Span
	old, new []byte // prefixes
}

// moveSpans notes which keys of an object change.
func (r *restore) moveSpans(name string, from, to []Span) error {
	if len(from) != len(to) {
		return fmt.Errorf("store broke its contract: it places %s in %d spans, and there were %d", name, len(to), len(from))
	}
	for i, s := range from {
		if equalSpans(from[i:i+1], to[i:i+1]) {
			continue
		}
		m := move{from: s, old: s.Start, new: to[i].Start}
		if got, ok := m.span(s); !ok || !equalSpans([]Span{got}, to[i:i+1]) {
			return &TargetError{Name: name, Reason: fmt.Sprintf("its keys in %s cannot be moved to %s: one of these is not all keys with one prefix", s, to[i])}
		}
		r.moves = append(r.moves, m)
	}
	return nil
}

// span is what becomes of a span in the moved one.
func (m *move) span(s Span) (Span, bool) { return m.rewriter().Span(s) }

func (m *move) rewriter() *merge.Rewriter { return &merge.Rewriter{From: m.old, To: m.new} }

// rewriteSpans applies RestoreOptions.Rewrite.
func (r *restore) rewriteSpans() error {
	for _, s := range r.spans {
		for _, rule := range r.opts.Rewrite {
			prefix := export.PrefixSpan(rule.From)
			if !s.Overlaps(r.info.Order, prefix) {
				continue
			}
			m := move{from: s, old: rule.From, new: rule.To}
			to, ok := m.span(s)
			if !ok || !r.info.Order.CutPoint(to.Start) || !r.info.Order.CutPoint(to.End) {
				return &OptionError{Field: "Rewrite", Reason: fmt.Sprintf("the span %s is neither in the prefix %q nor outside it, or would cut a prefix", s, rule.From)}
			}
			r.moves = append(r.moves, m)
			break
		}
	}
	return r.arrange()
}

// arrange cuts what is restored into spans that stay as they are and spans that move, and
// finds those of the destination.
func (r *restore) arrange() error {
	order := r.info.Order
	var moved []Span
	for _, m := range r.moves {
		moved = append(moved, m.from)
	}
	moved = sortSpans(order, moved)
	r.spans = uniteSpans(order, subtractSpans(order, r.spans, moved), cutAt(order, r.spans, moved))
	for _, s := range r.spans {
		r.placedSpans = append(r.placedSpans, r.moved(s))
	}
	if r.placedSpans = sortSpans(order, r.placedSpans); !areApart(order, r.placedSpans) {
		return &OptionError{Field: "Rewrite", Reason: fmt.Sprintf("the spans %v would overlap", r.placedSpans)}
	}
	return nil
}

// cutAt is what of spans lies in each of the parts, apart where these are.
func cutAt(order *export.Order, spans, parts []Span) []Span {
	var out []Span
	for _, p := range parts {
		out = append(out, intersectSpans(order, spans, []Span{p})...)
	}
	return out
}

// moveOf is how the keys of a span change; nil: they do not.
func (r *restore) moveOf(s Span) *move {
	for i := range r.moves {
		if r.moves[i].from.Covers(r.info.Order, s) {
			return &r.moves[i]
		}
	}
	return nil
}

// moved is where a span lies in the destination.
func (r *restore) moved(s Span) Span {
	if m := r.moveOf(s); m != nil {
		s, _ = m.span(s)
	}
	return s
}
