package merge_test

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

// level is what the model knows of a merge.Level.
type level []export.Entry

// model applies the rule of age to one key, or one piece of the keyspace, after the
// other. Range bounds are all in bounds.
type model struct {
	order  *export.Order
	opts   merge.Options
	keys   []string
	bounds []string
	levels []level
}

// fact is what holds at a key or, for range kinds, in the piece from one bound to
// the next.
type fact struct {
	kind       export.Kind
	at, suffix string
}

type answer struct {
	value string
	time  export.Timestamp
}

type facts map[fact]answer

// found is an entry and its age.
type found struct {
	*export.Entry
	level int
}

func (a found) younger(b found) bool {
	if c := a.Timestamp.Compare(b.Timestamp); c != 0 {
		return c > 0
	}
	return a.level > b.level
}

// where are the entries that count and that match.
func (m *model) where(match func(*export.Entry) bool) (all []found) {
	for i, l := range m.levels {
		for j := range l {
			e := &l[j]
			if (m.opts.AsOf.IsZero() || e.Timestamp.Compare(m.opts.AsOf) <= 0) && match(e) {
				all = append(all, found{e, i})
			}
		}
	}
	return all
}

// youngest is the youngest of all, the least kind among equals; nil if there is none.
func youngest(all []found) *found {
	if len(all) == 0 {
		return nil
	}
	best := slices.MinFunc(all, func(a, b found) int {
		switch {
		case a.younger(b):
			return -1
		case b.younger(a):
			return 1
		}
		return cmp.Compare(a.Kind, b.Kind)
	})
	return &best
}

func (m *model) covers(e *export.Entry, at string) bool {
	return e.Kind.IsRange() && m.order.Compare(e.Key, []byte(at)) <= 0 && m.order.Compare([]byte(at), e.End) < 0
}

// facts are what a merge must say.
func (m *model) facts() facts {
	out := facts{}
	for _, key := range m.keys {
		if m.opts.Span.Contains(m.order, []byte(key)) {
			m.point(out, key)
		}
	}
	for _, at := range m.bounds {
		if m.opts.Span.Contains(m.order, []byte(at)) {
			m.piece(out, at)
		}
	}
	return out
}

func (m *model) point(out facts, key string) {
	p := youngest(m.where(func(e *export.Entry) bool { return !e.Kind.IsRange() && string(e.Key) == key }))
	d := youngest(m.where(func(e *export.Entry) bool { return e.Kind == export.DeleteRange && m.covers(e, key) }))
	if p == nil || d != nil && d.younger(*p) || p.Kind == export.Delete && m.opts.Output == merge.State {
		return
	}
	out[fact{kind: p.Kind, at: key}] = answer{string(p.Value), p.Timestamp}
}

// piece decides each suffix by its youngest entry, which may be a deletion of all.
func (m *model) piece(out facts, at string) {
	changes := m.opts.Output == merge.Changes
	del := youngest(m.where(func(e *export.Entry) bool { return e.Kind == export.DeleteRange && m.covers(e, at) }))
	if del != nil && changes {
		out[fact{kind: export.DeleteRange, at: at}] = answer{time: del.Timestamp}
	}
	clear := youngest(m.where(func(e *export.Entry) bool { return e.Kind == export.RangeKeyDelete && m.covers(e, at) }))
	if clear != nil && changes {
		out[fact{kind: export.RangeKeyDelete, at: at}] = answer{time: clear.Timestamp}
	}
	for _, suffix := range suffixes {
		best := youngest(m.where(func(e *export.Entry) bool {
			named := e.Kind == export.RangeKeySet || e.Kind == export.RangeKeyUnset
			return m.covers(e, at) && (e.Kind == export.RangeKeyDelete || named && string(e.Suffix) == suffix)
		}))
		if best != nil && (best.Kind == export.RangeKeySet || best.Kind == export.RangeKeyUnset && changes) {
			out[fact{best.Kind, at, suffix}] = answer{string(best.Value), best.Timestamp}
		}
	}
}

// read is what a merge did say: its entries with ranges cut into pieces. A DeleteRange
// may lie over another; what is told twice besides is a mistake.
func (m *model) read(entries []export.Entry) (out facts, twice []fact) {
	out = facts{}
	for i := range entries {
		e := &entries[i]
		at := []string{string(e.Key)}
		if e.Kind.IsRange() {
			at = m.pieces(e)
		}
		for _, k := range at {
			f := fact{e.Kind, k, string(e.Suffix)}
			old, again := out[f]
			if again && e.Kind != export.DeleteRange {
				twice = append(twice, f)
			}
			if !again || e.Timestamp.Compare(old.time) > 0 {
				out[f] = answer{string(e.Value), e.Timestamp}
			}
		}
	}
	return out, twice
}

// pieces are the bounds at which the pieces of a range start. A bound that is not
// one of the model's shows as a piece that nobody expects.
func (m *model) pieces(e *export.Entry) (at []string) {
	if !slices.Contains(m.bounds, string(e.Key)) || !slices.Contains(m.bounds, string(e.End)) {
		at = append(at, "odd bounds "+string(e.Key)+", "+string(e.End))
	}
	for _, b := range m.bounds {
		if m.covers(e, b) {
			at = append(at, b)
		}
	}
	return at
}

// suffixed orders keys by what stands before '@', then bare before suffixed, then
// from the highest to the lowest suffix.
var suffixed = &export.Order{
	Name: "suffixed",
	Compare: func(a, b []byte) int {
		i, j := splitAt(a), splitAt(b)
		if c := bytes.Compare(a[:i], b[:j]); c != 0 {
			return c
		}
		switch {
		case i == len(a) || j == len(b):
			return cmp.Compare(len(a)-i, len(b)-j)
		default:
			return bytes.Compare(b[j:], a[i:])
		}
	},
	Split: splitAt,
}

func splitAt(key []byte) int {
	if i := strings.IndexByte(string(key), '@'); i >= 0 {
		return i
	}
	return len(key)
}
