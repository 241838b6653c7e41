package kvtest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
)

func at(n int64) export.Timestamp { return export.Timestamp{WallNanos: n} }

func set(key, value string, ts int64) export.Entry {
	return export.Entry{Kind: export.Set, Key: []byte(key), Value: []byte(value), Timestamp: at(ts)}
}

func ranged(kind export.Kind, key, end, suffix, value string, ts int64) export.Entry {
	return export.Entry{
		Kind: kind, Key: []byte(key), End: []byte(end), Timestamp: at(ts),
		Suffix: append([]byte(nil), suffix...), Value: append([]byte(nil), value...),
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		in, want []export.Entry
	}{
		{"empty", nil, nil},
		{
			"joined",
			[]export.Entry{ranged(export.RangeKeySet, "b", "c", "s", "v", 0), ranged(export.RangeKeySet, "a", "b", "s", "v", 0)},
			[]export.Entry{ranged(export.RangeKeySet, "a", "c", "s", "v", 0)},
		},
		{
			"not joined: value, suffix, timestamp, gap",
			[]export.Entry{
				ranged(export.RangeKeySet, "a", "b", "s", "v", 0), ranged(export.RangeKeySet, "b", "c", "s", "w", 0),
				ranged(export.RangeKeySet, "c", "d", "t", "w", 0), ranged(export.RangeKeySet, "d", "e", "t", "w", 1),
				ranged(export.RangeKeySet, "f", "g", "t", "w", 1),
			},
			[]export.Entry{
				ranged(export.RangeKeySet, "a", "b", "s", "v", 0), ranged(export.RangeKeySet, "b", "c", "s", "w", 0),
				ranged(export.RangeKeySet, "c", "d", "t", "w", 0), ranged(export.RangeKeySet, "d", "e", "t", "w", 1),
				ranged(export.RangeKeySet, "f", "g", "t", "w", 1),
			},
		},
		{
			"what is there twice stays",
			[]export.Entry{set("a", "1", 0), set("a", "1", 0), ranged(export.RangeKeySet, "a", "b", "s", "v", 0), ranged(export.RangeKeySet, "a", "b", "s", "v", 0)},
			[]export.Entry{ranged(export.RangeKeySet, "a", "b", "s", "v", 0), ranged(export.RangeKeySet, "a", "b", "s", "v", 0), set("a", "1", 0), set("a", "1", 0)},
		},
		{
			"revisions from new to old",
			[]export.Entry{set("b", "1", 1), set("a", "1", 1), set("a", "2", 2)},
			[]export.Entry{set("a", "2", 2), set("a", "1", 1), set("b", "1", 1)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, kvtest.Canonical(nil, c.in))
		})
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	state := []export.Entry{
		set("a", "1", 0), set("b", "1", 0), set("c", "1", 0),
		ranged(export.RangeKeySet, "a", "z", "s", "v", 0), ranged(export.RangeKeySet, "a", "z", "t", "v", 0),
	}
	for _, c := range []struct {
		name          string
		changes, want []export.Entry
	}{
		{"nothing", nil, state},
		{"a point survives beside a range", []export.Entry{
			set("b", "2", 0), ranged(export.DeleteRange, "a", "c", "", "", 0),
		}, []export.Entry{set("b", "2", 0), set("c", "1", 0), state[3], state[4]}},
		{"a later range does not spare it", []export.Entry{
			ranged(export.DeleteRange, "a", "c", "", "", 2), set("b", "2", 1),
		}, []export.Entry{set("c", "1", 0), state[3], state[4]}},
		{"an open end", []export.Entry{
			ranged(export.DeleteRange, "b", "", "", "", 0), ranged(export.RangeKeyDelete, "c", "", "", "", 0),
		}, []export.Entry{
			set("a", "1", 0),
			ranged(export.RangeKeySet, "a", "c", "s", "v", 0), ranged(export.RangeKeySet, "a", "c", "t", "v", 0),
		}},
		{"one suffix is cut", []export.Entry{
			ranged(export.RangeKeyUnset, "d", "e", "s", "", 0), ranged(export.RangeKeySet, "f", "g", "s", "w", 0),
		}, []export.Entry{
			set("a", "1", 0), set("b", "1", 0), set("c", "1", 0), state[4],
			ranged(export.RangeKeySet, "a", "d", "s", "v", 0), ranged(export.RangeKeySet, "e", "f", "s", "v", 0),
			ranged(export.RangeKeySet, "f", "g", "s", "w", 0), ranged(export.RangeKeySet, "g", "z", "s", "v", 0),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, kvtest.Canonical(nil, c.want), kvtest.Apply(nil, state, c.changes))
		})
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	entries := []export.Entry{set("a", "1", 0), set("c", "1", 0), set("e", "1", 0), ranged(export.RangeKeySet, "b", "d", "s", "v", 0)}
	for _, c := range []struct {
		span export.Span
		want []export.Entry
	}{
		{export.Span{}, kvtest.Canonical(nil, entries)},
		{export.Span{Start: []byte("c")}, []export.Entry{ranged(export.RangeKeySet, "c", "d", "s", "v", 0), set("c", "1", 0), set("e", "1", 0)}},
		{export.Span{End: []byte("c")}, []export.Entry{set("a", "1", 0), ranged(export.RangeKeySet, "b", "c", "s", "v", 0)}},
		{export.Span{Start: []byte("d"), End: []byte("e")}, nil},
	} {
		require.Equal(t, c.want, kvtest.Clip(nil, entries, c.span), "%s", c.span)
	}
}

func TestTimeless(t *testing.T) {
	t.Parallel()
	entries := []export.Entry{set("a", "1", 7)}
	timeless := kvtest.Timeless(entries)
	require.Equal(t, []export.Entry{set("a", "1", 0)}, timeless)
	timeless[0].Key[0] = 'x'
	require.Equal(t, []export.Entry{set("a", "1", 7)}, entries, "the bytes are copied")
}

func TestHide(t *testing.T) {
	t.Parallel()
	store, err := memkv.New(nil)
	require.NoError(t, err)
	hidden := kvtest.Hide(store)
	require.NotImplements(t, (*export.SnapshotKeeper)(nil), hidden)
	_, err = hidden.Snapshot(t.Context(), export.SnapshotOptions{Name: "a"})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	s, err := hidden.Snapshot(t.Context(), export.SnapshotOptions{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestCollect(t *testing.T) {
	t.Parallel()
	store, err := memkv.New(nil)
	require.NoError(t, err)
	store.Set([]byte("a"), []byte("1"))
	store.Set([]byte("b"), nil)
	s, err := store.Snapshot(t.Context(), export.SnapshotOptions{})
	require.NoError(t, err)
	got, err := kvtest.Collect(t.Context(), s, export.Request{})
	require.NoError(t, err)
	require.Equal(t, store.State(export.Span{}), got)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = kvtest.Collect(ctx, s, export.Request{})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, s.Close())
}
