package varve_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestLostCollectionRecord (I11): a backup into a collection whose varve.json was
// lost would give it another ID, and cut off every layer that there is.
func TestLostCollectionRecord(t *testing.T) {
	t.Parallel()
	b := faultblob.New(t, nil)
	src, err := memkv.New(nil)
	require.NoError(t, err)
	fill(src, 100, 1)
	c := collectionIn(t, b, nil)
	_, err = c.Backup(t.Context(), varve.Cluster(src), nil)
	require.NoError(t, err)
	record := b.Read("varve.json")
	b.Remove("varve.json")

	_, err = c.Backup(t.Context(), varve.Cluster(src), nil)
	var corrupt *varve.CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, "varve.json", corrupt.Object)
	require.NotContains(t, b.Keys(), "varve.json")

	b.Replace("varve.json", record)
	_, err = c.Verify(t.Context(), "", &varve.VerifyOptions{Level: varve.VerifyDigest})
	require.NoError(t, err)
}

// TestIndexEntriesOfOneLayer: entries that somebody else made of a layer's ID hide
// nothing, list nothing, and cost little.
func TestIndexEntriesOfOneLayer(t *testing.T) {
	t.Parallel()
	b := faultblob.New(t, nil)
	src, err := memkv.New(nil)
	require.NoError(t, err)
	fill(src, 100, 1)
	c := collectionIn(t, b, nil)
	layer, err := c.Backup(t.Context(), varve.Cluster(src), nil)
	require.NoError(t, err)
	for _, key := range b.Keys() {
		if fixed, ok := strings.CutSuffix(key, "/"+layer.Path); ok && strings.HasPrefix(key, "index/") {
			b.Replace(fixed+"/elsewhere", b.Read(key))
		}
	}
	var listed []varve.LayerInfo
	for l, err := range c.Layers(t.Context()) {
		require.NoError(t, err)
		listed = append(listed, l)
	}
	require.Equal(t, []varve.LayerInfo{layer.LayerInfo}, listed)
	latest, err := c.Layer(t.Context(), varve.Latest)
	require.NoError(t, err)
	require.Equal(t, layer.LayerInfo, latest.LayerInfo)
}
