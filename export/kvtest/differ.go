package kvtest

import (
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

// followDiffer wants the changes to be real, and to say what they replaced.
func (w *world) followDiffer(s export.Snapshot, since export.Timestamp, state, next []export.Entry) {
	w.Helper()
	d, ok := s.(export.Differ)
	if !ok {
		return
	}
	for _, span := range append(w.someSpans(), export.Span{}) {
		changes, formers := w.differs(d, export.Request{Span: span, Since: since})
		w.ordered(changes)
		before := Clip(w.order, state, span)
		w.same(Clip(w.order, next, span), Apply(w.order, before, changes), "changes in %s", span)
		old := standing(before)
		for i, e := range changes {
			w.inside(span, &e)
			w.replaces(&e, formers[i], old)
		}
		for i := range changes {
			position := changes[i].Position()
			got, _ := w.differs(d, export.Request{Span: span, Since: since, Resume: &position})
			w.equal(w.after(changes, position), got, "after %s", line(&changes[i]))
		}
	}
}

// standing are the points of a state by key.
func standing(state []export.Entry) map[string]export.Entry {
	points := map[string]export.Entry{}
	for _, e := range state {
		if e.Kind == export.Set {
			points[string(e.Key)] = e
		}
	}
	return points
}

// replaces checks one change. Range keys may be cut anywhere, so of what they
// replaced only the form is known here. The same value at another time is a change.
func (w *world) replaces(e, former *export.Entry, points map[string]export.Entry) {
	w.Helper()
	old, there := points[string(e.Key)]
	switch {
	case e.Kind == export.DeleteRange:
		require.Nil(w, former, line(e))
	case e.Kind.IsRange():
		if former != nil {
			require.Equal(w, export.RangeKeySet, former.Kind, line(e))
			require.Equal(w, [][]byte{e.Key, e.End, e.Suffix}, [][]byte{former.Key, former.End, former.Suffix}, line(e))
		}
	case !there:
		require.Nil(w, former, line(e))
		require.Equal(w, export.Set, e.Kind, "%s deletes what was not there", line(e))
	default:
		require.NotNil(w, former, line(e))
		require.Equal(w, line(&old), line(former), line(e))
		require.False(w, e.Kind == export.Set && line(e) == line(&old), "%s is no change", line(e))
	}
}

func (w *world) differs(d export.Differ, req export.Request) (changes []export.Entry, formers []*export.Entry) {
	w.Helper()
	c, err := d.Changes(w.ctx, req)
	require.NoError(w, err)
	defer w.closing(c)
	for c.Next() {
		changes = append(changes, c.Entry().Clone())
		formers = append(formers, nil)
		if f := c.Former(); f != nil {
			f := f.Clone()
			formers[len(formers)-1] = &f
		}
	}
	require.NoError(w, c.Err())
	return changes, formers
}

// differsByRevision wants all revisions since first, and what stood there then with the
// newest of each key.
func (w *world) differsByRevision(d export.Differ, first export.Snapshot, all []export.Entry) {
	w.Helper()
	req := export.Request{Since: first.Timestamp(), Revisions: true}
	old := standing(w.read(first, export.Request{}))
	changes, formers := w.differs(d, req)
	w.equal(all, changes)
	for i := range changes {
		if e := &changes[i]; !e.Kind.IsRange() {
			before, there := old[string(e.Key)]
			newest := i == 0 || changes[i-1].Kind.IsRange() || w.order.Compare(changes[i-1].Key, e.Key) != 0
			require.Equal(w, there && newest, formers[i] != nil, line(e))
			if there && newest {
				require.Equal(w, line(&before), line(formers[i]), line(e))
			}
		}
		position := changes[i].Position()
		req.Resume = &position
		rest, told := w.differs(d, req)
		w.equal(w.after(all, position), rest, "after %s", line(&changes[i]))
		if !changes[i].Kind.IsRange() {
			require.Equal(w, formers[i+1:], append([]*export.Entry{}, told...), "after %s", line(&changes[i]))
		}
	}
}

// checkDifferBehindLocks wants changes with what they replaced to heed locks as others.
func checkDifferBehindLocks(w *world) {
	w.fill()
	first := w.base(0, export.Timestamp{})
	since, state := first.Timestamp(), w.read(first, export.Request{})
	w.closing(first)
	w.set(name(2), 0, "before the lock")
	w.set(name(20), 0, "behind it")
	key := w.lock(name(9) + "x")
	s := w.base(1, since)
	defer w.closing(s)
	d, ok := s.(export.Differ)
	if !ok {
		w.Skipf("the snapshot is no Differ")
	}
	req := export.Request{Since: since}
	c, err := d.Changes(w.ctx, req)
	require.NoError(w, err)
	defer w.closing(c)
	require.True(w, c.Next())
	require.Equal(w, w.key(name(2), 0), c.Entry().Key)
	require.False(w, c.Next())
	var locked *export.LockedError
	require.ErrorAs(w, c.Err(), &locked)
	require.Equal(w, key, locked.Key)

	req.Locks = export.PushLocks
	pushed, formers := w.differs(d, req)
	require.Len(w, pushed, 2)
	for i := range pushed {
		w.replaces(&pushed[i], formers[i], standing(state))
	}
}
