package memkv

import "github.com/varvekv/varve/export"

// Get is a copy of the value of key now, and whether it has one. On a closed
// store it has none.
func (s *Store) Get(key []byte) ([]byte, bool) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	r := s.db.points.get(key)
	if s.closed || !r.isLive() {
		return nil, false
	}
	return append([]byte{}, r.value...), true
}

// State is what an export of span would hold now: the live keys and the range
// keys, in the order of a cursor, range keys joined where neighbours are equal.
// The entries are the caller's. On a closed store there are none.
func (s *Store) State(span export.Span) []export.Entry {
	return s.stateAt(span, nil)
}

// StateAt is what State was at a moment of the past, which must not be before
// Info.Oldest. A store that keeps single revisions has its present state only.
func (s *Store) StateAt(at export.Timestamp, span export.Span) []export.Entry {
	return s.stateAt(span, &at)
}

func (s *Store) stateAt(span export.Span, at *export.Timestamp) []export.Entry {
	s.db.mu.Lock()
	if s.closed {
		s.db.mu.Unlock()
		return nil
	}
	v, until := s.db.freeze(), s.db.last
	s.db.mu.Unlock()
	if at != nil && !s.db.opts.SingleRevision {
		until = *at
	}
	in := newStream(s.db, v, span, window{until: until}, nil)
	var state []export.Entry
	for e, ok := in.next(); ok; e, ok = in.next() {
		state = append(state, cloneEntry(&e))
	}
	return state
}

// cloneEntry copies the bytes of e too; empty ones become nil.
func cloneEntry(e *export.Entry) export.Entry {
	clone := func(b []byte) []byte { return append([]byte(nil), b...) }
	return export.Entry{
		Kind: e.Kind, Timestamp: e.Timestamp,
		Key: clone(e.Key), End: clone(e.End), Suffix: clone(e.Suffix), Value: clone(e.Value),
	}
}
