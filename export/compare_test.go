package export_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
)

// stateCursor is what a store holds in span.
func stateCursor(t *testing.T, s *memkv.Store, span export.Span) export.Cursor {
	t.Helper()
	snapshot, err := s.Snapshot(t.Context(), export.SnapshotOptions{})
	require.NoError(t, err)
	c, err := snapshot.Export(t.Context(), export.Request{Span: span})
	require.NoError(t, err)
	return c
}

// drained are the changes of a cursor, and what each of them replaced.
func drained(t *testing.T, c export.Changes) (entries, formers []export.Entry) {
	t.Helper()
	for c.Next() {
		entries = append(entries, c.Entry().Clone())
		former := export.Entry{}
		if f := c.Former(); f != nil {
			former = f.Clone()
		}
		formers = append(formers, former)
	}
	require.NoError(t, c.Err())
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	require.False(t, c.Next())
	return entries, formers
}

// scribble writes at random, in an order with suffixes if versions is not 0.
func scribble(s *memkv.Store, rng *rand.Rand, n int) {
	key := func(i int) []byte { return fmt.Appendf(nil, "%02d", i) }
	for range n {
		i := rng.IntN(60)
		j := i + 1 + rng.IntN(12)
		switch suffix, value := fmt.Appendf(nil, "@%d", rng.IntN(3)), fmt.Appendf(nil, "%d", rng.IntN(2)); rng.IntN(12) {
		case 0:
			s.RangeKeySet(key(i), key(j), suffix, value)
		case 1:
			s.RangeKeyUnset(key(i), key(j), suffix)
		case 2:
			s.RangeKeyDelete(key(i), key(j))
		case 3:
			s.DeleteRange(key(i), key(j+20))
		case 4, 5:
			s.Delete(key(i))
		default:
			s.Set(key(i), value)
		}
	}
}

// TestCompare: the changes between two random states make the one out of the other,
// are real, and say what they replaced.
func TestCompare(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		before := newMem(t)
		scribble(before, rng, rng.IntN(200))
		now := newMem(t)
		if rng.IntN(2) == 0 {
			copyState(before, now)
		}
		scribble(now, rng, rng.IntN(60))
		for _, span := range []export.Span{{}, {Start: []byte("20"), End: []byte("41")}} {
			entries, formers := drained(t, export.Compare(nil, stateCursor(t, before, span), stateCursor(t, now, span)))
			requireChanges(t, kvtest.Timeless(before.State(span)), kvtest.Timeless(now.State(span)), entries, formers, fmt.Sprintf("seed %d span %s", seed, span))
		}
	}
}

func newMem(t *testing.T) *memkv.Store {
	t.Helper()
	s, err := memkv.New(&memkv.Options{SingleRevision: true})
	require.NoError(t, err)
	return s
}

func copyState(from, to *memkv.Store) {
	for _, e := range from.State(export.Span{}) {
		if e.Kind == export.Set {
			to.Set(e.Key, e.Value)
		} else {
			to.RangeKeySet(e.Key, e.End, e.Suffix, e.Value)
		}
	}
}

func requireChanges(t *testing.T, before, now, entries, formers []export.Entry, what string) {
	t.Helper()
	require.Equal(t, kvtest.Canonical(nil, now), kvtest.Canonical(nil, kvtest.Apply(nil, before, entries)), what)
	var deletedTo []byte
	old := map[string]string{}
	for _, e := range before {
		if e.Kind == export.Set {
			old[string(e.Key)] = string(e.Value)
		}
	}
	var removed, added []export.Entry
	for i, e := range entries {
		if i > 0 {
			require.LessOrEqual(t, string(entries[i-1].Key), string(e.Key), what)
		}
		f := formers[i]
		switch e.Kind {
		case export.Set, export.Delete:
			value, there := old[string(e.Key)]
			require.Equal(t, there, f.Kind == export.Set, "%s: %q", what, e.Key)
			require.Equal(t, value, string(f.Value), what)
			require.False(t, e.Kind == export.Set && there && value == string(e.Value), "%s: %q did not change", what, e.Key)
			require.True(t, e.Kind == export.Set || there, "%s: %q was not there", what, e.Key)
		case export.DeleteRange:
			require.Zero(t, f.Kind)
			require.Positive(t, slices.Compare(e.End, e.Key))
			require.GreaterOrEqual(t, string(e.Key), string(deletedTo), what)
			deletedTo = e.End
		case export.RangeKeySet, export.RangeKeyUnset:
			if f.Kind != 0 {
				require.Equal(t, export.Entry{Kind: export.RangeKeySet, Key: e.Key, End: e.End, Suffix: e.Suffix, Value: f.Value}, f, what)
				removed = append(removed, f)
			}
			if e.Kind == export.RangeKeySet {
				added = append(added, e)
			}
		}
	}
	// What is added and removed must balance as a digest counts it.
	require.Equal(t, edges(append(rangesOf(before), added...)), edges(append(rangesOf(now), removed...)), what)
}

func rangesOf(state []export.Entry) []export.Entry {
	return slices.DeleteFunc(slices.Clone(state), func(e export.Entry) bool { return !e.Kind.IsRange() })
}

// edges counts range keys as digests do: by their starts less their ends.
func edges(ranges []export.Entry) map[string]int {
	out := map[string]int{}
	for _, r := range ranges {
		out[fmt.Sprintf("%q %q %q", r.Key, r.Suffix, r.Value)]++
		out[fmt.Sprintf("%q %q %q", r.End, r.Suffix, r.Value)]--
	}
	for k, n := range out {
		if n == 0 {
			delete(out, k)
		}
	}
	return out
}

func TestCompareRunsOfDeletions(t *testing.T) {
	t.Parallel()
	before, now := newMem(t), newMem(t)
	for i := range 5000 {
		before.Set(fmt.Appendf(nil, "%04d", i), []byte("x"))
	}
	now.Set([]byte("0003"), []byte("x"))
	now.Set([]byte("4000"), []byte("y"))
	entries, formers := drained(t, export.Compare(nil, stateCursor(t, before, export.Span{}), stateCursor(t, now, export.Span{})))
	requireChanges(t, kvtest.Timeless(before.State(export.Span{})), kvtest.Timeless(now.State(export.Span{})), entries, formers, "runs")
	var ranges []string
	for _, e := range entries {
		if e.Kind == export.DeleteRange {
			ranges = append(ranges, fmt.Sprintf("%s-%s", e.Key, e.End))
		}
	}
	require.Equal(t, []string{"0004-1028", "1028-2052", "2052-3076", "3076-3999", "4001-4999"}, ranges, "those of one run touch")
}

// TestCompareFails: an error of either state ends the comparison and is told.
func TestCompareFails(t *testing.T) {
	t.Parallel()
	store := newMem(t)
	scribble(store, rand.New(rand.NewPCG(1, 1)), 100)
	for i := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		snapshot, err := store.Snapshot(t.Context(), export.SnapshotOptions{})
		require.NoError(t, err)
		failing, err := snapshot.Export(ctx, export.Request{})
		require.NoError(t, err)
		cancel()
		sides := []export.Cursor{failing, stateCursor(t, newMem(t), export.Span{})}
		c := export.Compare(nil, sides[i], sides[1-i])
		require.False(t, c.Next())
		require.ErrorIs(t, c.Err(), context.Canceled)
		require.Equal(t, export.Entry{}, *c.Entry())
		require.Nil(t, c.Former())
		require.NoError(t, errors.Join(c.Close()))
	}
}
