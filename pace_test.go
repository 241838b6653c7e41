package varve_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestPace: the application is told of everything that is read, by every way to find
// out what a layer holds, and may stop the backup or make it wait.
func TestPace(t *testing.T) {
	t.Parallel()
	const keys, size = 300, 32 << 10
	p := newPebbleEngine(t, &pebble.Options{}, pebblekv.Options{})
	for i := range keys {
		require.NoError(t, p.db.Set(fmt.Appendf(nil, "k%04d", i), make([]byte, size), pebble.NoSync))
	}
	c := collectionIn(t, faultblob.New(t, nil), nil)
	var passed, calls atomic.Int64
	opts := varve.BackupOptions{Pace: func(ctx context.Context, n int64) error {
		passed.Add(n)
		calls.Add(1)
		return ctx.Err()
	}}
	state := int64(keys * (size + 5))
	backup := func(least int64) {
		t.Helper()
		passed.Store(0)
		calls.Store(0)
		_, err := c.Backup(t.Context(), varve.Cluster(p), &opts)
		require.NoError(t, err)
		require.GreaterOrEqual(t, passed.Load(), least)
		require.LessOrEqual(t, calls.Load(), passed.Load()/(1<<20)+50, "not for every entry")
	}
	opts.Audit = true
	backup(2 * state) // a full from entries, and the audit
	require.NoError(t, p.db.Compact(t.Context(), []byte("a"), []byte("z"), false))
	backup(2 * state) // one from tables
	opts.Into, opts.Audit, opts.NoBase = varve.Latest, false, true
	require.NoError(t, p.db.Set([]byte("k0007"), []byte("new"), pebble.NoSync))
	backup(1)            // changes
	backup(state - size) // a comparison with the chain, of which one value is short

	stop := errors.New("the shop has opened")
	opts.Pace = func(context.Context, int64) error { return stop }
	_, err := c.Backup(t.Context(), varve.Cluster(p), &opts)
	require.ErrorIs(t, err, stop)

	ctx, cancel := context.WithCancel(t.Context())
	opts.Pace = func(ctx context.Context, _ int64) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	_, err = c.Backup(ctx, varve.Cluster(p), &opts)
	require.ErrorIs(t, err, context.Canceled)
}
