package varve

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestEachLayerHasItsOwnKey: a data key that is known opens one layer, not the next.
func TestEachLayerHasItsOwnKey(t *testing.T) {
	t.Parallel()
	c, err := NewCollection(faultblob.New(t, nil).Open(), &CollectionOptions{Encryption: []Key{Passphrase("correct horse")}})
	require.NoError(t, err)
	store, err := memkv.New(nil)
	require.NoError(t, err)
	seen := map[string]bool{}
	for range 3 {
		layer, err := c.Backup(t.Context(), Cluster(store), nil)
		require.NoError(t, err)
		seen[string(layer.Manifest.key.Bytes())] = true
	}
	require.Len(t, seen, 3)
}
