package varve_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestDamagedBase: a base that cannot be read is none. The store is compared with the
// chain, and has a base again.
func TestDamagedBase(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "db")
	db, store, err := pebblekv.Open(dir, &pebble.Options{Logger: quiet{}}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	write := func(n int, value string) {
		for i := range n {
			require.NoError(t, db.Set(fmt.Appendf(nil, "key-%06d", i), fmt.Appendf(nil, "%s of %d", value, i), pebble.NoSync))
		}
		require.NoError(t, db.Compact(t.Context(), []byte("a"), []byte("z"), false))
	}
	c := collectionIn(t, faultblob.New(t, nil), nil)
	backup := func(into string) *varve.Layer {
		l, err := c.Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{Into: into, Audit: into != ""})
		require.NoError(t, err)
		return l
	}
	write(20_000, "first")
	full := backup("")
	write(10_000, "second")
	tables, err := filepath.Glob(filepath.Join(dir, "varve-snapshots", full.ID, "*.sst"))
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	for _, table := range tables {
		b, err := os.ReadFile(table)
		require.NoError(t, err)
		for i := range 64 {
			b[len(b)/4+i] ^= 0xff
		}
		require.NoError(t, os.WriteFile(table, b, 0o644))
	}
	require.Equal(t, varve.FromChain, backup(varve.Latest).Stats.Changes)
	write(100, "third")
	require.Equal(t, varve.Checkpoints, backup(varve.Latest).Stats.Changes)
	dst := newStore(t, &memkv.Options{SingleRevision: true})
	restored, err := c.Restore(t.Context(), varve.Cluster(dst), nil)
	require.NoError(t, err)
	require.Equal(t, varve.ProofDigest, restored.Proof)
	s, err := store.Snapshot(t.Context(), export.SnapshotOptions{})
	require.NoError(t, err)
	state, err := kvtest.Collect(t.Context(), s, export.Request{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Equal(t, kvtest.Canonical(nil, state), stateOf(dst))
}
