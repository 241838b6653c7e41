package varve_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestSyntheticFullKeepsWhatItRefersTo: the tables of an older full, of which the younger one
// has none of its own. Should the older one be on its way out by the time that the younger is
// taken, there are no such tables.
func TestSyntheticFullKeepsWhatItRefersTo(t *testing.T) {
	t.Parallel()
	p := shelfOf(t, &pebble.Options{})
	now := time.Now()
	clock := func() time.Time { return now }
	bucket := faultblob.New(t, &faultblob.Options{Now: clock})
	c := collectionIn(t, bucket, &varve.CollectionOptions{Now: clock})
	full := func(opts varve.BackupOptions) *varve.Layer {
		t.Helper()
		now = now.Add(24 * time.Hour)
		opts.Compression, opts.TargetFileBytes = varve.CompressNone, 64<<10
		layer, err := c.Backup(t.Context(), varve.Cluster(p), &opts)
		require.NoError(t, err)
		return layer
	}
	settle := func() (expired []varve.LayerInfo) {
		t.Helper()
		for range 2 {
			plan, err := c.PlanExpire(t.Context(), varve.Policy{KeepLast: 1})
			require.NoError(t, err)
			report, err := c.Expire(t.Context(), plan)
			require.NoError(t, err)
			expired = append(expired, report.Expired...)
			now = now.Add(25 * time.Hour)
		}
		return expired
	}
	older := full(varve.BackupOptions{})
	younger := full(varve.BackupOptions{Synthetic: true})
	require.Equal(t, []string{older.ID}, younger.Manifest.Refers)
	require.Empty(t, settle(), "all of it is needed")
	_, err := c.Verify(t.Context(), younger.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
	require.NoError(t, err)
	to := newStore(t, &memkv.Options{SingleRevision: true})
	_, err = c.Restore(t.Context(), varve.Cluster(to), &varve.RestoreOptions{From: younger.ID})
	require.NoError(t, err)
	require.Equal(t, readAll(t, p), kvtest.Timeless(to.State(varve.Span{})))

	full(varve.BackupOptions{})
	require.Equal(t, []varve.LayerInfo{younger.LayerInfo, older.LayerInfo}, settle(), "what refers goes first")

	// All but the last are retired while a full looks for tables.
	sleeping := false
	bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if !sleeping && op.Kind == faultblob.Put && strings.HasPrefix(op.Key, "refs/") {
			sleeping = true
			layer, _, _ := strings.Cut(op.Key[len("refs/"):], "/")
			bucket.Replace("retired/"+layer, []byte("{}"))
		}
		return faultblob.Fault{}
	})
	last := full(varve.BackupOptions{Synthetic: true})
	require.True(t, sleeping)
	bucket.Inject(nil)
	require.Empty(t, last.Manifest.Refers)
	settle()
	_, err = c.Verify(t.Context(), last.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
	require.NoError(t, err)
}

// TestTwoWaysDown: a layer can be restored in two ways, and which of them has less to read
// changes just between the looks of two runs of expiry. They do not take one each.
func TestTwoWaysDown(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{})
	s.bucket = faultblob.New(t, &faultblob.Options{Now: func() time.Time { return *s.now }})
	wait := func(d time.Duration) { *s.now = s.now.Add(d) }
	fill(s.store, 300, 1)
	var layers []*varve.Layer
	for i := range 4 {
		s.opts.Labels = nil
		if i == 1 {
			s.opts.Labels = map[string]string{"release": "1"}
		}
		require.NoError(t, s.backup())
		layers = append(layers, s.last)
		s.opts.Into = varve.Latest
		for j := range 200 { // all but the first time these are the same
			s.store.Set(fmt.Appendf(nil, "key-%06d", j), fmt.Append(nil, "changed ", j))
		}
		if i >= 1 {
			s.store.Set([]byte("key-000001"), fmt.Append(nil, i))
		}
	}
	expire := func() {
		plan, err := s.collection().PlanExpire(t.Context(), varve.Policy{KeepLast: 1, KeepLabels: map[string]string{"release": ""}})
		require.NoError(t, err)
		_, err = s.collection().Expire(t.Context(), plan)
		require.NoError(t, err)
	}
	s.compacted(layers[2].ID, varve.CompactOptions{Rewrite: true, Compression: varve.CompressS2}) // more than what follows
	wait(time.Hour)
	expire()
	wait(26 * time.Hour)
	expire()
	wait(time.Minute)
	expire()
	wait(10 * time.Hour)
	s.compacted(layers[1].ID, varve.CompactOptions{Rewrite: true})
	wait(23*time.Hour + 59*time.Minute)
	other := false
	s.bucket.Park(func(_ context.Context, op faultblob.Op) {
		if !other && op.Kind == faultblob.Delete {
			other = true
			wait(2 * time.Minute)
			expire()
		}
	})
	expire()
	s.bucket.Park(nil)
	for range 3 {
		wait(25 * time.Hour)
		expire()
	}
	require.NoError(t, s.restore(s.newStore(), layers[3].ID))
}
