package varve_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/mvcckv"
	"github.com/varvekv/varve/internal/faultblob"
)

// versioned is a store with history and transactions, and its backups.
type versioned struct {
	*testing.T
	store *mvcckv.Store
	c     *varve.Collection
}

func newVersioned(t *testing.T) *versioned {
	return &versioned{T: t, store: openVersioned(t), c: collectionIn(t, faultblob.New(t, nil), nil)}
}

// write sets each step-th of some keys, deletes others, and is when.
func (v *versioned) write(value string, step int) export.Timestamp {
	v.Helper()
	at, err := v.store.Update(v.Context(), nil, func(tx *mvcckv.Tx) error {
		var errs []error
		for i := 0; i < 200; i += step {
			errs = append(errs, tx.Put(v.Context(), fmt.Appendf(nil, "k%03d", i), []byte(value)))
		}
		errs = append(errs, tx.Delete(v.Context(), fmt.Appendf(nil, "k%03d", step)))
		return errors.Join(errs...)
	})
	require.NoError(v, err)
	return at
}

// backup sees to it that the digest is right.
func (v *versioned) backup(opts varve.BackupOptions) *varve.Layer {
	v.Helper()
	opts.RevisionHistory, opts.TargetFileBytes = true, 1<<10
	layer, err := v.c.Backup(v.Context(), varve.Cluster(v.store), &opts)
	require.NoError(v, err)
	_, err = v.c.Verify(v.Context(), layer.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
	require.NoError(v, err)
	return layer
}

// at is what the store held, with timestamps.
func (v *versioned) at(moment export.Timestamp) []export.Entry {
	v.Helper()
	return momentIn(v.T, v.store, moment)
}

func momentIn(t *testing.T, s export.Store, moment export.Timestamp) []export.Entry {
	t.Helper()
	snapshot, err := s.Snapshot(t.Context(), export.SnapshotOptions{AsOf: moment})
	require.NoError(t, err)
	all, err := kvtest.Collect(t.Context(), snapshot, export.Request{})
	require.NoError(t, err)
	require.NoError(t, snapshot.Close())
	return all
}

// TestVersionedStore: a full of a store with history is linked as it is, a chain is
// restored into another one, and into a plain database, and from there back.
func TestVersionedStore(t *testing.T) {
	t.Parallel()
	v := newVersioned(t)
	v.write("first", 1)
	v.write("second", 3)
	full := v.backup(varve.BackupOptions{})
	between := v.write("third", 5)
	v.write("third", 5) // the same value again
	v.write("fourth", 7)
	last := v.backup(varve.BackupOptions{Into: varve.Latest})
	require.Equal(t, varve.Revisions, last.Stats.Changes)
	require.Equal(t, varve.DigestUpdate, last.Manifest.Digest.Source)

	linked := openVersioned(t)
	restored, err := v.c.Restore(t.Context(), varve.Cluster(linked), &varve.RestoreOptions{From: full.ID, Prove: true})
	require.NoError(t, err)
	require.Equal(t, varve.ProofDigest, restored.Proof)
	require.Equal(t, v.at(full.End), momentIn(t, linked, export.Timestamp{}), "tables keep their timestamps")

	for _, moment := range []export.Timestamp{full.End, between, last.End} {
		want := kvtest.Canonical(nil, kvtest.Timeless(v.at(moment)))
		opts := &varve.RestoreOptions{AsOf: moment}
		again := openVersioned(t)
		_, err := v.c.Restore(t.Context(), varve.Cluster(again), opts)
		require.NoError(t, err)
		require.Equal(t, want, contentIn(t, again))

		db, plain := openPebble(t, &pebble.Options{FS: vfs.NewMem()})
		_, err = v.c.Restore(t.Context(), varve.Cluster(plain), opts)
		require.NoError(t, err)
		require.Equal(t, want, contentIn(t, plain))
		v.back(db, plain)
	}
}

// back takes a chain of a plain database into a store with history.
func (v *versioned) back(db *pebble.DB, plain export.Store) {
	v.Helper()
	c := collectionIn(v, faultblob.New(v, nil), nil)
	_, err := c.Backup(v.Context(), varve.Cluster(plain), nil)
	require.NoError(v, err)
	require.NoError(v, db.Set([]byte("k000"), []byte("after"), pebble.Sync))
	require.NoError(v, db.Delete([]byte("k003"), pebble.Sync))
	_, err = c.Backup(v.Context(), varve.Cluster(plain), &varve.BackupOptions{Into: varve.Latest})
	require.NoError(v, err)
	again := openVersioned(v)
	_, err = c.Restore(v.Context(), varve.Cluster(again), nil)
	require.NoError(v, err)
	require.Equal(v, contentIn(v.T, plain), contentIn(v.T, again))
}
