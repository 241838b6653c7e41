package varve

import (
	"bytes"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/merge"
)

// liveRows digests a state in rows, as a cursor yields it: also one with all revisions,
// of which only what a reader of the newest moment sees counts.
type liveRows struct {
	order     *export.Order
	revisions bool
	rower     *digest.Rower
	ranges    []export.Entry // that reach into the row
	deletes   []export.Entry // of these, what deletes points
	last      []byte         // key of the point before
	begun     bool
}

func newLiveRows(info export.Info, start []byte, limit int64) *liveRows {
	return &liveRows{
		order: info.Order.WithDefaults(), revisions: info.Revisions,
		rower: digest.NewRower(info.Order, start, limit),
	}
}

// add takes the next entry. Of a key the newest revision comes first, and ranges come
// before the points that they cover.
func (l *liveRows) add(e *export.Entry) {
	if l.rower.Due(e.Key) {
		l.cut(e.Key[:l.order.Split(e.Key)])
	}
	switch {
	case e.Kind.IsRange():
		held := e.Clone()
		l.ranges = append(l.ranges, held)
		if e.Kind == export.DeleteRange {
			l.deletes = append(l.deletes, held)
		}
		l.rower.Add(e)
	case l.counts(e):
		l.rower.Add(e)
	}
}

// counts reports whether a point is what a reader sees at its key.
func (l *liveRows) counts(e *export.Entry) bool {
	if !l.revisions {
		return true
	}
	if l.begun && bytes.Equal(l.last, e.Key) {
		return false
	}
	l.last, l.begun = append(l.last[:0], e.Key...), true
	return e.Kind == export.Set && !slices.ContainsFunc(l.deletes, func(d export.Entry) bool {
		return d.Timestamp.Compare(e.Timestamp) > 0 && l.order.Compare(e.Key, d.End) < 0
	})
}

// cut ends the row at a bare prefix, or at the end of what there is.
func (l *liveRows) cut(at []byte) {
	live := l.ranges
	if l.revisions {
		live = merge.LiveRanges(l.order, live)
	}
	l.rower.End(at, live)
	ended := func(e export.Entry) bool { return l.order.CompareEnds(e.End, at) <= 0 }
	l.ranges, l.deletes = slices.DeleteFunc(l.ranges, ended), slices.DeleteFunc(l.deletes, ended)
}

// rows are all of them, up to end.
func (l *liveRows) rows(end []byte) []digest.Row {
	l.cut(end)
	return l.rower.Rows()
}
