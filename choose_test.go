package varve_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestNewestOfTheseTargets: several stores and targets share a collection, and a
// restore that says no more takes the newest chain that holds what it wants.
func TestNewestOfTheseTargets(t *testing.T) {
	t.Parallel()
	faults := faultblob.New(t, nil)
	c := collectionIn(t, faults, nil)
	take := func(seed uint64, spans ...varve.Span) *varve.Layer {
		store := pieced(t, 100, seed)
		targets := varve.Cluster(store)
		if len(spans) > 0 {
			targets = varve.Spans(store, spans...)
		}
		layer, err := c.Backup(t.Context(), targets, &varve.BackupOptions{NoDigest: seed == 3})
		require.NoError(t, err)
		return layer
	}
	old := take(1)
	whole := take(2)
	left := take(3, span("key-000010", "key-000050"))
	right := take(4, span("key-000040", "key-000090"))
	odd := newStore(t, &memkv.Options{SingleRevision: true, Order: splitOrder})
	odd.Set([]byte("key-000020"), []byte("of another order"))
	other, err := c.Backup(t.Context(), varve.Cluster(odd), nil)
	require.NoError(t, err)

	restore := func(opts varve.RestoreOptions, spans ...varve.Span) (string, error) {
		dst := newStore(t, &memkv.Options{SingleRevision: true})
		targets := varve.Cluster(dst)
		if len(spans) > 0 {
			targets = varve.Spans(dst, spans...)
		}
		r, err := c.Restore(t.Context(), targets, &opts)
		if err != nil {
			require.Empty(t, stateOf(dst))
			return "", err
		}
		return r.From.ID, nil
	}
	for i, test := range []struct {
		opts  varve.RestoreOptions
		spans []varve.Span
		want  *varve.Layer
	}{
		{want: whole},
		{spans: []varve.Span{span("key-000041", "key-000049")}, want: right},
		{spans: []varve.Span{span("key-000010", "key-000020")}, want: left},
		{spans: []varve.Span{span("key-000010", "key-000020"), span("key-000060", "key-000070")}, want: whole},
		{opts: varve.RestoreOptions{AsOf: old.End}, want: old},
		{opts: varve.RestoreOptions{AsOf: left.End}, spans: []varve.Span{span("key-000045", "key-000050")}, want: left},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			got, err := restore(test.opts, test.spans...)
			require.NoError(t, err)
			require.Equal(t, test.want.ID, got)
		})
	}
	var target *varve.TargetError
	_, err = restore(varve.RestoreOptions{AsOf: left.End})
	require.ErrorAs(t, err, &target)
	require.Equal(t, "Cluster", target.Name)
	var order *varve.OrderError
	_, err = restore(varve.RestoreOptions{AsOf: other.End})
	require.ErrorAs(t, err, &order)
	_, err = restore(varve.RestoreOptions{From: varve.Latest})
	require.ErrorAs(t, err, &order, "who names a layer gets that one or none")
	var miss *varve.NoRestorePointError
	_, err = restore(varve.RestoreOptions{AsOf: left.End.Next()})
	require.ErrorAs(t, err, &miss)
	require.Equal(t, left.End, miss.Before)
	var option *varve.OptionError
	_, err = restore(varve.RestoreOptions{Prove: true}, span("key-000010", "key-000020"))
	require.ErrorAs(t, err, &option, "an older layer with digests is another state")

	faults.Truncate(whole.Path+"/BACKUP_MANIFEST", 100)
	var corrupt *varve.CorruptError
	_, err = restore(varve.RestoreOptions{})
	require.ErrorAs(t, err, &corrupt, "nor does damage bring back an older one")
}

// TestListingIsAWalkAfterAKill: a run that is killed between any two of its writes
// leaves an index that lists what a search of the whole collection finds.
func TestListingIsAWalkAfterAKill(t *testing.T) {
	t.Parallel()
	begin := setting(backedUp)
	writes := 0
	for _, op := range begin.trace(t, (*scene).backup) {
		if op.Kind == faultblob.Put && !lastRecord(op.Key) {
			writes++
		}
	}
	require.Greater(t, writes, 5)
	for n := range writes + 1 {
		twin := begin.at(t)
		left := n
		twin.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
			if op.Kind != faultblob.Put {
				return faultblob.Fault{}
			}
			if left--; left < 0 {
				return faultblob.Fault{Kind: faultblob.Denied}
			}
			return faultblob.Fault{}
		})
		_ = twin.backup() // it is killed, but for the last time
		twin.bucket.Inject(nil)
		listed := twin.listed()
		require.Len(t, listed, 1+n/writes)
		missing, err := twin.collection().RebuildIndex(t.Context())
		require.NoError(t, err)
		require.Zero(t, missing, "after %d writes", n)
		for _, key := range twin.bucket.Keys() {
			if len(key) > 6 && key[:6] == "index/" {
				twin.bucket.Remove(key)
			}
		}
		missing, err = twin.collection().RebuildIndex(t.Context())
		require.NoError(t, err)
		require.Equal(t, len(listed), missing)
		require.Equal(t, listed, twin.listed())
	}
}
