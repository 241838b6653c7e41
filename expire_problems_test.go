package varve_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestOneObjectStays: that it cannot be deleted keeps nothing else from going, not even in
// its own layer.
func TestOneObjectStays(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(5) // fulls are 0 and 4
	policy := varve.Policy{KeepLast: 1}
	_, err := a.expire(policy)
	require.NoError(t, err)
	a.wait(25 * time.Hour)
	var data []string
	for _, key := range a.bucket.Keys() {
		if strings.HasPrefix(key, n[0].Path+"/data/") {
			data = append(data, key)
		}
	}
	require.Greater(t, len(data), 2)
	a.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == faultblob.Delete && op.Key == data[1] {
			return faultblob.Fault{Kind: faultblob.Denied}
		}
		return faultblob.Fault{}
	})
	report, err := a.expire(policy)
	require.ErrorContains(t, err, data[1])
	require.ErrorIs(t, report.Err(), report.Problems[0])
	require.Len(t, report.Problems, 1)
	keys := a.bucket.Keys()
	require.Contains(t, keys, data[1])
	require.NotContains(t, keys, data[0])
	require.NotContains(t, keys, data[2])
	require.Contains(t, keys, n[0].Path+"/progress/0", "the claim goes after all of it")
	a.bucket.Inject(nil)
	_, err = a.expire(policy)
	require.NoError(t, err)
	a.requireNothingOf(n[:4]...)
	a.requireExactly(n[4])
}

// TestNothingCanBeDeleted: without the right to, layers are retired, each is tried, and the
// report says so. Where storage is out of order, not all of it is tried.
func TestNothingCanBeDeleted(t *testing.T) {
	t.Parallel()
	for _, kind := range []faultblob.FaultKind{faultblob.Denied, faultblob.Lost} {
		bubble(t, fmt.Sprint(kind), func(t *testing.T) {
			a := newArchive(t)
			var n []*varve.Layer
			for range 20 {
				n = append(n, a.layer(24*time.Hour, ""))
			}
			policy := varve.Policy{KeepLast: 1}
			_, err := a.expire(policy)
			require.NoError(t, err)
			a.wait(25 * time.Hour)
			keys := a.bucket.Keys()
			a.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
				if op.Kind == faultblob.Delete {
					return faultblob.Fault{Kind: kind}
				}
				return faultblob.Fault{}
			})
			report, err := a.expire(policy)
			require.Error(t, err)
			want := 19
			if kind == faultblob.Lost {
				want = 16
			}
			require.Len(t, report.Problems, want)
			require.Empty(t, report.Expired)
			require.Equal(t, keys, withoutNewRecord(keys, a.bucket.Keys()))
			require.ErrorIs(t, a.restore(a.newStore(), n[0].ID), varve.ErrNoLayer)
			require.NoError(t, a.restore(a.newStore(), n[19].ID))
		})
	}
}

// withoutNewRecord leaves the records out that were not there before.
func withoutNewRecord(before, now []string) []string {
	return slices.DeleteFunc(slices.Clone(now), func(key string) bool {
		return strings.HasPrefix(key, "expired/") && !slices.Contains(before, key)
	})
}

// TestForceSaysWhatItTakes from the newest verified point, and what stays without it.
func TestForceSaysWhatItTakes(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(5)
	_, err := a.collection().Verify(t.Context(), n[2].ID, &varve.VerifyOptions{Level: varve.VerifyHash, Record: true})
	require.NoError(t, err)
	_, err = a.collection().Verify(t.Context(), n[3].ID, &varve.VerifyOptions{Level: varve.VerifySize, Record: true})
	require.NoError(t, err)
	policy := varve.Policy{KeepLast: 1}
	keep, why := fateOf(a.plan(policy), n[2])
	require.True(t, keep)
	require.Equal(t, "newest verified", why)
	policy.Force = true
	plan := a.plan(policy)
	keep, why = fateOf(plan, n[2])
	require.False(t, keep)
	require.Equal(t, "no rule keeps it; forced: newest verified", why)
	require.Contains(t, plan.String(), "forced: newest verified")
	a.settle(policy)
	a.requireExactly(n[4])
}

// TestOldVerifications: of those of one layer the last is kept.
func TestOldVerifications(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(1)
	for range 5 {
		a.wait(24 * time.Hour)
		_, err := a.collection().Verify(t.Context(), "", &varve.VerifyOptions{Record: true})
		require.NoError(t, err)
	}
	count := func() (c int) {
		for _, key := range a.bucket.Keys() {
			if strings.HasPrefix(key, "verified/") {
				c++
			}
		}
		return c
	}
	policy := varve.Policy{KeepLast: 1}
	_, err := a.expire(policy)
	require.NoError(t, err)
	require.Equal(t, 5, count())
	a.wait(31 * 24 * time.Hour)
	_, err = a.expire(policy)
	require.NoError(t, err)
	require.Equal(t, 1, count())
	require.True(t, a.plan(policy).Points[0].Verified)
	a.requireExactly(n...)
}
