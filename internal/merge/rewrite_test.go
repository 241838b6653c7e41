package merge_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

func TestRewriter(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ from, to, start, end, wantStart, wantEnd string }{
		{"a/", "longer/", "a/", "a0", "longer/", "longer0"},
		{"a/", "b", "a/k", "a/m", "bk", "bm"},
		{"a/", "b", "a/k", "a0", "bk", "c"},
		{"", "x/", "", "", "x/", "x0"},
		{"x/", "", "x/", "x0", "", ""},
		{"\xff", "b", "\xff", "", "b", "c"},
	} {
		r := &merge.Rewriter{From: []byte(tc.from), To: []byte(tc.to)}
		got, ok := r.Span(export.Span{Start: []byte(tc.start), End: []byte(tc.end)})
		require.True(t, ok)
		require.Equal(t, tc.wantStart, string(got.Start))
		require.Equal(t, tc.wantEnd, string(got.End))
	}
	r := &merge.Rewriter{From: []byte("a/"), To: []byte("b/")}
	for _, s := range []export.Span{{}, {Start: []byte("a"), End: []byte("a/x")}, {Start: []byte("a/x")}, {Start: []byte("a/x"), End: []byte("a1")}} {
		_, ok := r.Span(s)
		require.False(t, ok, s.String())
	}

	e := &export.Entry{Kind: export.RangeKeySet, Key: []byte("a/k"), End: []byte("a0"), Suffix: []byte("@1"), Value: []byte("v")}
	got, err := r.Entry(e)
	require.NoError(t, err)
	require.Equal(t, &export.Entry{Kind: export.RangeKeySet, Key: []byte("b/k"), End: []byte("b0"), Suffix: []byte("@1"), Value: []byte("v")}, got)
	require.Equal(t, "a/k", string(e.Key), "the entry is as it was")
	_, err = r.Entry(&export.Entry{Kind: export.Set, Key: []byte("c")})
	require.Error(t, err)
	_, err = r.Entry(&export.Entry{Kind: export.DeleteRange, Key: []byte("a/k"), End: []byte("c")})
	require.Error(t, err)
}
