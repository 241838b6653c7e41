package kvtest

import (
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func pagingChecks() []check {
	return []check{
		{"E4/State", func(w *world) { checkPaging(w, export.Request{}) }},
		{"E4/Span", func(w *world) { checkPaging(w, export.Request{Span: w.span(name(4), name(19))}) }},
		{"E4/Revisions", checkRevisionPaging},
		{"E4/BetweenEntries", checkPagingBetween},
	}
}

func checkRevisionPaging(w *world) {
	if !w.info.Revisions {
		w.Skipf("the store has no revisions")
	}
	checkPaging(w, export.Request{Revisions: true})
}

// checkPaging resumes after every single entry.
func checkPaging(w *world, req export.Request) {
	w.fill()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	all := w.read(s, req)
	require.NotEmpty(w, all)
	for i := range all {
		position := all[i].Position()
		req.Resume = &position
		w.equal(w.after(all, position), w.read(s, req), "after %s", line(&all[i]))
	}
}

// after is what of entries follows a position, by the words of export.Position.
func (w *world) after(entries []export.Entry, p export.Position) []export.Entry {
	var rest []export.Entry
	for _, e := range entries {
		c := w.order.Compare(e.Key, p.Key)
		older := c == 0 && !e.Kind.IsRange() && e.Timestamp.Compare(p.Timestamp) < 0
		if c > 0 || older {
			rest = append(rest, e)
		}
	}
	return rest
}

// checkPagingBetween resumes at keys that no entry has.
func checkPagingBetween(w *world) {
	w.fill()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	all := w.read(s, export.Request{})
	for _, n := range []string{"a", name(7) + "x", "z"} {
		position := export.Position{Key: w.key(n, 0)}
		got := w.read(s, export.Request{Resume: &position})
		w.equal(w.after(all, position), got, "after %q", position.Key)
	}
}
