package merge

import (
	"bytes"
	"fmt"

	"github.com/varvekv/varve/export"
)

// Rewriter puts one prefix of keys in the place of another. Values are not looked at. It is
// used by one goroutine.
type Rewriter struct {
	From, To []byte

	entry    export.Entry
	key, end []byte
}

// Span is what becomes of a span all of whose keys begin with From; false if it is none.
func (r *Rewriter) Span(s export.Span) (export.Span, bool) {
	if !bytes.HasPrefix(s.Start, r.From) {
		return s, false
	}
	end, ok := r.bound(nil, s.End)
	return export.Span{Start: replaced(nil, s.Start, r.From, r.To), End: end}, ok
}

// Entry is e under its new key. It is valid until the next call.
func (r *Rewriter) Entry(e *export.Entry) (*export.Entry, error) {
	if !bytes.HasPrefix(e.Key, r.From) {
		return nil, fmt.Errorf("key %q does not begin with %q", e.Key, r.From)
	}
	r.entry = *e
	r.key = replaced(r.key[:0], e.Key, r.From, r.To)
	r.entry.Key = r.key
	if e.Kind.IsRange() {
		var ok bool
		if r.end, ok = r.bound(r.end[:0], e.End); !ok {
			return nil, fmt.Errorf("range from %q ends at %q, outside the prefix %q", e.Key, e.End, r.From)
		}
		r.entry.End = r.end
	}
	return &r.entry, nil
}

// bound is what becomes of an end: of a key with the prefix, or of what comes behind the last
// of them.
func (r *Rewriter) bound(buf, end []byte) ([]byte, bool) {
	switch behind := export.PrefixSpan(r.From).End; {
	case len(end) > 0 && bytes.HasPrefix(end, r.From):
		return replaced(buf, end, r.From, r.To), true
	case bytes.Equal(end, behind):
		return append(buf, export.PrefixSpan(r.To).End...), true
	}
	return buf, false
}

func replaced(buf, key, from, to []byte) []byte {
	return append(append(buf, to...), key[len(from):]...)
}
