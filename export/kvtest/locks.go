package kvtest

import (
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func lockChecks() []check {
	return []check{
		{"Locks/Skip", checkSkipLocks},
		{"Locks/Push", checkPushLocks},
		{"Locks/Differ", checkDifferBehindLocks},
	}
}

// lock leaves an uncommitted write between those of fill.
func (w *world) lock(name string) []byte {
	w.Helper()
	h, ok := w.h.(Locker)
	if !ok || !w.info.Locks {
		w.Skipf("no locks")
	}
	key := w.key(name, 1)
	require.NoError(w, h.Lock(key, "transaction 1"))
	return key
}

func checkSkipLocks(w *world) {
	w.fill()
	before := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(before)
	key := w.lock(name(9) + "x")
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)

	w.pieces(s, export.Span{}, export.Timestamp{}) // are known all the same
	got, err := Collect(w.ctx, s, export.Request{})
	var locked *export.LockedError
	require.ErrorAs(w, err, &locked)
	require.Equal(w, key, locked.Key)
	require.Equal(w, "transaction 1", locked.Holder)
	for i := range got {
		require.Negative(w, w.order.Compare(got[i].Key, key), "beyond the lock: %s", line(&got[i]))
	}
	for _, span := range []export.Span{w.span(name(0), name(9)), w.span(name(10), name(20))} {
		w.same(Clip(w.order, w.state(), span), w.read(s, export.Request{Span: span}), "beside the lock")
	}
	w.same(w.state(), w.read(before, export.Request{}), "a snapshot from before the lock")
}

func checkPushLocks(w *world) {
	w.fill()
	w.lock(name(9) + "x")
	w.lock(name(20))
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	w.same(w.state(), w.read(s, export.Request{Locks: export.PushLocks}))
	w.same(w.state(), w.read(s, export.Request{}), "they have been resolved")
}
