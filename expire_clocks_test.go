package varve_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// TestClocksThatJump: of two clocks one goes ahead by years, while a collection is expired
// or for good. What was not old by both is not taken for old, be it a restore point, a
// mark, or a run.
func TestClocksThatJump(t *testing.T) {
	t.Parallel()
	const years = 30000 * time.Hour
	for _, test := range []struct {
		name           string
		bucket, client time.Duration
	}{
		{"the bucket's is ahead", years, 0}, {"the client's is ahead", 0, years},
		{"the bucket's is behind", -years, 0}, {"the client's is behind", 0, -years},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newArchive(t)
			n := a.nights(6)
			policy := varve.Policy{KeepWithin: 49 * time.Hour, Force: true}
			dead := a.deadRun(n[5])
			_, err := a.expire(policy)
			require.NoError(t, err)
			marked := a.bucket.Keys()
			a.wait(2 * time.Hour)

			jumped, right := a.bucketN.Add(test.bucket), *a.bucketN
			*a.bucketN, *a.now = jumped, right.Add(test.client)
			plan := a.plan(policy)
			report, err := a.collection().Expire(t.Context(), plan)
			require.NoError(t, err)
			for _, l := range report.Retired {
				i := slices.IndexFunc(n, func(o *varve.Layer) bool { return o.ID == l.ID })
				require.Less(t, i, 4, "%s is not two days old", l.Path)
			}
			require.Empty(t, report.Expired, "marks are two hours old")
			require.Empty(t, report.Dead)
			require.Zero(t, report.Objects)
			require.Subset(t, a.bucket.Keys(), marked)

			*a.bucketN, *a.now = right, right
			a.requireListedRestore()
			a.wait(25 * time.Hour)
			report, err = a.expire(policy)
			require.NoError(t, err)
			require.Len(t, report.Dead, 1, "when all clocks are right again it goes on")
			require.Equal(t, dead, report.Dead[0].Layer)
			a.requireListedRestore()
		})
	}
}

// TestClientBehind: whose clock is behind is told why nothing goes.
func TestClientBehind(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.nights(3)
	a.skew = -72 * time.Hour
	a.wait(time.Hour)
	plan := a.plan(varve.Policy{KeepLast: 1})
	require.Contains(t, plan.String(), "the clock of this process is 2 days 23h0m0s behind the bucket's")
	a.skew = 0
	a.wait(time.Hour)
	require.NotContains(t, a.plan(varve.Policy{KeepLast: 1}).String(), "the clock")
}

// TestBackdatedLayers: somebody adds layers with ends of the past and of the future, as many
// as the policy counts. What there was is counted by the bucket's clock, and stays.
func TestBackdatedLayers(t *testing.T) {
	t.Parallel()
	for _, lie := range []time.Duration{-20000 * time.Hour, 20000 * time.Hour} {
		a := newArchive(t)
		n := []*varve.Layer{a.layer(24*time.Hour, ""), a.layer(24*time.Hour, ""), a.layer(24*time.Hour, "")}
		*a.now = a.now.Add(lie)
		for i := range 3 {
			a.opts.Into = ""
			a.change(uint64(100 + i))
			*a.bucketN = a.bucketN.Add(time.Minute)
			require.NoError(t, a.attempt(t.Context()))
		}
		*a.now = *a.bucketN
		for _, policy := range []varve.Policy{
			{KeepWithin: 75 * time.Hour}, {KeepDaily: 3}, {KeepLast: 1, Guarantee: 75 * time.Hour},
		} {
			plan := a.plan(policy)
			for i, l := range n {
				if policy.KeepDaily > 0 && i == 2 {
					continue // of that day there are newer ones
				}
				keep, why := fateOf(plan, l)
				require.True(t, keep, "%d: %s, by %s", i, why, policy)
			}
		}
	}
}

// TestGuaranteeHoldsWhenBackupsStop: how far back one can go is counted from what is newest.
func TestGuaranteeHoldsWhenBackupsStop(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(8)
	a.wait(1000 * time.Hour)
	a.settle(varve.Policy{KeepWithin: time.Hour, Guarantee: 50 * time.Hour})
	a.requireExactly(n[4], n[5], n[6], n[7])
	a.settle(varve.Policy{KeepWithin: time.Hour})
	a.requireExactly(n[4], n[5], n[6], n[7]) // the newest, and what it needs
}
