package varve_test

import (
	"fmt"
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

// shelfOf is a database whose bottom level consists of several tables.
func shelfOf(t *testing.T, popts *pebble.Options) *pebbleEngine {
	t.Helper()
	for i := range popts.TargetFileSizes {
		popts.TargetFileSizes[i] = 32 << 10
	}
	p := newPebbleEngine(t, popts, pebblekv.Options{})
	rewrite(t, p, 0, 20000, "first")
	return p
}

func rewrite(t *testing.T, p *pebbleEngine, from, to int, what string) {
	t.Helper()
	for i := from; i < to; i++ {
		require.NoError(t, p.db.Set(fmt.Appendf(nil, "k%06d", i), fmt.Appendf(nil, "%s %d %x", what, i, i*i*7919), pebble.NoSync))
	}
	require.NoError(t, p.db.Compact(t.Context(), []byte("a"), []byte("z"), false))
}

func readAll(t *testing.T, store export.Store) []export.Entry {
	t.Helper()
	snapshot, err := store.Snapshot(t.Context(), export.SnapshotOptions{})
	require.NoError(t, err)
	all, err := kvtest.Collect(t.Context(), snapshot, export.Request{})
	require.NoError(t, err)
	require.NoError(t, snapshot.Close())
	return all
}

// TestSynthetic: a full refers to the tables that the one before has stored, keeps their
// layers from being expired, and is as good as any.
func TestSynthetic(t *testing.T) {
	t.Parallel()
	p := shelfOf(t, &pebble.Options{})
	bucket := faultblob.New(t, nil)
	c := collectionIn(t, bucket, nil)
	full := func(opts varve.BackupOptions) *varve.Layer {
		t.Helper()
		opts.TargetFileBytes = 64 << 10
		layer, err := c.Backup(t.Context(), varve.Cluster(p), &opts)
		require.NoError(t, err)
		_, err = c.Verify(t.Context(), layer.ID, &varve.VerifyOptions{Level: varve.VerifyOrder})
		require.NoError(t, err)
		to := newStore(t, &memkv.Options{SingleRevision: true})
		_, err = c.Restore(t.Context(), varve.Cluster(to), &varve.RestoreOptions{From: layer.ID})
		require.NoError(t, err)
		require.Equal(t, readAll(t, p), kvtest.Timeless(to.State(varve.Span{})))
		return layer
	}
	raw := varve.BackupOptions{Compression: varve.CompressNone}
	again := varve.BackupOptions{Compression: varve.CompressNone, Synthetic: true}

	first := full(raw)
	require.Empty(t, first.Manifest.Refers)
	require.Greater(t, first.Stats.Files, int64(3))

	same := full(again)
	require.Equal(t, []string{first.ID}, same.Manifest.Refers)
	require.Zero(t, same.Stats.StoredBytes, "nothing new")
	require.Equal(t, first.Stats.Files, same.Stats.Files)
	require.Equal(t, first.Manifest.Digest.State, same.Manifest.Digest.State)
	require.Contains(t, bucket.Keys(), "refs/"+first.ID+"/"+same.ID)

	rewrite(t, p, 0, 500, "second")
	part := full(again)
	require.Equal(t, []string{first.ID}, part.Manifest.Refers)
	require.Greater(t, part.Stats.StoredBytes, int64(0))
	require.Less(t, part.Stats.StoredBytes, first.Stats.StoredBytes/2)

	both := full(again)
	require.ElementsMatch(t, []string{first.ID, part.ID}, both.Manifest.Refers)
	require.Zero(t, both.Stats.StoredBytes)
	for _, layer := range both.Manifest.Refers {
		require.Contains(t, bucket.Keys(), "refs/"+layer+"/"+both.ID)
	}

	bucket.Replace("retired/"+part.ID, []byte("{}"))
	require.Empty(t, full(again).Manifest.Refers, "one of the layers is on its way out")
	bucket.Remove("retired/" + part.ID)

	require.Empty(t, full(raw).Manifest.Refers, "none that was not asked for")

	incremental := raw
	incremental.Into = varve.Latest
	rewrite(t, p, 100, 120, "third")
	full(incremental)
	rewrite(t, p, 100, 120, "fourth")
	require.NotEmpty(t, full(again).Manifest.Refers, "of a chain the full counts")
}

// TestSyntheticOfOtherBytes: a table that is alike in every number, and has other values,
// is not the one that is stored.
func TestSyntheticOfOtherBytes(t *testing.T) {
	t.Parallel()
	p := newPebbleEngine(t, &pebble.Options{}, pebblekv.Options{})
	write := func(digit byte) {
		for i := range 2000 {
			require.NoError(t, p.db.Set(fmt.Appendf(nil, "k%06d", i), []byte{'0' + digit, byte('a' + i%7)}, pebble.NoSync))
		}
		require.NoError(t, p.db.Compact(t.Context(), []byte("a"), []byte("z"), false))
	}
	c := collectionIn(t, faultblob.New(t, nil), nil)
	opts := varve.BackupOptions{Compression: varve.CompressNone, Synthetic: true, TargetFileBytes: 64 << 10}
	var states [][]export.Entry
	var layers []*varve.Layer
	for digit := range byte(3) {
		write(digit)
		layer, err := c.Backup(t.Context(), varve.Cluster(p), &opts)
		require.NoError(t, err)
		require.Positive(t, layer.Stats.CopiedBytes)
		require.Empty(t, layer.Manifest.Refers)
		states, layers = append(states, readAll(t, p)), append(layers, layer)
	}
	for i, layer := range layers {
		to := newStore(t, &memkv.Options{SingleRevision: true})
		_, err := c.Restore(t.Context(), varve.Cluster(to), &varve.RestoreOptions{From: layer.ID})
		require.NoError(t, err)
		require.Equal(t, states[i], kvtest.Timeless(to.State(varve.Span{})))
	}
}

// TestTablesOneAfterTheOther: a single worker stores each table before it reads the next.
func TestTablesOneAfterTheOther(t *testing.T) {
	t.Parallel()
	p := shelfOf(t, &pebble.Options{})
	c := collectionIn(t, faultblob.New(t, nil), nil)
	layer, err := c.Backup(t.Context(), varve.Cluster(p), &varve.BackupOptions{Compression: varve.CompressNone, TargetFileBytes: 64 << 10, Concurrency: 1})
	require.NoError(t, err)
	require.Greater(t, layer.Stats.Files, int64(3))
	require.Equal(t, layer.Stats.StoredBytes, layer.Stats.CopiedBytes)
}
