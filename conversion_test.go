package varve_test

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestConversion: a chain with revisions is restored into a database that has none, and a
// chain of that one into a store that keeps them (I8). Neither goes on with the other's.
func TestConversion(t *testing.T) {
	t.Parallel()
	p := newPast(t, 41)
	p.write(60)
	opts := varve.BackupOptions{RevisionHistory: true, TargetFileBytes: 256}
	p.backup(opts)
	opts.Into = varve.Latest
	p.write(60)
	last := p.backup(opts)
	for _, at := range []export.Timestamp{p.moments[30], p.moments[70], p.moments[100].Next(), last.End} {
		want := kvtest.Canonical(nil, kvtest.Timeless(p.store.StateAt(at, varve.Span{})))
		db, plain := openPebble(t, &pebble.Options{FS: vfs.NewMem()})
		restored, err := p.c.Restore(t.Context(), varve.Cluster(plain), &varve.RestoreOptions{AsOf: at})
		require.NoError(t, err)
		require.Equal(t, at == last.End, restored.Proof == varve.ProofDigest)
		require.Equal(t, want, contentIn(t, plain))

		back := collectionIn(t, faultblob.New(t, nil), nil)
		_, err = back.Backup(t.Context(), varve.Cluster(plain), nil)
		require.NoError(t, err)
		require.NoError(t, db.Set([]byte("k00"), []byte("after"), pebble.Sync))
		_, err = back.Backup(t.Context(), varve.Cluster(plain), &varve.BackupOptions{Into: varve.Latest})
		require.NoError(t, err)
		again := newStore(t, nil)
		_, err = back.Restore(t.Context(), varve.Cluster(again), nil)
		require.NoError(t, err)
		require.Equal(t, contentIn(t, plain), stateOf(again))

		for _, other := range []struct {
			c     *varve.Collection
			store export.Store
		}{{p.c, plain}, {back, again}} {
			_, err := other.c.Backup(t.Context(), varve.Cluster(other.store), &varve.BackupOptions{Into: varve.Latest, Adopt: true})
			var order *varve.OrderError
			require.ErrorAs(t, err, &order)
		}
	}
	dir := pebblekv.Dir("new", &pebblekv.Options{Pebble: &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}}})
	_, err := p.c.Restore(t.Context(), varve.Cluster(dir), &varve.RestoreOptions{AsOf: p.moments[70]})
	require.NoError(t, err)

	other := newStore(t, &memkv.Options{Order: &export.Order{Name: "other", Compare: bytes.Compare}})
	var order *varve.OrderError
	_, err = p.c.Restore(t.Context(), varve.Cluster(other), nil)
	require.ErrorAs(t, err, &order)
}

// contentIn is what a store holds, in the form of stateOf.
func contentIn(t testing.TB, s export.Store) []export.Entry {
	t.Helper()
	snapshot, err := s.Snapshot(t.Context(), export.SnapshotOptions{})
	require.NoError(t, err)
	all, err := kvtest.Collect(t.Context(), snapshot, export.Request{})
	require.NoError(t, err)
	require.NoError(t, snapshot.Close())
	return kvtest.Canonical(nil, kvtest.Timeless(all))
}
