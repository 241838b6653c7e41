package varve_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

func TestStartBackup(t *testing.T) {
	t.Parallel()
	store := pieced(t, 1000, 1)
	bucket := faultblob.New(t, nil)
	c := collectionIn(t, bucket, nil)
	ctx, cancel := context.WithCancel(t.Context())
	j, err := c.StartBackup(ctx, varve.Cluster(store), &varve.BackupOptions{Concurrency: 1, TargetFileBytes: 2 << 10})
	cancel()
	require.NoError(t, err)
	s, err := j.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, varve.JobSucceeded, s.State)
	require.Equal(t, s.Layer.Stats.JobID, j.ID())
	for s, err := range c.Jobs(t.Context()) {
		require.NoError(t, err)
		t.Logf("%+v", s)
	}
	dst := newStore(t, &memkv.Options{SingleRevision: true})
	r, err := c.StartRestore(t.Context(), varve.Cluster(dst), nil)
	require.NoError(t, err)
	s, err = r.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, stateOf(store), stateOf(dst))
	for _, k := range bucket.Keys() {
		t.Log(k)
	}
}
