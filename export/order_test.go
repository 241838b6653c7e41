package export_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func TestOrderDefaults(t *testing.T) {
	t.Parallel()
	var none *export.Order
	for _, o := range []*export.Order{none, {}, {Name: "mine"}} {
		full := o.WithDefaults()
		require.Negative(t, full.Compare([]byte("a"), []byte("b")))
		require.Equal(t, 3, full.Split([]byte("abc")))
		require.Positive(t, full.CompareSuffixes([]byte("b"), []byte("a")))
		require.Same(t, full, full.WithDefaults(), "a full order is its own")
	}
	require.Equal(t, export.BytewiseName, none.WithDefaults().Name)
	require.Equal(t, "mine", (&export.Order{Name: "mine"}).WithDefaults().Name)
}

func TestOrderKeepsWhatIsGiven(t *testing.T) {
	t.Parallel()
	o := descending()
	full := o.WithDefaults()
	require.Positive(t, full.Compare([]byte("a"), []byte("b")))
	require.Negative(t, full.CompareSuffixes([]byte("a"), []byte("b")))
	require.Nil(t, o.Split, "the order itself is left as it was")
}

func TestCutPoint(t *testing.T) {
	t.Parallel()
	suffixed := &export.Order{Name: "suffixed", Split: func(key []byte) int {
		if i := bytes.IndexByte(key, '@'); i >= 0 {
			return i
		}
		return len(key)
	}}
	require.True(t, suffixed.CutPoint([]byte("a")))
	require.False(t, suffixed.CutPoint([]byte("a@1")))
	require.True(t, suffixed.CutPoint(nil))
	var none *export.Order
	require.True(t, none.CutPoint([]byte("a@1")))
	require.True(t, (&export.Order{}).CutPoint([]byte("a@1")))
}
