package varve

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// prove records that a chain was verified, so many hours ago; the full comes first.
func (l *lake) prove(level VerifyLevel, hours int, chain ...LayerInfo) {
	l.Helper()
	tip := chain[len(chain)-1]
	r := verifiedRecord{Layer: tip.ID, Level: level.String(), ID: testID(0x70 + hours)}
	for _, info := range chain {
		r.Chain = append(r.Chain, info.ID)
	}
	object := formatVerified(tip.ID, level, r.ID)
	l.record(object, kindVerified, r)
	l.faults.Date(object, time.Now().Add(-time.Duration(hours)*time.Hour))
}

// requireProved wants exactly these to count as verified.
func (l *lake) requireProved(want ...LayerInfo) {
	l.Helper()
	plan, err := l.c.PlanExpire(l.Context(), Policy{KeepLast: 9})
	require.NoError(l, err)
	var got []LayerInfo
	for _, pt := range plan.Points {
		if pt.Verified {
			got = append(got, pt.LayerInfo)
		}
	}
	require.ElementsMatch(l, want, got)
}

// TestProved: verified is what was read itself with all that it is restored on now, and at a
// level that reads.
func TestProved(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 4, 10)
	for i, info := range chain {
		l.weigh(info, 100)
		l.dated(100-i, info)
	}
	l.prove(VerifySize, 1, chain...)
	l.requireProved()
	l.prove(VerifyHash, 50, chain[:3]...)
	l.requireProved(chain[:3]...)

	// The way down goes by another layer, which nobody has verified.
	stand := l.standIn(0x21, chain[1], func(m *Manifest) { m.FileList.Stored = 150 })
	l.dated(90, stand)
	l.requireProved(chain[:2]...)
	l.prove(VerifyDigest, 40, stand, chain[2])
	l.requireProved(stand, chain[2]) // the last verification of a layer counts

	// A full lists files of another: that has others, too.
	full := layerAt(0x31, none, 90)
	l.lay(full)
	l.manifest(full, func(m *Manifest) { m.Refers = []string{chain[0].ID} })
	l.prove(VerifyHash, 30, full)
	l.requireProved(stand, chain[2], full)
	plan, err := l.c.PlanExpire(t.Context(), Policy{KeepWithin: time.Nanosecond})
	require.NoError(t, err)
	i := slices.IndexFunc(plan.Points, func(pt ExpirePoint) bool { return pt.ID == chain[0].ID })
	require.Contains(t, plan.Points[i].Reasons, "needed by "+full.Path)

	l.faults.Flip(formatVerified(full.ID, VerifyHash, testID(0x70+30)), 900)
	l.requireProved(stand, chain[2]) // what cannot be read proves nothing
}

// TestTwinsStay: of two layers with one ID nobody knows which is meant by it.
func TestTwinsStay(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 3, 10)
	twin := chain[1]
	twin.Path = "elsewhere/twin"
	l.lay(twin)
	rest := layChain(l, 0x20, 2, 100)
	for _, info := range slices.Concat(chain, []LayerInfo{twin}, rest) {
		l.dated(90, info)
	}
	plan, err := l.c.PlanExpire(t.Context(), Policy{KeepLast: 1, Force: true})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{chain[1].Path, twin.Path}, plan.Odd)
	for _, drop := range plan.Drops() {
		require.NotEqual(t, chain[1].ID, drop.ID)
	}
	for _, pt := range plan.Points {
		require.NotEqual(t, chain[1].ID, pt.ID)
	}
}
