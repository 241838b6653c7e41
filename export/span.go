package export

import (
	"fmt"
	"slices"
)

// Span is the half-open interval of keys [Start, End). The zero Span is
// everything; a nil or empty End reaches to the last key, a nil or empty Start
// begins at the first. All methods take the order of the keys, nil for bytewise.
type Span struct {
	Start []byte `json:"start,omitempty"`
	End   []byte `json:"end,omitempty"`
}

// PrefixSpan is all keys that begin with prefix, in the bytewise order. It shares no
// bytes with prefix.
func PrefixSpan(prefix []byte) Span {
	s := Span{Start: slices.Clone(prefix)}
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			s.End = slices.Clone(prefix[:i+1])
			s.End[i]++
			break
		}
	}
	return s
}

// CompareEnds orders two span ends, of which an empty one is the last.
func (o *Order) CompareEnds(a, b []byte) int {
	switch {
	case len(a) == 0 && len(b) == 0:
		return 0
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return o.WithDefaults().Compare(a, b)
}

// IsEmpty reports whether no key can be in s: its end is not after its start.
func (s Span) IsEmpty(o *Order) bool {
	return len(s.End) > 0 && o.WithDefaults().Compare(s.Start, s.End) >= 0
}

// Contains reports whether key lies in s.
func (s Span) Contains(o *Order, key []byte) bool {
	cmp := o.WithDefaults().Compare
	return cmp(s.Start, key) <= 0 && (len(s.End) == 0 || cmp(key, s.End) < 0)
}

// Covers reports whether all of t lies in s.
func (s Span) Covers(o *Order, t Span) bool {
	return o.WithDefaults().Compare(s.Start, t.Start) <= 0 && o.CompareEnds(t.End, s.End) <= 0
}

// Intersect is the part that s and t share, and whether there is one. The result
// aliases their bytes.
func (s Span) Intersect(o *Order, t Span) (Span, bool) {
	r := s
	if o.WithDefaults().Compare(t.Start, r.Start) > 0 {
		r.Start = t.Start
	}
	if o.CompareEnds(t.End, r.End) < 0 {
		r.End = t.End
	}
	return r, !r.IsEmpty(o)
}

// Overlaps reports whether s and t share a key.
func (s Span) Overlaps(o *Order, t Span) bool {
	_, ok := s.Intersect(o, t)
	return ok
}

// Clone is a deep copy of s.
func (s Span) Clone() Span {
	return Span{Start: slices.Clone(s.Start), End: slices.Clone(s.End)}
}

// String is for messages: ["a", "b"), with the open ends left out.
func (s Span) String() string {
	start, end := "", ""
	if len(s.Start) > 0 {
		start = fmt.Sprintf("%q", s.Start)
	}
	if len(s.End) > 0 {
		end = fmt.Sprintf("%q", s.End)
	}
	return "[" + start + ", " + end + ")"
}
