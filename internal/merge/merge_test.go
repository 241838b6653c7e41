package merge_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

// eachWorld runs a test in many small worlds, with and without revisions, under a
// plain order and one with prefixes.
func eachWorld(t *testing.T, worlds uint64, test func(t *testing.T, w *world)) {
	for _, order := range []*export.Order{nil, suffixed} {
		for _, timed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/timed=%v", order.WithDefaults().Name, timed), func(t *testing.T) {
				t.Parallel()
				for seed := range worlds {
					w := newWorld(seed, order, timed)
					test(t, w)
					if t.Failed() {
						t.Fatalf("seed %d", seed)
					}
				}
			})
		}
	}
}

// merged is what a merge of levels yields, checked for its order.
func merged(t *testing.T, w *world, levels []level, opts merge.Options) []export.Entry {
	t.Helper()
	var cursors []*slice
	var in []merge.Level
	for _, l := range levels {
		in = append(in, open(l, &cursors))
	}
	all, err, closeErr := drain(merge.New(in, opts))
	require.NoError(t, err)
	require.NoError(t, closeErr)
	for _, c := range cursors {
		require.Equal(t, 1, c.closed)
	}
	for i := 1; i < len(all); i++ {
		require.LessOrEqual(t, w.compare(all[i-1], all[i]), 0, "%v before %v", all[i-1], all[i])
	}
	for i, e := range all {
		require.True(t, opts.Span.Contains(w.order, e.Key), "%v", e)
		require.True(t, !e.Kind.IsRange() || w.order.CompareEnds(e.End, opts.Span.End) <= 0, "%v", e)
		require.False(t, i > 0 && !e.Kind.IsRange() && !all[i-1].Kind.IsRange() && string(e.Key) == string(all[i-1].Key), "%v twice", e)
	}
	return all
}

func TestMergeIsTheModel(t *testing.T) {
	t.Parallel()
	eachWorld(t, 4000, func(t *testing.T, w *world) {
		opts := merge.Options{Order: w.order, Span: w.span(), Output: merge.Output(w.IntN(2))}
		if w.IntN(2) == 0 {
			opts.AsOf = w.time()
		}
		m := &model{order: w.order, opts: opts, keys: w.keys, bounds: w.bounds, levels: w.levels()}
		got, twice := m.read(merged(t, w, m.levels, opts))
		require.Empty(t, twice)
		require.Equal(t, m.facts(), got)
	})
}

// TestChangesStandForTheirLevels: some levels merged to changes can take the place
// of those levels, whatever lies below and above.
func TestChangesStandForTheirLevels(t *testing.T) {
	t.Parallel()
	eachWorld(t, 2500, func(t *testing.T, w *world) {
		levels := w.levels()
		i := w.IntN(len(levels))
		j := i + 1 + w.IntN(len(levels)-i)
		opts := merge.Options{Order: w.order, Output: merge.Changes}
		if w.IntN(2) == 0 {
			opts.AsOf = w.time()
		}
		window := merged(t, w, levels[i:j], opts)
		folded := slices.Concat(levels[:i], []level{window}, levels[j:])

		opts.Span, opts.Output = w.span(), merge.Output(w.IntN(2))
		m := &model{order: w.order, opts: opts, keys: w.keys, bounds: w.bounds, levels: levels}
		got, twice := m.read(merged(t, w, folded, opts))
		require.Empty(t, twice)
		require.Equal(t, m.facts(), got)
	})
}

// TestHistoryStandsForItsLevels: levels one after the other in time, some of which are merged
// with all of their revisions, say as of any moment what they said before.
func TestHistoryStandsForItsLevels(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4000) {
		w := newWorld(seed, nil, true)
		levels := w.levels()
		for i, l := range levels {
			for j := range l {
				l[j].Timestamp.WallNanos += int64(i) * 100
			}
		}
		i := w.IntN(len(levels))
		j := i + 1 + w.IntN(len(levels)-i)
		window := drained(t, levels[i:j], merge.Options{Output: merge.History})
		folded := slices.Concat(levels[:i], []level{window}, levels[j:])

		opts := merge.Options{Span: w.span(), Output: merge.Output(w.IntN(2)), AsOf: w.time()}
		opts.AsOf.WallNanos += int64(w.IntN(len(levels))) * 100
		m := &model{order: w.order, opts: opts, keys: w.keys, bounds: w.bounds, levels: levels}
		got, twice := m.read(merged(t, w, folded, opts))
		require.Empty(t, twice, "seed %d", seed)
		require.Equal(t, m.facts(), got, "seed %d", seed)
	}
}

// drained is what a merge of levels yields.
func drained(t *testing.T, levels []level, opts merge.Options) level {
	t.Helper()
	var cursors []*slice
	var in []merge.Level
	for _, l := range levels {
		in = append(in, open(l, &cursors))
	}
	all, err, closeErr := drain(merge.New(in, opts))
	require.NoError(t, errors.Join(err, closeErr))
	return all
}

// TestJoinedPieces: pieces that came out alike are one entry again.
func TestJoinedPieces(t *testing.T) {
	t.Parallel()
	w := newWorld(1, nil, false)
	rk := func(kind export.Kind, start, end, value string) export.Entry {
		return export.Entry{Kind: kind, Key: []byte(start), End: []byte(end), Value: []byte(value)}
	}
	got := merged(t, w, []level{
		{rk(export.RangeKeySet, "b", "d", "v"), rk(export.RangeKeySet, "d", "f", "v"), rk(export.RangeKeySet, "g", "h", "v")},
		{rk(export.RangeKeySet, "c", "e", "v")},
	}, merge.Options{})
	require.Equal(t, []export.Entry{rk(export.RangeKeySet, "b", "f", "v"), rk(export.RangeKeySet, "g", "h", "v")}, got)
}

func TestNothing(t *testing.T) {
	t.Parallel()
	for _, levels := range [][]merge.Level{nil, {{}}, {{Points: &slice{}}, {}}} {
		all, err, closeErr := drain(merge.New(levels, merge.Options{}))
		require.NoError(t, errors.Join(err, closeErr))
		require.Empty(t, all)
	}
}

// TestErrorsEndTheMerge: whichever cursor fails at whichever call, what was yielded
// before is right, the error is told, and every cursor is closed once.
func TestErrorsEndTheMerge(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	eachWorld(t, 60, func(t *testing.T, w *world) {
		levels := w.levels()
		opts := merge.Options{Order: w.order, Output: merge.Changes}
		whole := merged(t, w, levels, opts)
		for bad := range levels {
			for call := 1; ; call++ {
				var cursors []*slice
				var in []merge.Level
				for _, l := range levels {
					in = append(in, open(l, &cursors))
				}
				cursors[bad].failAt, cursors[bad].fail = call, boom
				c := merge.New(in, opts)
				got, err, closeErr := drain(c)
				require.NoError(t, closeErr)
				require.NoError(t, c.Close())
				for _, s := range cursors {
					require.Equal(t, 1, s.closed)
				}
				if cursors[bad].calls < call {
					require.NoError(t, err)
					break
				}
				require.ErrorIs(t, err, boom)
				require.False(t, c.Next())
				require.Less(t, len(got), len(whole)+1)
				require.Equal(t, append([]export.Entry(nil), whole[:len(got)]...), got)
			}
		}
	})
}

func TestCloseTellsEveryError(t *testing.T) {
	t.Parallel()
	one, two := errors.New("one"), errors.New("two")
	a, b, c := &slice{onClose: one}, &slice{}, &slice{onClose: two}
	m := merge.New([]merge.Level{{Points: a}, {Points: b}, {Points: c}}, merge.Options{})
	err := m.Close() // before the first Next
	require.ErrorIs(t, err, one)
	require.ErrorIs(t, err, two)
	require.NoError(t, m.Close())
	require.Equal(t, []int{1, 1, 1}, []int{a.closed, b.closed, c.closed})
}
