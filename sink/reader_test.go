package sink_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// TestCursorSpans: a cursor yields what lies in its span, cut at its edges.
func TestCursorSpans(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, w *world) {
		entries := w.entries()
		bucket, _ := memory(t)
		f := write(t, bucket, export.Span{}, entries, sink.Options{Form: w.form, Overlay: sink.Above}).Files[0]
		spans := []export.Span{{}, {Start: []byte("a"), End: []byte("b")}, {Start: []byte("x")}}
		for range 40 {
			spans = append(spans, export.Span{Start: prefix(w.IntN(w.prefixes)), End: prefix(w.IntN(w.prefixes))})
		}
		for _, span := range spans {
			got, err := read(t.Context(), bucket, w.form, f, span)
			require.NoError(t, err, "%s", span)
			wantPoints, wantRanges := canonical(w.order, clipped(w.order, entries, span))
			gotPoints, gotRanges := canonical(w.order, got)
			require.Equal(t, wantPoints, gotPoints, "%s", span)
			require.Equal(t, wantRanges, gotRanges, "%s", span)
			for _, e := range got {
				require.True(t, span.Contains(w.order, e.Key))
				require.True(t, !e.Kind.IsRange() || w.order.CompareEnds(e.End, span.End) <= 0)
			}
		}
	})
}

// TestReaderIsShared: many cursors of one reader, at once, each with its halves.
func TestReaderIsShared(t *testing.T) {
	t.Parallel()
	w := newWorld(4, sink.Form{Revisions: true})
	bucket, _ := memory(t)
	f := write(t, bucket, export.Span{}, w.entries(), sink.Options{Form: w.form, Compression: frame.Zstd}).Files[0]
	want, err := read(t.Context(), bucket, w.form, f, export.Span{})
	require.NoError(t, err)
	r, err := sink.Open(t.Context(), bucket, w.form, f)
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			points, err := r.Points(t.Context(), export.Span{})
			ranges, rangesErr := r.Ranges(t.Context(), export.Span{})
			if err = errors.Join(err, rangesErr); err != nil {
				t.Error(err)
				return
			}
			n := len(ranges)
			for points.Next() {
				n++
			}
			if err := errors.Join(points.Err(), points.Close(), points.Close()); err != nil || n != len(want) {
				t.Errorf("%d entries of %d, %v", n, len(want), err)
			}
		})
	}
	all.Wait()
	require.NoError(t, r.Close())
}

// big is a file of several frames.
func big(t testing.TB, codec frame.Codec) (*objectio.Bucket, *faultblob.Bucket, sink.File) {
	bucket, faults := memory(t)
	return bucket, faults, write(t, bucket, export.Span{}, noise(180), sink.Options{Compression: codec}).Files[0]
}

func requireCorrupt(t *testing.T, err error, path string, what ...any) {
	t.Helper()
	var corrupt *sink.CorruptError
	require.ErrorAs(t, err, &corrupt, what...)
	require.Equal(t, path, corrupt.Object)
}

// TestEveryByteCounts: wherever one byte of the object changes, its readers notice.
// The magic at the start is of use to Copy and CheckHash only.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	bucket, faults, f := big(t, frame.Zstd)
	whole := faults.Read(f.Path)
	offsets := []int64{0, 15, 16, 17, f.Size - f.IndexSize - 1, f.Size - f.IndexSize, f.Size - f.IndexSize + 9, f.Size - 16, f.Size - 1}
	for at := int64(100); at < f.Size; at += 50_021 {
		offsets = append(offsets, at)
	}
	for _, at := range offsets {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x10
		faults.Replace(f.Path, damaged)
		if at >= 16 {
			_, err := read(t.Context(), bucket, sink.Form{}, f, export.Span{})
			requireCorrupt(t, err, f.Path, "offset %d", at)
		}
		requireCorrupt(t, sink.Copy(t.Context(), bucket, f, io.Discard), f.Path, "offset %d", at)
		requireCorrupt(t, sink.CheckHash(t.Context(), bucket, f), f.Path, "offset %d", at)
	}
}

func TestWrongObjects(t *testing.T) {
	t.Parallel()
	bucket, faults := memory(t)
	files := write(t, bucket, export.Span{}, noise(400), sink.Options{TargetBytes: 1 << 20}).Files
	a, b := files[0], files[1]
	for name, damage := range map[string]func(){
		"swapped":   func() { faults.Swap(a.Path, b.Path) },
		"truncated": func() { faults.Truncate(a.Path, int(a.Size)-1) },
		"halved":    func() { faults.Truncate(a.Path, int(a.Size)/2) },
		"empty":     func() { faults.Truncate(a.Path, 0) },
		"longer":    func() { faults.Replace(a.Path, append(faults.Read(a.Path), 0)) },
		"gone":      func() { faults.Remove(a.Path) },
	} {
		whole := faults.Read(a.Path)
		other := faults.Read(b.Path)
		damage()
		_, err := read(t.Context(), bucket, sink.Form{}, a, export.Span{})
		requireCorrupt(t, err, a.Path, name)
		requireCorrupt(t, sink.Copy(t.Context(), bucket, a, io.Discard), a.Path, name)
		requireCorrupt(t, sink.CheckHash(t.Context(), bucket, a), a.Path, name)
		faults.Replace(a.Path, whole)
		faults.Replace(b.Path, other)
	}
}

// store puts plain bytes into an object with the right hashes.
func store(t testing.TB, faults *faultblob.Bucket, like sink.File, plain []byte) sink.File {
	w, err := frame.NewWriter(frame.Raw)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, w.Reset(&out, nil))
	_, err = w.Write(plain)
	require.NoError(t, err)
	facts, err := w.Finish()
	require.NoError(t, err)
	faults.Replace(like.Path, out.Bytes())
	like.Size, like.Plain, like.Hash = facts.Size, facts.Plain, facts.Hash
	like.IndexSize, like.IndexHash = facts.IndexSize, facts.IndexHash
	return like
}

// TestRightHashWrongTable: bytes that were recorded so and yet are no table.
func TestRightHashWrongTable(t *testing.T) {
	t.Parallel()
	bucket, faults, f := big(t, frame.Raw)
	var table bytes.Buffer
	require.NoError(t, sink.Copy(t.Context(), bucket, f, &table))
	middle := bytes.Clone(table.Bytes())
	middle[len(middle)/2] ^= 1
	for name, plain := range map[string][]byte{
		"none": nil, "noise": newWorld(1, sink.Form{}).noise(5000), "front": table.Bytes()[:len(middle)/2],
		"back": table.Bytes()[len(middle)/2:], "middle": middle,
	} {
		g := store(t, faults, f, plain)
		_, err := read(t.Context(), bucket, sink.Form{}, g, export.Span{})
		requireCorrupt(t, err, f.Path, name)
	}
	g := store(t, faults, f, table.Bytes())
	_, err := read(t.Context(), bucket, sink.Form{Revisions: true}, g, export.Span{})
	requireCorrupt(t, err, f.Path, "another order")
}

// TestStorageErrorsAreNotCorruption: bytes that cannot be had say nothing of the
// object, wherever the reader is.
func TestStorageErrorsAreNotCorruption(t *testing.T) {
	t.Parallel()
	bucket, faults, f := big(t, frame.Raw)
	for n := 1; ; n++ {
		faults.Reset()
		faults.Inject(faultblob.From(n, faultblob.Fault{Kind: faultblob.Denied}))
		_, err := read(t.Context(), bucket, sink.Form{}, f, export.Span{})
		if err == nil {
			require.Greater(t, n, 3)
			return
		}
		var corrupt *sink.CorruptError
		require.False(t, errors.As(err, &corrupt), "request %d: %v", n, err)
		require.ErrorIs(t, err, objectio.ErrDenied)
		require.ErrorContains(t, err, f.Path)
	}
}

// TestCancelledCursor: a cursor ends soon, with the context's error and no other.
func TestCancelledCursor(t *testing.T) {
	t.Parallel()
	bucket, _ := memory(t)
	w := newWorld(1, sink.Form{})
	w.prefixes = 5000
	f := write(t, bucket, export.Span{}, w.entries(), sink.Options{}).Files[0]
	for _, n := range []int{0, 1, 1000} {
		ctx, cancel := context.WithCancelCause(t.Context())
		r, err := sink.Open(ctx, bucket, sink.Form{}, f)
		require.NoError(t, err)
		c, err := r.Points(ctx, export.Span{})
		require.NoError(t, err)
		for range n {
			require.True(t, c.Next())
		}
		cancel(errors.New("a sibling failed"))
		more := 0
		for c.Next() {
			more++
		}
		require.Less(t, more, 300)
		require.ErrorIs(t, c.Err(), context.Canceled, "after %d and %d more", n, more)
		require.False(t, c.Next())
		require.NoError(t, c.Close())
		require.NoError(t, r.Close())
	}
}

// TestRequests pins what reading costs: opening, and a scan of all frames.
func TestRequests(t *testing.T) {
	t.Parallel()
	bucket, faults, f := big(t, frame.Raw)
	faults.Reset()
	r, err := sink.Open(t.Context(), bucket, sink.Form{}, f)
	require.NoError(t, err)
	require.Equal(t, "get 2", faults.Counts())
	c, err := r.Cursor(t.Context(), export.Span{})
	require.NoError(t, err)
	for c.Next() {
	}
	require.NoError(t, errors.Join(c.Err(), c.Close(), r.Close()))
	require.Equal(t, "get 5", faults.Counts())
}

func TestImpossibleFile(t *testing.T) {
	t.Parallel()
	bucket, _, f := big(t, frame.Raw)
	for name, edit := range map[string]func(*sink.File){
		"tier": func(f *sink.File) { f.Tier = -1 }, "size": func(f *sink.File) { f.Size = 0 },
		"index": func(f *sink.File) { f.IndexSize = f.Size + 1 }, "plain": func(f *sink.File) { f.Plain = -1 },
		"hash": func(f *sink.File) { f.Hash = "md5:00" }, "index hash": func(f *sink.File) { f.IndexHash = "" },
		"format": func(f *sink.File) { f.Format = "pebble.v9" }, "counts": func(f *sink.File) { f.Counts.Sets = -1 },
	} {
		g := f
		edit(&g)
		require.Error(t, g.Validate(), name)
		_, err := sink.Open(t.Context(), bucket, sink.Form{}, g)
		requireCorrupt(t, err, f.Path, name)
	}
	require.Equal(t, fmt.Sprint(f.Counts), fmt.Sprint(sink.Counts{}.Plus(f.Counts)))
}
