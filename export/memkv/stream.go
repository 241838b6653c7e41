package memkv

import "github.com/varvekv/varve/export"

// stream yields what is in a span and a window of a version, in the order of a
// cursor. Its entries alias the version and must not be changed.
type stream struct {
	order  *export.Order
	span   export.Span
	window window
	resume *export.Position
	single bool // entries carry no timestamps

	ranges []export.Entry // to come
	walk   walk
	left   *revision // to come of the current key
	begun  bool      // left is that of the current key
}

func newStream(db *database, v version, span export.Span, w window, resume *export.Position) *stream {
	s := &stream{order: db.order, span: span, window: w, resume: resume, single: db.opts.SingleRevision}
	s.ranges = rangeEntries(db.order, v.ranges, span, w)
	start := span.Start
	if resume != nil {
		for len(s.ranges) > 0 && db.order.Compare(s.ranges[0].Key, resume.Key) <= 0 {
			s.ranges = s.ranges[1:]
		}
		if db.order.Compare(resume.Key, start) > 0 {
			start = resume.Key
		}
	}
	s.walk = walkFrom(v.points, db.order.Compare, start)
	return s
}

// next is the next entry, and whether there is one.
func (s *stream) next() (export.Entry, bool) {
	e, ok := s.peek()
	if !ok {
		return e, false
	}
	switch {
	case e.Kind.IsRange():
		s.ranges = s.ranges[1:]
	case s.window.all:
		s.left = s.left.older
	default:
		s.left = nil
	}
	if s.single {
		e.Timestamp = export.Timestamp{}
	}
	return e, true
}

func (s *stream) peek() (export.Entry, bool) {
	point, ok := s.peekPoint()
	if len(s.ranges) > 0 && (!ok || s.order.Compare(s.ranges[0].Key, point.Key) <= 0) {
		return s.ranges[0], true
	}
	return point, ok
}

func (s *stream) peekPoint() (export.Entry, bool) {
	for n := s.walk.node(); n != nil; n = s.walk.node() {
		if len(s.span.End) > 0 && s.order.Compare(n.key, s.span.End) >= 0 {
			return export.Entry{}, false
		}
		if !s.begun {
			s.begun, s.left = true, s.first(n)
		}
		if r := s.left; r != nil && r.at.Compare(s.window.since) > 0 {
			return export.Entry{Kind: r.kind, Key: n.key, Value: r.value, Timestamp: r.at}, true
		}
		s.walk.next()
		s.begun = false
	}
	return export.Entry{}, false
}

// first is the first revision of n to yield, if it lies in the window at all.
func (s *stream) first(n *node) *revision {
	r := n.revisions.asOf(s.window.until)
	if s.window.isState() && !r.isLive() {
		return nil
	}
	if s.resume == nil || s.order.Compare(n.key, s.resume.Key) != 0 {
		return r
	}
	if s.single || s.resume.Timestamp.IsZero() {
		return nil
	}
	for r != nil && r.at.Compare(s.resume.Timestamp) >= 0 {
		if !s.window.all {
			return nil
		}
		r = r.older
	}
	return r
}
