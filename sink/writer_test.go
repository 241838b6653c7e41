package sink_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// eachForm runs a test with a random level of each form.
func eachForm(t *testing.T, test func(t *testing.T, w *world)) {
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(3) {
				test(t, newWorld(seed, form))
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, w *world) {
		entries := w.entries()
		codec := frame.Raw + frame.Codec(w.IntN(3))
		for _, target := range []int64{1 << 10, 8 << 10, 64 << 10, 1 << 30} {
			bucket, _ := memory(t)
			opts := sink.Options{Form: w.form, TargetBytes: target, Compression: codec, Overlay: sink.Overlay(w.IntN(2))}
			result := write(t, bucket, export.Span{}, entries, opts)
			checkFiles(t, w, bucket, export.Span{}, entries, result.Files)
		}
	})
}

// checkFiles compares the files with what was written: they tile the span, keep what
// they say of themselves, and hold the entries.
func checkFiles(t *testing.T, w *world, bucket *objectio.Bucket, span export.Span, entries []export.Entry, files []sink.File) {
	t.Helper()
	var got []export.Entry
	var counts sink.Counts
	for i, f := range files {
		require.NoError(t, f.Validate())
		require.NoError(t, sink.CheckHash(t.Context(), bucket, f))
		if i > 0 {
			require.Equal(t, files[i-1].Span.End, f.Span.Start)
		}
		in, err := read(t.Context(), bucket, w.form, f, export.Span{})
		require.NoError(t, err)
		checkFacts(t, w, f, in)
		got = append(got, in...)
		counts = counts.Plus(f.Counts)
	}
	require.Equal(t, string(span.Start), string(files[0].Span.Start))
	require.Equal(t, string(span.End), string(files[len(files)-1].Span.End))

	wantPoints, wantRanges := canonical(w.order, entries)
	gotPoints, gotRanges := canonical(w.order, got)
	require.Equal(t, wantPoints, gotPoints)
	require.Equal(t, wantRanges, gotRanges)
	require.EqualValues(t, len(wantPoints), counts.Sets+counts.Deletes)
}

// checkFacts compares what the file says of itself with what is in it.
func checkFacts(t *testing.T, w *world, f sink.File, in []export.Entry) {
	t.Helper()
	require.NotEmpty(t, in)
	require.True(t, w.order.CutPoint(f.Span.Start))
	require.True(t, w.order.CutPoint(f.Span.End))
	smallest, largest := in[0].Key, in[0].Key
	var oldest, newest export.Timestamp
	for i := range in {
		e := &in[i]
		require.True(t, f.Span.Contains(w.order, e.Key), "%q in %s", e.Key, f.Span)
		if i > 0 {
			c := w.order.Compare(in[i-1].Key, e.Key)
			require.False(t, c > 0 || c == 0 && e.Kind.IsRange() && !in[i-1].Kind.IsRange(), "%v after %v", e, in[i-1])
		}
		last := e.Key
		if e.Kind.IsRange() {
			last = e.End
			require.LessOrEqual(t, w.order.CompareEnds(last, f.Span.End), 0)
		}
		if w.order.Compare(last, largest) > 0 {
			largest = last
		}
		if i == 0 || e.Timestamp.Compare(oldest) < 0 {
			oldest = e.Timestamp
		}
		if e.Timestamp.Compare(newest) > 0 {
			newest = e.Timestamp
		}
	}
	require.Equal(t, string(smallest), string(f.Smallest))
	require.Equal(t, string(largest), string(f.Largest))
	require.Equal(t, oldest, f.MinTimestamp)
	require.Equal(t, newest, f.MaxTimestamp)
}

// TestRollsAtTarget: files are about as large as asked for, even where that is less
// than a frame.
func TestRollsAtTarget(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, w *world) {
		w.prefixes, w.rangeMax = 800, 3 // where ranges overlap, tables repeat them
		entries := w.entries()
		var logical int64
		for i := range entries {
			logical += entries[i].Size()
		}
		for _, target := range []int64{1 << 10, 8 << 10, 64 << 10} {
			bucket, _ := memory(t)
			files := write(t, bucket, export.Span{}, entries, sink.Options{Form: w.form, TargetBytes: target}).Files
			require.Greater(t, int64(len(files)), logical/(4*target), "target %d", target)
			for _, f := range files[:len(files)-1] {
				require.Less(t, f.Size, 3*target+(16<<10), "target %d", target)
			}
		}
	})
}

// TestRollsWithRangesOnly: ranges are held until their file ends, and make it end.
func TestRollsWithRangesOnly(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, w *world) {
		w.rangeMax = 3
		var ranges []export.Entry
		for _, e := range w.entries() {
			if e.Kind.IsRange() && e.Kind != export.DeleteRange {
				ranges = append(ranges, e)
			}
		}
		bucket, _ := memory(t)
		files := write(t, bucket, export.Span{}, ranges, sink.Options{Form: w.form, TargetBytes: 2 << 10}).Files
		require.Greater(t, len(files), 5)
		checkFiles(t, w, bucket, export.Span{}, ranges, files)
	})
}

func TestSpanOfWriter(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, w *world) {
		span := export.Span{Start: prefix(100), End: prefix(300)}
		entries := clipped(w.order, w.entries(), span)
		w.sort(entries)
		bucket, _ := memory(t)
		files := write(t, bucket, span, entries, sink.Options{Form: w.form, TargetBytes: 4 << 10}).Files
		checkFiles(t, w, bucket, span, entries, files)
	})
}

func TestEmptyWriter(t *testing.T) {
	t.Parallel()
	bucket, faults := memory(t)
	require.Empty(t, write(t, bucket, export.Span{}, nil, sink.Options{}))
	require.Empty(t, faults.Keys())
}

func digestOf(entries []export.Entry) (d digest.Digest) {
	var h digest.Hasher
	for i := range entries {
		h.Add(&d, &entries[i])
	}
	return d
}

// TestRows: the rows add up to the input whatever their number, and each is the
// digest of what the tables hold between its start and the next.
func TestRows(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, w *world) {
		w.state = w.IntN(2) == 0
		entries := w.entries()
		want := digestOf(entries)
		for _, target := range []int64{1 << 10, 8 << 10, 1 << 30} {
			bucket, _ := memory(t)
			result := write(t, bucket, export.Span{}, entries, sink.Options{Form: w.form, TargetBytes: target})
			require.Equal(t, want, digest.Total(result.Rows))
			var all []export.Entry
			for _, f := range result.Files {
				in, err := read(t.Context(), bucket, w.form, f, export.Span{})
				require.NoError(t, err)
				all = append(all, in...)
			}
			for i, row := range result.Rows {
				span := export.Span{Start: row.Start}
				if i+1 < len(result.Rows) {
					span.End = result.Rows[i+1].Start
				}
				require.True(t, w.order.CutPoint(row.Start))
				require.Equal(t, digestOf(clipped(w.order, all, span)), row.Digest, "row %d of %d", i, len(result.Rows))
			}
		}
	})
}

func TestNoDigest(t *testing.T) {
	t.Parallel()
	bucket, _ := memory(t)
	entries := newWorld(1, sink.Form{}).entries()
	require.Empty(t, write(t, bucket, export.Span{}, entries, sink.Options{TargetBytes: 2 << 10, NoDigest: true}).Rows)
}

// TestDeterminism: equal entries make equal objects.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, w *world) {
		entries := w.entries()
		opts := sink.Options{Form: w.form, TargetBytes: 16 << 10, Compression: frame.Zstd}
		one, oneFaults := memory(t)
		two, twoFaults := memory(t)
		require.Equal(t, write(t, one, export.Span{}, entries, opts), write(t, two, export.Span{}, entries, opts))
		require.Equal(t, oneFaults.Keys(), twoFaults.Keys())
		for _, key := range oneFaults.Keys() {
			require.True(t, bytes.Equal(oneFaults.Read(key), twoFaults.Read(key)), key)
		}
	})
}

// TestWrote: a file is told of once, in order, and when it is stored.
func TestWrote(t *testing.T) {
	t.Parallel()
	bucket, faults := memory(t)
	var told []sink.File
	result := write(t, bucket, export.Span{}, newWorld(1, sink.Form{}).entries(), sink.Options{
		TargetBytes: 8 << 10, Layer: "4c", Tier: 2,
		Wrote: func(f sink.File) {
			told = append(told, f)
			require.Len(t, faults.Read(f.Path), int(f.Size))
		},
	})
	require.Equal(t, result.Files, told)
	for i, f := range told {
		require.Equal(t, name(i), f.Path)
		require.Equal(t, "4c", f.Layer)
		require.Equal(t, 2, f.Tier)
	}
}

// TestMemory is not parallel: it looks at the heap of the whole process.
func TestMemory(t *testing.T) {
	const total, most = 256 << 20, 24 << 20
	w, err := begin(t.Context(), newVoid().open(), export.Span{}, sink.Options{Compression: frame.Zstd})
	require.NoError(t, err)
	defer w.Abort()
	value := newWorld(1, sink.Form{}).noise(1 << 10)
	before := liveHeap()
	for i := range total / len(value) {
		require.NoError(t, w.Add(&export.Entry{Kind: export.Set, Key: fmt.Appendf(nil, "%016d", i), Value: value}))
		if i%(16<<10) == 0 {
			require.Less(t, liveHeap(), before+most)
		}
	}
	result, err := w.Finish()
	require.NoError(t, err)
	require.NotEmpty(t, result.Files)
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
