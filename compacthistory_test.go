package varve_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestCompactHistory (I9): a compacted layer restores every moment that its layers restore without a
// gap and of the same keys, and refuses those before. What the layers between introduce, and those
// without history, are where that ends.
func TestCompactHistory(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 6, 31, 59, 0, time.UTC)
	store := newStore(t, &memkv.Options{Now: func() time.Time { now = now.Add(time.Second); return now }})
	c := collectionIn(t, faultblob.New(t, nil), nil)
	var moments []varve.Timestamp
	write := func(i int) {
		key := func(k int) []byte { return fmt.Appendf(nil, "k%02d", k) }
		for k := range 6 {
			moments = append(moments, store.Set(key((7*i+5*k)%30), fmt.Append(nil, i, k)))
		}
		moments = append(moments, store.Delete(key((7*i+5)%30)), store.DeleteRange(key(2*i), key(2*i+3)))
	}
	narrow, wide := span("k00", "k20"), varve.Span{}
	steps := []struct {
		span    varve.Span
		history bool
	}{{narrow, false}, {narrow, true}, {narrow, true}, {wide, true}, {wide, true}, {wide, false}, {wide, true}}
	var layers []*varve.Layer
	into := ""
	for i, step := range steps {
		write(i)
		layer, err := c.Backup(t.Context(), varve.Spans(store, step.span), &varve.BackupOptions{Into: into, RevisionHistory: step.history})
		require.NoError(t, err)
		layers, into = append(layers, layer), layer.ID
		if i == 0 {
			into = varve.Latest
		}
	}
	start := func(i int) varve.Timestamp { return layers[i].Start }
	for _, tc := range []struct {
		first, last int
		oldest      varve.Timestamp
	}{
		{0, 2, layers[0].End}, {1, 2, start(1)}, {0, 3, start(3).Next()}, {2, 3, start(3).Next()}, {2, 4, start(3).Next()},
		{3, 4, start(3)}, {3, 5, layers[5].End}, {4, 6, layers[5].End}, {0, 6, layers[5].End}, {5, 6, layers[5].End},
	} {
		layer, err := c.Compact(t.Context(), layers[tc.last].ID, &varve.CompactOptions{First: layers[tc.first].ID})
		require.NoError(t, err)
		require.Equal(t, layers[tc.last].ID, layer.Manifest.StandsFor)
		require.Equal(t, tc.oldest, layer.Manifest.Oldest, "layers %d to %d", tc.first, tc.last)
		for _, at := range append(moments, layer.End, layer.Manifest.Oldest, start(tc.last)) {
			if at.Compare(layer.Start) <= 0 || at.Compare(layer.End) > 0 {
				continue
			}
			dst := newStore(t, &memkv.Options{SingleRevision: true})
			_, err := c.Restore(t.Context(), varve.Spans(dst, steps[tc.last].span), &varve.RestoreOptions{From: layer.ID, AsOf: at})
			if at.Compare(tc.oldest) < 0 {
				var miss *varve.NoRestorePointError
				require.ErrorAs(t, err, &miss, "layers %d to %d at %s", tc.first, tc.last, at)
				continue
			}
			require.NoError(t, err)
			want := kvtest.Canonical(nil, kvtest.Timeless(kvtest.Clip(nil, momentIn(t, store, at), steps[tc.last].span)))
			require.Equal(t, want, stateOf(dst), "layers %d to %d at %s", tc.first, tc.last, at)
		}
	}
}
