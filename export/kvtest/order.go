package kvtest

import (
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func orderChecks() []check {
	return []check{
		{"E3/State", checkOrder},
		{"E3/Revisions", checkRevisionOrder},
	}
}

func checkOrder(w *world) {
	w.fill()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	w.ordered(w.read(s, export.Request{}))
}

func checkRevisionOrder(w *world) {
	if !w.info.Revisions {
		w.Skipf("the store has no revisions")
	}
	w.fill()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	all := w.read(s, export.Request{Revisions: true})
	w.ordered(all)
	w.same(w.state(), Apply(w.order, nil, all))
	var revisions []string
	for _, e := range all {
		if e.Kind == export.Set && w.order.Compare(e.Key, w.key(name(21), 2)) == 0 {
			revisions = append(revisions, string(e.Value))
		}
	}
	require.Equal(w, []string{"third 21", "first 21.2"}, revisions)
}

// ordered sees to it that entries come as a cursor must yield them.
func (w *world) ordered(entries []export.Entry) {
	w.Helper()
	for i := 1; i < len(entries); i++ {
		before, e := &entries[i-1], &entries[i]
		c := w.order.Compare(before.Key, e.Key)
		switch {
		case c > 0:
			require.Fail(w, "keys descend", "%s\n%s", line(before), line(e))
		case c < 0 || before.Kind.IsRange():
		case e.Kind.IsRange():
			require.Fail(w, "a range after the point at its key", "%s\n%s", line(before), line(e))
		case before.Timestamp.Compare(e.Timestamp) <= 0:
			require.Fail(w, "not an older revision", "%s\n%s", line(before), line(e))
		}
	}
	for i := range entries {
		require.Equal(w, w.info.Revisions, !entries[i].Timestamp.IsZero(), "timestamp of %s", line(&entries[i]))
	}
}
