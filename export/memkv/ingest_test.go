package memkv_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func point(key string) export.Entry { return export.Entry{Kind: export.Set, Key: []byte(key)} }

func rangeKey(key, end string) export.Entry {
	return export.Entry{Kind: export.RangeKeySet, Key: []byte(key), End: []byte(end)}
}

func between(start, end string) export.Span {
	return export.Span{Start: []byte(start), End: []byte(end)}
}

// TestLoaderJudges adds entries of which the last is wrong.
func TestLoaderJudges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		entries []export.Entry
	}{
		{"before the span", []export.Entry{point("a")}},
		{"after the span", []export.Entry{point("m")}},
		{"twice", []export.Entry{point("c"), point("c")}},
		{"descending", []export.Entry{point("d"), point("c")}},
		{"range after its point", []export.Entry{point("c"), rangeKey("c", "d")}},
		{"range begins outside", []export.Entry{rangeKey("a", "d")}},
		{"range ends outside", []export.Entry{rangeKey("c", "n")}},
		{"range without an end", []export.Entry{rangeKey("c", "")}},
		{"empty range", []export.Entry{rangeKey("d", "c")}},
		{"deletion", []export.Entry{{Kind: export.Delete, Key: []byte("c")}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in, err := newStore(t, nil).Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{}}})
			require.NoError(t, err)
			l, err := in.Load(t.Context(), between("b", "m"))
			require.NoError(t, err)
			last := len(c.entries) - 1
			for i := range c.entries[:last] {
				require.NoError(t, l.Add(&c.entries[i]))
			}
			require.Error(t, l.Add(&c.entries[last]))
			require.NoError(t, in.Abort())
		})
	}
}

func TestLoadSpans(t *testing.T) {
	t.Parallel()
	store := newStore(t, nil)
	opts := export.IngestOptions{Name: "0a", Spans: []export.Span{between("a", "m")}}
	in, err := store.Ingest(t.Context(), opts)
	require.NoError(t, err)
	_, err = in.Load(t.Context(), between("a", "n"))
	require.ErrorContains(t, err, "not in a span")
	l, err := in.Load(t.Context(), between("a", "d"))
	require.NoError(t, err)
	again, err := in.Load(t.Context(), between("a", "d"))
	require.NoError(t, err, "nothing has been loaded yet")
	require.NoError(t, l.Finish())
	require.ErrorIs(t, l.Finish(), export.ErrClosed)
	require.ErrorContains(t, again.Finish(), "loaded before")
	_, err = in.Load(t.Context(), between("c", "e"))
	require.ErrorContains(t, err, "loaded before")
	require.NoError(t, in.Abort())
	_, err = store.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{between("a", "d"), between("c", "e")}})
	require.ErrorContains(t, err, "overlap")
}

// TestResumeAgain loads a span again that was finished before the restart, as a
// job does whose own record of it was lost.
func TestResumeAgain(t *testing.T) {
	t.Parallel()
	store := newStore(t, nil)
	opts := export.IngestOptions{Name: "0a", Spans: []export.Span{between("a", "m")}}
	load := func(in export.Ingester, span export.Span, key string) {
		l, err := in.Load(t.Context(), span)
		require.NoError(t, err)
		e := point(key)
		require.NoError(t, l.Add(&e))
		require.NoError(t, l.Finish())
	}
	first, err := store.Ingest(t.Context(), opts)
	require.NoError(t, err)
	load(first, between("a", "d"), "b")
	load(first, between("d", "f"), "e")

	store = store.Reopen()
	second, err := store.Ingest(t.Context(), opts)
	require.NoError(t, err)
	require.ErrorIs(t, first.Commit(t.Context()), export.ErrClosed)
	load(second, between("a", "d"), "c")
	_, err = second.Load(t.Context(), between("e", "g"))
	require.ErrorContains(t, err, "loaded before", "of another shape")

	third, err := store.Ingest(t.Context(), opts)
	require.NoError(t, err)
	require.ErrorIs(t, second.Commit(t.Context()), export.ErrClosed, "another has taken over")
	require.NoError(t, second.Abort())
	require.NoError(t, third.Commit(t.Context()))
	var keys []string
	for _, e := range store.State(export.Span{}) {
		keys = append(keys, string(e.Key))
	}
	require.Equal(t, []string{"c", "e"}, keys)

	opts.Spans = []export.Span{between("p", "q")}
	fourth, err := store.Ingest(t.Context(), opts)
	require.NoError(t, err)
	opts.Spans = []export.Span{between("p", "r")}
	_, err = store.Ingest(t.Context(), opts)
	require.ErrorContains(t, err, "other spans")
	require.NoError(t, fourth.Abort())
}
