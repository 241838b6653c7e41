package mvcckv_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/mvcckv"
)

const name = "00000000000000000000000000000abc"

func collect(t *testing.T, s *mvcckv.Store, before export.Timestamp) export.Timestamp {
	t.Helper()
	oldest, err := s.Collect(t.Context(), before)
	require.NoError(t, err)
	info, err := s.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, info.Oldest, oldest)
	return oldest
}

func beforeGC(t *testing.T, err error, asOf, threshold export.Timestamp) {
	t.Helper()
	var gone *export.BeforeGCError
	require.ErrorAs(t, err, &gone)
	require.Equal(t, export.BeforeGCError{AsOf: asOf, Threshold: threshold}, *gone)
}

func TestCollect(t *testing.T) {
	t.Parallel()
	opts := options(vfs.NewMem())
	s := newStore(t, opts)
	first := set(t, s, "a", "1")
	set(t, s, "b", "1")
	set(t, s, "a", "2")
	deleted, err := write(t.Context(), s, func(tx *mvcckv.Tx) error { return tx.Delete(t.Context(), []byte("b")) })
	require.NoError(t, err)
	set(t, s, "a", "3")
	require.Equal(t, deleted, collect(t, s, deleted))
	require.Equal(t, deleted, collect(t, s, first), "it does not go back")

	for range 2 {
		_, err = s.Begin(t.Context(), &mvcckv.TxOptions{AsOf: first})
		beforeGC(t, err, first, deleted)
		_, err = s.Snapshot(t.Context(), export.SnapshotOptions{AsOf: first})
		beforeGC(t, err, first, deleted)
		require.Equal(t, []string{"set a=2"}, scanned(t, at(t, s, deleted), export.Span{}))
		require.NoError(t, s.Shake(t.Context()))
		snap := snapshot(t, s, export.SnapshotOptions{})
		require.Equal(t, []string{"set a=3", "set a=2"}, exported(t, snap, export.Request{Revisions: true}), "all that is left")
		require.NoError(t, snap.Close())
		s = reopen(t, s, opts)
	}
}

// TestCollectHeldBack: by whoever can still read, and by names over restarts.
func TestCollectHeldBack(t *testing.T) {
	t.Parallel()
	opts := options(vfs.NewMem())
	s := newStore(t, opts)
	set(t, s, "a", "1")
	named := snapshot(t, s, export.SnapshotOptions{Name: name})
	moment := named.Timestamp()
	require.NoError(t, named.Close())
	last := set(t, s, "a", "2")
	end := set(t, s, "a", "3")
	for range 2 {
		require.Equal(t, moment, collect(t, s, end), "a named snapshot")
		require.Equal(t, "1", get(t, at(t, s, moment), "a"))
		s = reopen(t, s, opts)
	}
	require.NoError(t, s.Release(t.Context(), name))
	view := snapshot(t, s, export.SnapshotOptions{AsOf: last})
	tx := begin(t, s, &mvcckv.TxOptions{AsOf: moment})
	require.Equal(t, moment, collect(t, s, end), "an open transaction")
	require.NoError(t, tx.Rollback())
	require.Equal(t, last, collect(t, s, end), "an open snapshot")
	require.Equal(t, []string{"set a=2"}, exported(t, view, export.Request{}))
	require.NoError(t, view.Close())
	require.Equal(t, end, collect(t, s, end))
	future := export.Timestamp{WallNanos: 1 << 62}
	require.Negative(t, collect(t, s, future).Compare(future), "the present")
}

// TestSnapshotMaxAge: what is older holds nothing, and says so instead of showing less.
func TestSnapshotMaxAge(t *testing.T) {
	t.Parallel()
	now := newWall()
	opts := options(vfs.NewMem())
	opts.Now, opts.SnapshotMaxAge = now.Now, time.Hour
	s := newStore(t, opts)
	set(t, s, "a", "1")
	named := snapshot(t, s, export.SnapshotOptions{Name: name})
	defer named.Close()
	now.add(time.Hour)
	end := set(t, s, "a", "2")
	require.Equal(t, named.Timestamp(), collect(t, s, end), "just not too old")
	require.Equal(t, []string{"set a=1"}, exported(t, named, export.Request{}))
	now.add(time.Second)
	require.Equal(t, end, collect(t, s, end))

	_, err := named.Export(t.Context(), export.Request{})
	beforeGC(t, err, named.Timestamp(), end)
	_, err = named.Partition(t.Context(), export.Span{}, export.Timestamp{})
	beforeGC(t, err, named.Timestamp(), end)
	_, err = s.Snapshot(t.Context(), export.SnapshotOptions{Name: name})
	beforeGC(t, err, named.Timestamp(), end)
	list, err := s.Snapshots(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1, "it is listed still")
	require.NoError(t, s.Release(t.Context(), name))
}

// TestPinnedBytes grows with what is written, also over a restart.
func TestPinnedBytes(t *testing.T) {
	t.Parallel()
	opts := options(vfs.NewMem())
	s := newStore(t, opts)
	named := snapshot(t, s, export.SnapshotOptions{Name: name})
	require.NoError(t, named.Close())
	pinned := func() int64 {
		list, err := s.Snapshots(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 1)
		return list[0].PinnedBytes
	}
	require.Zero(t, pinned())
	for range 10 {
		set(t, s, "a", fmt.Sprintf("%01000d", 1))
	}
	before := pinned()
	require.Greater(t, before, int64(10_000))
	s = reopen(t, s, opts)
	require.Equal(t, before, pinned())
}

// TestOpenCursorOutlivesCollect: what a cursor has begun to read it reads to its end.
func TestOpenCursorOutlivesCollect(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	for i := range 2000 {
		set(t, s, fmt.Sprintf("k%04d", i), "1")
	}
	first := snapshot(t, s, export.SnapshotOptions{})
	_, err := write(t.Context(), s, func(tx *mvcckv.Tx) error { return tx.DeleteRange(t.Context(), nil, nil) })
	require.NoError(t, err)
	second := snapshot(t, s, export.SnapshotOptions{})
	defer second.Close()
	c, err := second.Export(t.Context(), export.Request{Since: first.Timestamp()})
	require.NoError(t, err)
	require.NoError(t, first.Close())
	collect(t, s, second.Timestamp())
	require.NoError(t, s.Shake(t.Context()))
	n := 0
	for c.Next() {
		n++
	}
	require.NoError(t, c.Err())
	require.NoError(t, c.Close())
	require.Equal(t, 2000, n)
	_, err = kvtest.Collect(t.Context(), second, export.Request{Since: first.Timestamp()})
	require.ErrorIs(t, err, export.ErrNoBase)
}
