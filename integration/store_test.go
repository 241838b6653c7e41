package integration

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

const valueBytes = 8 << 10

// newStore is a store of some bytes that do not compress.
func newStore(t *testing.T, bytes int) *memkv.Store {
	store, err := memkv.New(nil)
	require.NoError(t, err)
	rng := rand.NewChaCha8([32]byte{1})
	for i := range bytes / valueBytes {
		value := make([]byte, valueBytes)
		rng.Read(value)
		store.Set(fmt.Appendf(nil, "key-%06d", i), value)
	}
	return store
}

// change changes some keys of a store.
func change(store *memkv.Store, round int) {
	for i := range 10 {
		store.Set(fmt.Appendf(nil, "key-%06d", i*7+round), fmt.Appendf(nil, "value of round %d", round))
		store.Delete(fmt.Appendf(nil, "key-%06d", i*7+round+100))
	}
}

// state is what a store holds, without the moments of its writes.
func state(store *memkv.Store) []export.Entry {
	entries := store.State(export.Span{})
	for i := range entries {
		entries[i].Timestamp = export.Timestamp{}
	}
	return entries
}

// full takes a full of a store.
func full(t *testing.T, c *varve.Collection, store *memkv.Store, opts *varve.BackupOptions) {
	t.Helper()
	_, err := c.Backup(t.Context(), varve.Cluster(store), opts)
	require.NoError(t, err)
}

// incremental extends the newest layer.
func incremental(t *testing.T, c *varve.Collection, store *memkv.Store) {
	t.Helper()
	_, err := c.Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest})
	require.NoError(t, err)
}

// requireWhole wants the newest layer to be whole, and to be the store.
func requireWhole(t *testing.T, c *varve.Collection, store *memkv.Store) {
	t.Helper()
	report, err := c.Verify(t.Context(), "", nil)
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	restored, err := memkv.New(nil)
	require.NoError(t, err)
	_, err = c.Restore(t.Context(), varve.Cluster(restored), nil)
	require.NoError(t, err)
	require.Equal(t, state(store), state(restored))
}
