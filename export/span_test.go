package export_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

// descending is the reverse of bytewise, but for the empty key, which is the
// first in any order.
func descending() *export.Order {
	return &export.Order{Name: "descending", Compare: func(a, b []byte) int {
		if len(a) == 0 || len(b) == 0 {
			return len(a) - len(b)
		}
		return bytes.Compare(b, a)
	}}
}

// span reads "a-c", where either end may be missing.
func span(s string) export.Span {
	start, end, _ := bytes.Cut([]byte(s), []byte("-"))
	return export.Span{Start: start, End: end}
}

func TestSpanIsEmpty(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		span                   string
		bytewise, descendingly bool
	}{
		{"-", false, false},
		{"a-", false, false},
		{"-a", false, false},
		{"a-b", false, true},
		{"b-a", true, false},
		{"a-a", true, true},
	} {
		require.Equal(t, c.bytewise, span(c.span).IsEmpty(nil), c.span)
		require.Equal(t, c.descendingly, span(c.span).IsEmpty(descending()), c.span)
	}
	require.False(t, export.Span{}.IsEmpty(nil))
}

func TestSpanContains(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		span, in, out string
	}{
		{"-", "abcz", ""},
		{"b-", "bcz", "a"},
		{"-b", "a", "bcz"},
		{"b-d", "bc", "adz"},
		{"b-b", "", "abc"},
		{"d-b", "", "abcd"},
	} {
		for _, key := range c.in {
			require.True(t, span(c.span).Contains(nil, []byte(string(key))), "%s %c", c.span, key)
		}
		for _, key := range c.out {
			require.False(t, span(c.span).Contains(nil, []byte(string(key))), "%s %c", c.span, key)
		}
	}
	require.True(t, span("d-b").Contains(descending(), []byte("c")))
	require.False(t, span("d-b").Contains(descending(), []byte("b")))
	require.True(t, span("-b").Contains(descending(), []byte("c")))
	require.True(t, export.Span{}.Contains(nil, nil), "the empty key")
}

func TestSpanIntersect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, want string }{
		{"-", "-", "-"},
		{"-", "b-d", "b-d"},
		{"b-", "-d", "b-d"},
		{"a-c", "b-d", "b-c"},
		{"a-d", "b-c", "b-c"},
		{"b-", "c-", "c-"},
		{"-b", "-c", "-b"},
		{"a-b", "b-c", ""},
		{"a-b", "c-d", ""},
		{"-b", "b-", ""},
		{"b-b", "a-c", ""},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			got, ok := span(pair[0]).Intersect(nil, span(pair[1]))
			require.Equal(t, c.want != "", ok, "%s", pair)
			require.Equal(t, ok, span(pair[0]).Overlaps(nil, span(pair[1])), "%s", pair)
			if ok {
				require.Equal(t, c.want, fmt.Sprintf("%s-%s", got.Start, got.End), "%s", pair)
			}
		}
	}
	got, ok := span("d-a").Intersect(descending(), span("c-"))
	require.True(t, ok)
	require.Equal(t, `["c", "a")`, got.String())
}

func TestSpanCovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"-", "-", true},
		{"-", "a-b", true},
		{"a-b", "-", false},
		{"a-c", "a-c", true},
		{"a-c", "b-c", true},
		{"a-c", "b-d", false},
		{"b-", "a-c", false},
		{"b-", "c-", true},
		{"b-d", "c-", false},
		{"-d", "-", false},
	} {
		require.Equal(t, c.want, span(c.a).Covers(nil, span(c.b)), "%s %s", c.a, c.b)
	}
	require.True(t, span("d-a").Covers(descending(), span("c-b")))
	require.True(t, span("-").Covers(descending(), span("c-b")))
	require.False(t, span("c-b").Covers(descending(), span("-b")))
}

func TestSpanClone(t *testing.T) {
	t.Parallel()
	s := span("a-b")
	c := s.Clone()
	s.Start[0], s.End[0] = 'x', 'y'
	require.Equal(t, span("a-b"), c)
	require.Equal(t, export.Span{}, export.Span{}.Clone())
}

func TestSpanString(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"-": `[, )`, "a-": `["a", )`, "-b": `[, "b")`, "a-b": `["a", "b")`, "\x00-\xff": `["\x00", "\xff")`,
	} {
		require.Equal(t, want, span(s).String())
	}
}

func TestCompareEnds(t *testing.T) {
	t.Parallel()
	var none *export.Order
	for _, o := range []*export.Order{none, descending()} {
		require.Zero(t, o.CompareEnds(nil, []byte{}))
		require.Positive(t, o.CompareEnds(nil, []byte("z")))
		require.Negative(t, o.CompareEnds([]byte("z"), nil))
	}
	require.Negative(t, none.CompareEnds([]byte("a"), []byte("b")))
	require.Positive(t, descending().CompareEnds([]byte("a"), []byte("b")))
}

func TestPrefixSpan(t *testing.T) {
	t.Parallel()
	for prefix, end := range map[string]string{"": "", "a": "b", "a\xff": "b", "\xff\xff": "", "\x00": "\x01"} {
		s := export.PrefixSpan([]byte(prefix))
		require.Equal(t, prefix, string(s.Start))
		require.Equal(t, end, string(s.End))
		require.True(t, s.Contains(nil, []byte(prefix+"\xff\xff\xff")))
	}
}
