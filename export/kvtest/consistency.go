package kvtest

import (
	"errors"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
)

func consistencyChecks() []check {
	return []check{
		{"E1/Isolation", checkIsolation},
		{"E1/OpenCursor", checkOpenCursor},
		{"E1/After", checkAfter},
		{"E1/AsOf", checkAsOf},
		{"E1/AsOfUnsupported", checkAsOfUnsupported},
	}
}

// checkIsolation exports over and over while others write and data moves about.
func checkIsolation(w *world) {
	w.fill()
	want := w.state()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)

	stop := make(chan struct{})
	var writers errgroup.Group
	for n := range 2 {
		writers.Go(func() error { return w.disturb(n, stop) })
	}
	var readers errgroup.Group
	got := make([][]export.Entry, 6)
	for n := range got {
		readers.Go(func() (err error) {
			got[n], err = Collect(w.ctx, s, export.Request{})
			return err
		})
	}
	readError := readers.Wait()
	close(stop)
	require.NoError(w, writers.Wait())
	require.NoError(w, readError)
	for _, entries := range got {
		w.same(want, entries)
	}
	w.shake()
	w.same(want, w.read(s, export.Request{}), "after the writes")
}

// disturb writes until it is stopped, and once at least.
func (w *world) disturb(n int, stop <-chan struct{}) error {
	for i := 0; ; i++ {
		err := w.h.Set(w.key(name(i%samples), n), fmt.Appendf(nil, "noise %d", i))
		if err == nil {
			err = w.h.Delete(w.key(name((i+samples/2)%samples), n))
		}
		if shaker, ok := w.h.(Shaker); ok && err == nil && i%200 == 0 {
			err = shaker.Shake()
		}
		if err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// checkOpenCursor writes between the entries of a cursor.
func checkOpenCursor(w *world) {
	w.fill()
	want := w.state()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	c, err := s.Export(w.ctx, export.Request{})
	require.NoError(w, err)
	defer w.closing(c)
	var got []export.Entry
	for c.Next() {
		got = append(got, clone(c.Entry()))
		w.delete(name(samples-1-len(got)%samples), 1)
		w.set(name(len(got)%samples), 2, "meanwhile")
		if len(got)%50 == 0 {
			w.shake()
		}
	}
	require.NoError(w, c.Err())
	w.same(want, got)
}

func checkAfter(w *world) {
	w.set("a", 0, "1")
	first := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(first)
	second := w.snapshot(w.store, export.SnapshotOptions{After: first.Timestamp()})
	defer w.closing(second)
	require.Positive(w, second.Timestamp().Compare(first.Timestamp()))

	ahead := export.At(first.Timestamp().Time().Add(time.Hour))
	third, err := w.store.Snapshot(w.ctx, export.SnapshotOptions{After: ahead})
	if w.info.Revisions && err != nil {
		return // a store with history need not go beyond its clock
	}
	require.NoError(w, err)
	defer w.closing(third)
	require.Positive(w, third.Timestamp().Compare(ahead))
}

func checkAsOf(w *world) {
	if !w.info.Revisions {
		w.Skipf("the store has no revisions")
	}
	w.fill()
	want := w.state()
	now := w.snapshot(w.store, export.SnapshotOptions{})
	at := now.Timestamp()
	w.closing(now)
	w.deleteRange(name(0), name(9))
	w.rangeKeySet(name(0), name(9), 1, "after")
	w.set(name(20), 1, "after")
	w.delete(name(21), 1)
	w.shake()

	s := w.snapshot(w.store, export.SnapshotOptions{AsOf: at})
	defer w.closing(s)
	require.Equal(w, at, s.Timestamp())
	w.same(want, w.read(s, export.Request{}))

	_, err := w.store.Snapshot(w.ctx, export.SnapshotOptions{AsOf: at, After: at})
	require.Error(w, err, "After must come before AsOf")
}

func checkAsOfUnsupported(w *world) {
	if w.info.Revisions {
		w.Skipf("the store has revisions")
	}
	s := w.snapshot(w.store, export.SnapshotOptions{})
	at := s.Timestamp()
	w.closing(s)
	_, err := w.store.Snapshot(w.ctx, export.SnapshotOptions{AsOf: at})
	require.ErrorIs(w, err, errors.ErrUnsupported)
}
