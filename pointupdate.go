package varve

import (
	"bytes"
	"errors"
	"slices"

	"github.com/varvekv/varve/export"
)

// pointUpdate is what sets and deletions do to the points of a state, of which it reads
// no more than what lies near them.
type pointUpdate struct {
	order *export.Order
	news  *scan // sets, deletes, and deletions of ranges; of other kinds nothing is seen
	olds  *scan // the state

	begun  bool
	ahead  bool   // news is at an entry
	from   []byte // of what is deleted from here on, if hasCut
	until  []byte // to here; nil: to the end
	hasCut bool

	entry  export.Entry
	former *export.Entry
	err    error
}

func (u *pointUpdate) Next() bool {
	if u.err != nil {
		return false
	}
	if !u.begun {
		u.begun = true
		u.advance()
	}
	for u.err == nil {
		if u.hasCut {
			if u.cutNext() {
				return u.err == nil
			}
			continue
		}
		if !u.ahead {
			break
		}
		if u.change() {
			return u.err == nil
		}
	}
	u.entry, u.former = export.Entry{}, nil
	return false
}

// advance moves to the next entry of news that says something of points.
func (u *pointUpdate) advance() {
	u.ahead = false
	for u.news.Next() {
		switch u.news.Entry().Kind {
		case export.Set, export.Delete, export.DeleteRange:
			u.ahead = true
			return
		}
	}
	u.err = errors.Join(u.err, u.news.Err())
}

// cutNext yields the next key of the state that a deletion of a range takes, up to where
// news has something else to say. Where there is none, the cut is over, or news is asked.
func (u *pointUpdate) cutNext() bool {
	if u.olds.seek(u.from) {
		old := u.olds.Entry()
		within := u.order.CompareEnds(old.Key, u.until) < 0 || len(u.until) == 0
		if within && (!u.ahead || u.order.Compare(old.Key, u.news.Entry().Key) < 0) {
			u.yield(export.Entry{Kind: export.Delete, Key: old.Key}, old)
			u.passOld()
			return true
		}
	}
	if u.err = errors.Join(u.err, u.olds.Err()); u.err != nil {
		return false
	}
	if !u.ahead || len(u.until) > 0 && u.order.Compare(u.until, u.news.Entry().Key) <= 0 {
		u.hasCut = false
		return false
	}
	return u.change()
}

// change deals with what news says next, and reports whether that is a change.
func (u *pointUpdate) change() bool {
	defer func() {
		if u.err == nil {
			u.advance()
		}
	}()
	e := u.news.Entry()
	if e.Kind == export.DeleteRange {
		u.cut(e)
		return false
	}
	var old *export.Entry
	if u.olds.seek(e.Key) {
		if o := u.olds.Entry(); u.order.Compare(o.Key, e.Key) == 0 {
			old = o
		}
	}
	if u.err = errors.Join(u.err, u.olds.Err()); u.err != nil {
		return false
	}
	same := old == nil && e.Kind == export.Delete ||
		old != nil && e.Kind == export.Set && old.Timestamp == e.Timestamp && bytes.Equal(old.Value, e.Value)
	if !same {
		u.yield(*e, old)
	}
	if u.hasCut {
		u.from = append(u.from[:0], e.Key...)
	}
	if old != nil {
		u.passOld()
	}
	return !same
}

// yield keeps copies: both cursors move on before the caller looks.
func (u *pointUpdate) yield(e export.Entry, old *export.Entry) {
	u.entry, u.former = e.Clone(), nil
	if old != nil {
		o := old.Clone()
		u.former = &o
	}
}

// passOld moves past an entry of the state that was dealt with.
func (u *pointUpdate) passOld() {
	if !u.olds.Next() {
		u.err = errors.Join(u.err, u.olds.Err())
	}
}

// cut begins to delete a range, or goes on to its end.
func (u *pointUpdate) cut(e *export.Entry) {
	if !u.hasCut {
		u.hasCut, u.from, u.until = true, slices.Clone(e.Key), slices.Clone(e.End)
		return
	}
	if u.order.CompareEnds(e.End, u.until) > 0 {
		u.until = slices.Clone(e.End)
	}
}

func (u *pointUpdate) Entry() *export.Entry  { return &u.entry }
func (u *pointUpdate) Former() *export.Entry { return u.former }
func (u *pointUpdate) Err() error            { return u.err }
func (u *pointUpdate) Close() error          { return errors.Join(u.news.Close(), u.olds.Close()) }
