package memkv

import (
	"slices"

	"github.com/varvekv/varve/export"
)

// A write takes effect at once, at a timestamp after all others, which it
// returns. It copies what it is given. On a closed store it does nothing and
// returns the zero timestamp.
//
// Removals of ranges are resolved when they are written: each key, and each piece
// of a range key, that is live then is removed by itself, all at one timestamp.
// No range tombstone is kept, so exports hold no DeleteRange.

// Set gives key the value.
func (s *Store) Set(key, value []byte) export.Timestamp {
	return s.write(func(at export.Timestamp) {
		s.db.put(key, revision{at: at, kind: export.Set, value: slices.Clone(value)})
	})
}

// Delete removes key, whether it is there or not.
func (s *Store) Delete(key []byte) export.Timestamp {
	return s.write(func(at export.Timestamp) {
		s.db.put(key, revision{at: at, kind: export.Delete})
	})
}

// Apply makes several sets and deletes at one timestamp: whoever sees one of them sees
// all. Of two with one key the later counts.
func (s *Store) Apply(writes ...export.Entry) export.Timestamp {
	return s.write(func(at export.Timestamp) {
		for _, w := range writes {
			s.db.put(w.Key, revision{at: at, kind: w.Kind, value: slices.Clone(w.Value)})
		}
	})
}

// DeleteRange removes every key in [start, end), range keys excepted. An empty
// end reaches to the last key.
func (s *Store) DeleteRange(start, end []byte) export.Timestamp {
	return s.write(func(at export.Timestamp) { s.db.deleteRange(export.Span{Start: start, End: end}, at) })
}

// RangeKeySet gives the range [start, end) the value under suffix. The range must
// have an end, and a key; else nothing is written and the result is zero.
func (s *Store) RangeKeySet(start, end, suffix, value []byte) export.Timestamp {
	span := export.Span{Start: start, End: end}
	if len(end) == 0 || span.IsEmpty(s.db.order) {
		return export.Timestamp{}
	}
	return s.write(func(at export.Timestamp) {
		s.db.addRange(rangeWrite{
			kind: export.RangeKeySet, span: span.Clone(),
			suffix: slices.Clone(suffix), value: slices.Clone(value), at: at,
		})
	})
}

// RangeKeyUnset removes what suffix has in [start, end). An empty end reaches to
// the last key.
func (s *Store) RangeKeyUnset(start, end, suffix []byte) export.Timestamp {
	return s.write(func(at export.Timestamp) {
		for _, e := range s.db.liveRanges(export.Span{Start: start, End: end}) {
			if s.db.order.CompareSuffixes(e.Suffix, suffix) == 0 {
				span := export.Span{Start: e.Key, End: e.End}
				s.db.addRange(rangeWrite{kind: export.RangeKeyUnset, span: span.Clone(), suffix: e.Suffix, at: at})
			}
		}
	})
}

// RangeKeyDelete removes every range key in [start, end). An empty end reaches to
// the last key.
func (s *Store) RangeKeyDelete(start, end []byte) export.Timestamp {
	return s.write(func(at export.Timestamp) { s.db.deleteRangeKeys(export.Span{Start: start, End: end}, at) })
}

// Collect forgets what only readers before the timestamp could tell apart, and is
// the new Info.Oldest: before, unless a named snapshot or the newest write holds
// it back. A store that keeps single revisions has nothing to forget.
func (s *Store) Collect(before export.Timestamp) export.Timestamp {
	db := s.db
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, k := range db.named {
		before = earlier(before, k.at)
	}
	before = earlier(before, db.last)
	if !s.closed {
		db.forget(before)
	}
	return db.oldest
}

// forget makes t the oldest moment there is. It needs mu.
func (db *database) forget(t export.Timestamp) {
	if db.opts.SingleRevision || t.Compare(db.oldest) <= 0 {
		return
	}
	db.oldest = t
	db.points.replace(func(r *revision) *revision { return r.collect(t) })
	db.ranges = collectRanges(db.order, db.ranges, t)
	db.objects = collectObjects(db.objects, t)
}

func earlier(t, u export.Timestamp) export.Timestamp {
	if t.Compare(u) < 0 {
		return t
	}
	return u
}

func (s *Store) write(do func(at export.Timestamp)) export.Timestamp {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if s.closed {
		return export.Timestamp{}
	}
	at := s.db.tick()
	do(at)
	return at
}

// put makes r the newest revision of key, in place of one with the same
// timestamp. It needs mu.
func (db *database) put(key []byte, r revision) {
	newest := db.points.get(key)
	if newest.isLive() {
		db.displaced += int64(len(key) + len(newest.value))
	}
	switch {
	case db.opts.SingleRevision && r.kind == export.Delete:
		db.points.remove(key)
		return
	case db.opts.SingleRevision:
	case newest != nil && newest.at == r.at:
		r.older = newest.older
	default:
		r.older = newest
	}
	if newest == nil {
		key = slices.Clone(key)
	}
	db.points.put(key, &r)
}

func (db *database) deleteRange(span export.Span, at export.Timestamp) {
	w := walkFrom(db.points.freeze(), db.order.Compare, span.Start)
	for n := w.node(); n != nil && span.Contains(db.order, n.key); n = w.node() {
		if n.revisions.isLive() {
			db.put(n.key, revision{at: at, kind: export.Delete})
		}
		w.next()
	}
}

// addRange gives all writes of single revisions one timestamp, so that neighbours
// join whenever they were written.
func (db *database) addRange(rw rangeWrite) {
	if !db.opts.SingleRevision {
		db.ranges = append(db.ranges, rw)
		return
	}
	rw.at = export.Timestamp{Logical: 1}
	db.ranges = collectRanges(db.order, append(db.ranges, rw), rw.at)
}

func (db *database) deleteRangeKeys(span export.Span, at export.Timestamp) {
	var pieces []export.Span
	for _, e := range db.liveRanges(span) {
		last := len(pieces) - 1
		switch {
		case last < 0 || db.order.Compare(pieces[last].End, e.Key) < 0:
			pieces = append(pieces, export.Span{Start: e.Key, End: e.End})
		case db.order.Compare(pieces[last].End, e.End) < 0:
			pieces[last].End = e.End
		}
	}
	for _, piece := range pieces {
		db.addRange(rangeWrite{kind: export.RangeKeyDelete, span: piece.Clone(), at: at})
	}
}

// liveRanges are the range keys that a reader sees in span now.
func (db *database) liveRanges(span export.Span) []export.Entry {
	return rangeEntries(db.order, db.ranges, span, window{until: db.last})
}
