package memkv_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

func newStore(t *testing.T, opts *memkv.Options) *memkv.Store {
	t.Helper()
	store, err := memkv.New(opts)
	require.NoError(t, err)
	return store
}

func newSnapshot(t *testing.T, store *memkv.Store, opts export.SnapshotOptions) export.Snapshot {
	t.Helper()
	s, err := store.Snapshot(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestOptions(t *testing.T) {
	t.Parallel()
	_, err := memkv.New(&memkv.Options{PartitionBytes: -1})
	require.ErrorContains(t, err, "PartitionBytes")
	noChance := errors.New("no chance")
	_, err = memkv.New(&memkv.Options{Rand: iotest.ErrReader(noChance)})
	require.ErrorIs(t, err, noChance)

	store := newStore(t, &memkv.Options{Rand: strings.NewReader("0123456789abcdef")})
	info, err := store.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, "30313233343536373839616263646566", info.Lineage)
	require.True(t, info.Revisions)
	require.True(t, info.AtomicIngest)
	require.False(t, info.Locks)
	require.Zero(t, info.Oldest)
}

// TestClock writes with a clock that stands still and one that goes back.
func TestClock(t *testing.T) {
	t.Parallel()
	now := time.Unix(100, 0)
	store := newStore(t, &memkv.Options{Now: func() time.Time { return now }})
	require.Equal(t, export.Timestamp{WallNanos: 100e9}, store.Set([]byte("a"), nil))
	require.Equal(t, export.Timestamp{WallNanos: 100e9, Logical: 1}, store.Set([]byte("a"), nil))
	now = time.Unix(90, 0)
	require.Equal(t, export.Timestamp{WallNanos: 100e9, Logical: 2}, store.Delete([]byte("a")))
	now = time.Unix(110, 0)
	s := newSnapshot(t, store, export.SnapshotOptions{})
	require.Equal(t, export.Timestamp{WallNanos: 110e9}, s.Timestamp())
	require.Equal(t, export.Timestamp{WallNanos: 110e9, Logical: 1}, store.Set([]byte("a"), nil), "after the snapshot")
}

func TestGet(t *testing.T) {
	t.Parallel()
	store := newStore(t, nil)
	value := []byte("1")
	store.Set([]byte("a"), value)
	value[0] = 'x'
	got, ok := store.Get([]byte("a"))
	require.True(t, ok)
	require.Equal(t, []byte("1"), got)
	got[0] = 'x'
	got, _ = store.Get([]byte("a"))
	require.Equal(t, []byte("1"), got, "copies go in and out")
	store.Delete([]byte("a"))
	for _, key := range []string{"a", "b"} {
		_, ok = store.Get([]byte(key))
		require.False(t, ok)
	}
}

func TestClosedStore(t *testing.T) {
	t.Parallel()
	store := newStore(t, nil)
	store.Set([]byte("a"), []byte("1"))
	s := newSnapshot(t, store, export.SnapshotOptions{})
	c, err := s.Export(t.Context(), export.Request{})
	require.NoError(t, err)
	in, err := store.Ingest(t.Context(), export.IngestOptions{})
	require.NoError(t, err)
	next := store.Reopen()
	require.Zero(t, store.Set([]byte("a"), []byte("2")))
	require.Empty(t, store.State(export.Span{}))
	_, ok := store.Get([]byte("a"))
	require.False(t, ok)
	require.False(t, c.Next())
	require.ErrorIs(t, c.Err(), export.ErrClosed)
	require.ErrorIs(t, in.Commit(t.Context()), export.ErrClosed)
	require.Len(t, next.State(export.Span{}), 1)
}

// TestCursorSpoils sees that bytes kept against the contract are garbage.
func TestCursorSpoils(t *testing.T) {
	t.Parallel()
	store := newStore(t, nil)
	store.Set([]byte("a"), []byte("first"))
	store.Set([]byte("b"), []byte("2"))
	s := newSnapshot(t, store, export.SnapshotOptions{})
	c, err := s.Export(t.Context(), export.Request{})
	require.NoError(t, err)
	require.True(t, c.Next())
	kept := c.Entry().Value
	require.Equal(t, "first", string(kept))
	require.True(t, c.Next())
	require.NotEqual(t, "first", string(kept))
	last := c.Entry().Value
	require.NoError(t, c.Close())
	require.NotEqual(t, "2", string(last))
}

func TestAsOf(t *testing.T) {
	t.Parallel()
	store := newStore(t, nil)
	first := store.Set([]byte("a"), []byte("1"))
	second := store.Set([]byte("a"), []byte("2"))
	require.Equal(t, second, store.Collect(second))
	_, err := store.Snapshot(t.Context(), export.SnapshotOptions{AsOf: first})
	var gone *export.BeforeGCError
	require.ErrorAs(t, err, &gone)
	ahead := export.At(time.Now().Add(time.Hour))
	_, err = store.Snapshot(t.Context(), export.SnapshotOptions{AsOf: ahead})
	require.ErrorContains(t, err, "it is")
	require.Equal(t, second, store.Collect(ahead), "not beyond the newest write")
	require.Equal(t, second, store.Collect(first), "never backwards")
}

// TestNewLineageForgets restores another history: moments of the former are gone.
func TestNewLineageForgets(t *testing.T) {
	t.Parallel()
	store := newStore(t, nil)
	before := store.Set([]byte("a"), []byte("1"))
	kept := newSnapshot(t, store, export.SnapshotOptions{Name: "0a"})
	in, err := store.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{}}, Replace: true, Lineage: "other"})
	require.NoError(t, err)
	require.NoError(t, in.Commit(t.Context()))
	s := newSnapshot(t, store, export.SnapshotOptions{})
	_, err = s.Export(t.Context(), export.Request{Since: before})
	require.ErrorIs(t, err, export.ErrNoBase)
	_, err = store.Snapshot(t.Context(), export.SnapshotOptions{Name: "0a"})
	require.ErrorContains(t, err, "lineage")
	c, err := kept.Export(t.Context(), export.Request{})
	require.NoError(t, err)
	require.True(t, c.Next(), "who has it open reads on")
	require.NoError(t, c.Close())
}

func TestUnlock(t *testing.T) {
	t.Parallel()
	store := newStore(t, &memkv.Options{Locks: true})
	store.Lock([]byte("b"), "t1")
	store.Lock([]byte("a"), "t2")
	s := newSnapshot(t, store, export.SnapshotOptions{})
	for _, key := range []string{"a", "b"} {
		c, err := s.Export(t.Context(), export.Request{})
		require.NoError(t, err)
		require.False(t, c.Next())
		var locked *export.LockedError
		require.ErrorAs(t, c.Err(), &locked)
		require.Equal(t, key, string(locked.Key))
		store.Unlock([]byte(key))
	}
	c, err := s.Export(t.Context(), export.Request{})
	require.NoError(t, err)
	require.False(t, c.Next())
	require.NoError(t, c.Err())
}

func TestRefusedNames(t *testing.T) {
	t.Parallel()
	store := newStore(t, nil)
	for _, name := range []string{"A0", "../a", "g", " "} {
		_, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: name})
		require.ErrorContains(t, err, "hex")
		_, err = store.Ingest(t.Context(), export.IngestOptions{Name: name})
		require.ErrorContains(t, err, "hex")
	}
}

func TestRefusedSpans(t *testing.T) {
	t.Parallel()
	store := newStore(t, &memkv.Options{Order: suffixed()})
	s := newSnapshot(t, store, export.SnapshotOptions{})
	in, err := store.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{}}})
	require.NoError(t, err)
	for _, torn := range []export.Span{{Start: []byte("a@1")}, {End: []byte("a@1")}} {
		_, err := s.Export(t.Context(), export.Request{Span: torn})
		require.ErrorContains(t, err, "bare prefix")
		_, err = s.Partition(t.Context(), torn, export.Timestamp{})
		require.ErrorContains(t, err, "bare prefix")
		_, err = store.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{torn}})
		require.ErrorContains(t, err, "bare prefix")
		_, err = in.Load(t.Context(), torn)
		require.ErrorContains(t, err, "bare prefix")
	}
}

// turning is a context that is cancelled when it was asked a number of times.
type turning struct {
	context.Context
	left int
}

func (c *turning) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestCommitCancelledMidway stops a commit at each place where it looks.
func TestCommitCancelledMidway(t *testing.T) {
	t.Parallel()
	store := newStore(t, nil)
	for key := byte('a'); key < 'm'; key++ {
		store.Set([]byte{key}, []byte("old"))
	}
	store.RangeKeySet([]byte("a"), []byte("m"), nil, []byte("old"))
	before := store.State(export.Span{})
	opts := export.IngestOptions{Spans: []export.Span{{End: []byte("f")}, {Start: []byte("f")}}, Replace: true, Lineage: "other"}
	in, err := store.Ingest(t.Context(), opts)
	require.NoError(t, err)
	for i, key := range []string{"b", "g"} {
		l, err := in.Load(t.Context(), opts.Spans[i])
		require.NoError(t, err)
		require.NoError(t, l.Add(&export.Entry{Kind: export.Set, Key: []byte(key), Value: []byte("new")}))
		require.NoError(t, l.Finish())
	}
	stops := 0
	for ; ; stops++ {
		err := in.Commit(&turning{Context: t.Context(), left: stops})
		if err == nil {
			break
		}
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, before, store.State(export.Span{}), "stopped at %d", stops)
	}
	require.Greater(t, stops, 3)
	require.Len(t, store.State(export.Span{}), 2)
}

// TestReleasedHolds releases a snapshot that is read: it keeps its name and its
// history until it is closed.
func TestReleasedHolds(t *testing.T) {
	t.Parallel()
	store := newStore(t, nil)
	store.Set([]byte("a"), []byte("1"))
	s := newSnapshot(t, store, export.SnapshotOptions{Name: "0a"})
	newest := store.Set([]byte("a"), []byte("2"))
	require.NoError(t, store.Release(t.Context(), "0a"))
	require.Equal(t, s.Timestamp(), store.Collect(newest))
	_, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: "0a"})
	require.ErrorContains(t, err, "released")
	require.NoError(t, s.Close())
	require.Equal(t, newest, store.Collect(newest))
	newSnapshot(t, store, export.SnapshotOptions{Name: "0a"})
}

func TestLockAfterAsOf(t *testing.T) {
	t.Parallel()
	store := newStore(t, &memkv.Options{Locks: true})
	at := store.Set([]byte("a"), []byte("1"))
	store.Lock([]byte("b"), "t1")
	s := newSnapshot(t, store, export.SnapshotOptions{AsOf: at})
	c, err := s.Export(t.Context(), export.Request{})
	require.NoError(t, err)
	require.True(t, c.Next())
	require.False(t, c.Next())
	require.NoError(t, c.Err())
}

// TestCollectForgetsDeletions keeps nothing of a key that was gone by then.
func TestCollectForgetsDeletions(t *testing.T) {
	t.Parallel()
	store := newStore(t, nil)
	store.Set([]byte("a"), []byte("1"))
	store.Delete([]byte("a"))
	store.Collect(store.Set([]byte("b"), []byte("1")))
	s := newSnapshot(t, store, export.SnapshotOptions{})
	c, err := s.Export(t.Context(), export.Request{Revisions: true})
	require.NoError(t, err)
	require.True(t, c.Next())
	require.Equal(t, "b", string(c.Entry().Key))
	require.False(t, c.Next())
	require.NoError(t, c.Err())
}
