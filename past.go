package varve

import (
	"errors"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

// past merges the revisions of one key out of the levels of a layer, the newest first.
// Where a key and a range with it were deleted at one moment, that is one revision.
type past struct {
	inputs []*pastInput
	last   Timestamp
	begun  bool
}

// pastInput is a level, at its next entry.
type pastInput struct {
	points export.Cursor
	head   *export.Entry   // of the points; nil: there are no more
	cuts   []*export.Entry // deletions of ranges with the key, the newest first
}

func newPast(levels []merge.Level) *past {
	p := new(past)
	for _, l := range levels {
		in := &pastInput{points: l.Points}
		for i := range l.Ranges {
			in.cuts = append(in.cuts, &l.Ranges[i])
		}
		slices.SortStableFunc(in.cuts, func(a, b *export.Entry) int { return b.Timestamp.Compare(a.Timestamp) })
		p.inputs = append(p.inputs, in)
	}
	return p
}

// next is the revision before the last one, nil if there is none. Its bytes are valid until the
// next call.
func (p *past) next() (*export.Entry, error) {
	if !p.begun {
		p.begun = true
		for _, in := range p.inputs {
			if err := in.advance(); err != nil {
				return nil, err
			}
		}
	} else if err := p.pass(); err != nil {
		return nil, err
	}
	var best *export.Entry
	for i := len(p.inputs) - 1; i >= 0; i-- { // at one moment the highest level decides
		for _, e := range p.inputs[i].heads() {
			if best == nil || e.Timestamp.Compare(best.Timestamp) > 0 {
				best = e
			}
		}
	}
	if best != nil {
		p.last = best.Timestamp
	}
	return best, nil
}

// pass moves every input past the last revision.
func (p *past) pass() error {
	for _, in := range p.inputs {
		for in.head != nil && in.head.Timestamp.Compare(p.last) >= 0 {
			if err := in.advance(); err != nil {
				return err
			}
		}
		for len(in.cuts) > 0 && in.cuts[0].Timestamp.Compare(p.last) >= 0 {
			in.cuts = in.cuts[1:]
		}
	}
	return nil
}

func (p *past) close() error {
	var err error
	for _, in := range p.inputs {
		err = errors.Join(err, in.points.Close())
	}
	return err
}

// heads are the newest that is left of either kind. A set at the moment of a deletion of
// its range, in one level, is not deleted by it.
func (in *pastInput) heads() []*export.Entry {
	var out []*export.Entry
	if in.head != nil {
		out = append(out, in.head)
	}
	if len(in.cuts) > 0 {
		out = append(out, in.cuts[0])
	}
	return out
}

func (in *pastInput) advance() error {
	in.head = nil
	if in.points.Next() {
		in.head = in.points.Entry()
		return nil
	}
	return in.points.Err()
}
