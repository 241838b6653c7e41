package varve

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

// backwards is an order in which later letters come first.
var backwards = &export.Order{Name: "backwards", Compare: func(a, b []byte) int {
	if len(a) == 0 || len(b) == 0 {
		return bytes.Compare(a, b)
	}
	return bytes.Compare(b, a)
}}

// letters are keys in the order of o, without the first.
func letters(o *export.Order) [][]byte {
	var all [][]byte
	for c := byte('a'); c <= 'p'; c++ {
		all = append(all, []byte{c})
	}
	if o == backwards {
		for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
			all[i], all[j] = all[j], all[i]
		}
	}
	return all
}

// someSpans draws a list: cuts in ascending order, between some of which there is a
// span.
func someSpans(rng *rand.Rand, o *export.Order) []Span {
	var out []Span
	at := letters(o)
	var start []byte
	for rest := at; ; {
		step := rng.IntN(5)
		if step >= len(rest) {
			if rng.IntN(2) == 0 {
				out = append(out, Span{Start: start})
			}
			return out
		}
		end := rest[step]
		rest = rest[step+1:]
		if rng.IntN(2) == 0 {
			out = append(out, Span{Start: start, End: end})
		}
		start = end
	}
}

func inAny(o *export.Order, spans []Span, key []byte) bool {
	for _, s := range spans {
		if s.Contains(o, key) {
			return true
		}
	}
	return false
}

// TestSpanSets compares the operations with what they mean for each key.
func TestSpanSets(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, o := range []*export.Order{nil, backwards} {
		for range 5000 {
			a, b := someSpans(rng, o), someSpans(rng, o)
			less, both := subtractSpans(o, a, b), intersectSpans(o, a, b)
			for _, list := range [][]Span{a, b, less, both} {
				require.True(t, areApart(o, list), "%v", list)
			}
			for _, k := range append(letters(o), nil) {
				inA, inB := inAny(o, a, k), inAny(o, b, k)
				require.Equal(t, inA && !inB, inAny(o, less, k), "%v less %v at %q is %v", a, b, k, less)
				require.Equal(t, inA && inB, inAny(o, both, k), "%v and %v at %q is %v", a, b, k, both)
			}
			w := Span{Start: letters(o)[rng.IntN(8)], End: letters(o)[8+rng.IntN(8)]}
			require.Equal(t, len(subtractSpans(o, []Span{w}, a)) == 0, coveredBy(o, a, w), "%v covers %v", a, w)
		}
	}
}

func TestSpansThatAreNotApart(t *testing.T) {
	t.Parallel()
	k := func(s string) []byte { return []byte(s) }
	require.True(t, areApart(nil, nil))
	require.True(t, areApart(nil, []Span{{End: k("b")}, {Start: k("b")}}), "they may touch")
	for _, bad := range [][]Span{
		{{Start: k("b"), End: k("b")}},
		{{Start: k("b"), End: k("a")}},
		{{Start: k("b")}, {Start: k("a"), End: k("b")}},
		{{Start: k("a"), End: k("c")}, {Start: k("b")}},
		{{Start: k("a")}, {Start: k("b")}},
	} {
		require.False(t, areApart(nil, bad), "%v", bad)
	}
}
