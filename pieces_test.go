package varve

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
	"github.com/varvekv/varve/sink"
)

// contentAt is what layer n and those before it consist of.
func (s *strata) contentAt(n int) *content {
	s.Helper()
	b := &collectionBucket{Bucket: s.bucket, id: testID(0xc)}
	chain, err := b.resolve(s.Context(), s.layers[n].Layer, Timestamp{})
	require.NoError(s, err)
	c, err := b.content(s.Context(), chain)
	require.NoError(s, err)
	require.NoError(s, c.fit(nil))
	return c
}

// stateOf reads pieces, each by itself.
func (s *strata) stateOf(pieces []piece) []export.Entry {
	s.Helper()
	shelf := newShelf(s.bucket, pieces)
	var out []export.Entry
	for _, p := range pieces {
		src, err := openSource(s.Context(), shelf, p, merge.Options{})
		require.NoError(s, err)
		for src.Next() {
			e := *src.Entry()
			e.Key, e.End, e.Suffix, e.Value = slices.Clone(e.Key), slices.Clone(e.End), slices.Clone(e.Suffix), slices.Clone(e.Value)
			out = append(out, e)
		}
		require.NoError(s, src.Err())
		require.NoError(s, src.Close())
	}
	require.Empty(s, shelf.lent, "files left open")
	return stateIn(out, Span{})
}

// TestSplitPieces: however finely pieces are split, together they hold the state.
func TestSplitPieces(t *testing.T) {
	t.Parallel()
	split, seeds := 0, uint64(8)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		s := newStrata(t, seed)
		s.target = 100
		s.write(300)
		for range 5 {
			s.lay(s.someTargets()...)
			s.write(40)
		}
		c := s.contentAt(4)
		for _, limit := range []int64{1, 500, 2000, 1 << 30} {
			var parts []piece
			for _, p := range planPieces(nil, c.views) {
				parts = append(parts, p.split(nil, limit)...)
			}
			split = max(split, len(parts)-len(planPieces(nil, c.views)))
			for i := range parts[1:] {
				require.LessOrEqual(t, string(parts[i].span.End), string(parts[i+1].span.Start))
			}
			for _, p := range parts {
				for _, v := range p.views {
					require.True(t, p.span.Covers(nil, v.span), "%v of %v", v.span, p.span)
				}
			}
			require.Equal(t, stateIn(s.states[4], s.layers[4].Spans...), s.stateOf(parts))
		}
	}
	require.Greater(t, split, 10)
}

// overlaid are the views of n files beside one another and of as many layers of one
// file as are wanted, each over all of them.
func overlaid(n, layers int, size int64) []view {
	var views []view
	add := func(level int, s Span) {
		views = append(views, view{leveledFile: &leveledFile{File: sink.File{Span: s, Size: size}, level: level}, span: s})
	}
	for i := range n {
		add(0, Span{Start: fmt.Appendf(nil, "%08d", i), End: fmt.Appendf(nil, "%08d", i+1)})
	}
	for i := range layers {
		add(i+1, Span{Start: fmt.Appendf(nil, "%08d", 0), End: fmt.Appendf(nil, "%08d", n)})
	}
	sortViews(nil, views)
	return views
}

// TestPartsHaveAUsefulSize: a file over everything does not make one part of all,
// nor one of each file.
func TestPartsHaveAUsefulSize(t *testing.T) {
	t.Parallel()
	whole := planPieces(nil, overlaid(1000, 10, 1<<20))
	require.Len(t, whole, 1)
	require.Equal(t, 11, whole[0].depth(nil))
	parts := whole[0].split(nil, 8<<20)
	require.InDelta(t, 1010/8, len(parts), 20)
	require.Equal(t, whole[0].bytes>>20, int64(1010))
	for _, p := range parts[:len(parts)-1] {
		require.GreaterOrEqual(t, p.bytes, int64(8<<20))
		require.Less(t, p.bytes, int64(10<<20))
		require.LessOrEqual(t, len(p.views), 8+10)
	}
	require.Equal(t, whole, planPieces(nil, clipViews(nil, overlaid(1000, 10, 1<<20), []Span{{}})))
	require.Len(t, whole[0].split(nil, 1<<40), 1)
	require.Len(t, planPieces(nil, overlaid(1000, 0, 1)), 1000, "files that touch do not overlap")
}

// TestPlanningIsFast: 65,536 files under 100 layers are planned in no time; a plan
// that compared each with each would take minutes.
func TestPlanningIsFast(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	t.Parallel()
	views := overlaid(1<<16, 100, 64<<20)
	rand.Shuffle(len(views), func(i, j int) { views[i], views[j] = views[j], views[i] })
	sortViews(nil, views)
	wanted := []Span{{End: []byte("00030000")}, {Start: []byte("00040000")}}
	begun := time.Now()
	pieces := planPieces(nil, clipViews(nil, views, wanted))
	require.Len(t, pieces, 2)
	for _, p := range pieces {
		require.Equal(t, 101, p.depth(nil))
		require.InDelta(t, maxParts, len(p.split(nil, partBytes)), 100)
	}
	require.Less(t, time.Since(begun), 20*time.Second)
}
