package varve

import (
	"context"
	"errors"
	"slices"
	"sort"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

// Scan opens a cursor over what the store held in span: sets, and range-key-sets, which are
// cut where files begin or end. The zero span is all that the layer speaks for; another
// one that it does not speak for entirely is a *TargetError, unless the rest was excluded.
// No more is in memory than some frames of the files that lie over one another. Ctx ends
// the cursor, which must be closed.
func (r *Reader) Scan(ctx context.Context, span Span) (export.Cursor, error) {
	if err := ctx.Err(); err != nil {
		return nil, r.about("scan", err)
	}
	spans, err := r.within(span)
	if err != nil {
		return nil, r.about("scan", err)
	}
	return r.scan(ctx, spans), nil
}

// scan reads spans, which the layer speaks for.
func (r *Reader) scan(ctx context.Context, spans []Span) *scan {
	s := &scan{r: r, ctx: ctx, opts: merge.Options{Order: r.order, AsOf: r.until()}}
	s.parts = r.parts(clipViews(r.order, r.content.views, spans))
	return s
}

// parts cuts what views speak for into what is read at a time.
func (r *Reader) parts(views []view) []piece {
	var out []piece
	for _, p := range planPieces(r.order, views) {
		out = append(out, p.split(r.order, partBytes)...)
	}
	return out
}

// scan is a cursor over parts of the keyspace, each of which is opened when the one before
// has ended.
type scan struct {
	r     *Reader
	ctx   context.Context // bound to one scan, as a cursor is
	opts  merge.Options
	parts []piece
	bare  bool // range keys alone are read

	next   int     // part
	source *source // nil: between parts
	err    error
	ended  bool // or closed
}

func (s *scan) Next() bool {
	for s.err == nil && !s.ended {
		if s.source != nil {
			if s.source.Next() {
				return true
			}
			if s.err = s.leave(); s.err != nil {
				break
			}
		}
		if s.next == len(s.parts) {
			s.ended = true
			break
		}
		s.err = s.open(s.parts[s.next])
		s.next++
	}
	return false
}

func (s *scan) open(p piece) error {
	open := openSource
	if s.bare {
		open = openRanges
	}
	source, err := open(s.ctx, s.r.files, p, s.opts)
	if err != nil {
		return err
	}
	s.source = source
	return nil
}

// leave closes the part that has ended.
func (s *scan) leave() error {
	err := s.source.Err()
	err = errors.Join(err, s.source.Close())
	s.source = nil
	return err
}

func (s *scan) Entry() *export.Entry {
	if s.source == nil {
		return nil
	}
	return s.source.Entry()
}

func (s *scan) Err() error { return s.r.about("scan", s.err) }

func (s *scan) Close() error {
	s.ended = true
	if s.source == nil {
		return nil
	}
	err := s.source.Close()
	s.source = nil
	return s.r.about("scan", err)
}

// nearBy is how many entries are read to get to a key before it is looked up.
const nearBy = 256

// seek goes on to the first point at or after key, which must not be before where the scan
// is. What lies between is read if it is not much, and else passed over.
func (s *scan) seek(key []byte) bool {
	compare := s.r.order.WithDefaults().Compare
	reached := func() bool { e := s.Entry(); return e != nil && !e.Kind.IsRange() && compare(e.Key, key) >= 0 }
	if reached() {
		return true
	}
	for range nearBy {
		if s.source == nil && !s.ended {
			break // where the next part begins may be far
		}
		if !s.Next() {
			return false
		}
		if reached() {
			return true
		}
	}
	if s.jump(key); s.err != nil {
		return false
	}
	for s.Next() {
		if reached() {
			return true
		}
	}
	return false
}

// jump opens the part with key, from there on.
func (s *scan) jump(key []byte) {
	if s.source != nil {
		if s.err = s.source.Close(); s.err != nil {
			return
		}
		s.source = nil
	}
	order := s.r.order
	s.next = sort.Search(len(s.parts), func(i int) bool {
		end := s.parts[i].span.End
		return len(end) == 0 || order.WithDefaults().Compare(end, key) > 0
	})
	if s.ended = s.next == len(s.parts); s.ended {
		return
	}
	p := s.parts[s.next]
	span, meets := p.span.Intersect(order, Span{Start: slices.Clone(key)}) // which the source keeps
	if !meets {
		return
	}
	rest := piece{span: span, views: clipViews(order, p.views, []Span{span})}
	s.err = s.open(rest)
	s.next++
}
