package digest

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func set(key, value string) *export.Entry {
	return &export.Entry{Kind: export.Set, Key: []byte(key), Value: []byte(value)}
}

func rangeKey(start, end, suffix, value string) *export.Entry {
	return &export.Entry{
		Kind: export.RangeKeySet, Key: []byte(start), End: []byte(end), Suffix: []byte(suffix), Value: []byte(value),
	}
}

func of(entries ...*export.Entry) Digest {
	var d Digest
	var h Hasher
	for _, e := range entries {
		h.Add(&d, e)
	}
	return d
}

func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	a, b, c := set("a", "1"), set("b", "2"), rangeKey("a", "c", "@1", "x")
	require.Equal(t, of(a, b, c), of(c, b, a))
	require.Equal(t, of(a, b, c), of(a).Add(of(b, c)))
	require.Equal(t, of(b).State, of(a, b).State.Sub(of(a).State))
}

func TestEveryFieldMatters(t *testing.T) {
	t.Parallel()
	entries := []*export.Entry{
		set("ab", "c"), set("a", "bc"), set("abc", ""), set("", "abc"), set("ab", "d"),
		rangeKey("a", "b", "c", ""), rangeKey("a", "b", "", "c"), rangeKey("a", "c", "c", ""), rangeKey("b", "c", "c", ""),
	}
	seen := map[Sum]*export.Entry{}
	for _, e := range entries {
		s := of(e).State
		require.Nil(t, seen[s], "%v", e)
		seen[s] = e
	}
}

func TestRangeKeysCutAnywhere(t *testing.T) {
	t.Parallel()
	whole := of(rangeKey("a", "z", "@1", "v"), rangeKey("c", "d", "@2", "w"))
	cut := of(rangeKey("a", "c", "@1", "v"), rangeKey("c", "z", "@1", "v"), rangeKey("c", "d", "@2", "w"))
	require.Equal(t, whole, cut)
	require.NotEqual(t, whole, of(rangeKey("a", "z", "@1", "v"), rangeKey("c", "d", "@1", "w")))
}

func TestTimestampsHaveTheirOwnSum(t *testing.T) {
	t.Parallel()
	a, b := *set("a", "1"), *set("a", "1")
	a.Timestamp, b.Timestamp = export.Timestamp{WallNanos: 1}, export.Timestamp{WallNanos: 1, Logical: 1}
	require.Equal(t, of(&a).State, of(&b).State)
	require.NotEqual(t, of(&a).Revisions, of(&b).Revisions)
	require.Equal(t, of(set("a", "1")).State, of(&a).State)
	require.Zero(t, of(set("a", "1")).Revisions)
}

func TestSumText(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		s := Sum{Hi: rng.Uint64(), Lo: rng.Uint64()}
		got, err := Parse(s.String())
		require.NoError(t, err)
		require.Equal(t, s, got)
		require.Equal(t, Sum{}, s.Sub(s))
		require.Equal(t, s, s.Add(s).Sub(s))
	}
	for _, bad := range []string{"", "xxh3sum:", "xxh3sum:00", "blake3:" + Sum{}.String()[8:], "xxh3sum:" + "ABCDEF00112233445566778899AABBCC"} {
		_, err := Parse(bad)
		require.Error(t, err, bad)
	}
}

// TestStoredForm pins the algorithm: a change of these values is a change of format.
func TestStoredForm(t *testing.T) {
	t.Parallel()
	timed := *set("key", "value")
	timed.Timestamp = export.Timestamp{WallNanos: 1, Logical: 2}
	require.Equal(t, "xxh3sum:67797ce021fdbe8c167b37e215f67ffd", of(set("key", "value")).State.String())
	require.Equal(t, "xxh3sum:a7e47728ce80facdec5d3de823b82d21", of(&timed).Revisions.String())
	require.Equal(t, "xxh3sum:7b969b58dbde055734e82bafc52145ab", of(rangeKey("a", "b", "@1", "v")).State.String())
}
