package varve

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dated dates manifests, so many hours ago.
func (l *lake) dated(hours int, infos ...LayerInfo) {
	for _, info := range infos {
		l.faults.Date(manifestObject(info.Path), time.Now().Add(-time.Duration(hours)*time.Hour))
	}
}

func (l *lake) kept(policy Policy) (kept []LayerInfo, plan *ExpirePlan) {
	l.Helper()
	plan, err := l.c.PlanExpire(l.Context(), policy)
	require.NoError(l, err)
	for _, pt := range plan.Points {
		if pt.Keep {
			kept = append(kept, pt.LayerInfo)
		}
	}
	return kept, plan
}

// TestStandInsAreNeeded: of the ways to a layer the one is kept that readers take, and
// the other goes, but not before the stand-in has been there for a day.
func TestStandInsAreNeeded(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 4, 10)
	for i, info := range chain {
		l.weigh(info, 100)
		l.dated(100-i, info)
	}
	stand := l.standIn(0x21, chain[2], func(m *Manifest) { m.FileList.Stored = 150 })
	policy := Policy{KeepLast: 1}
	l.dated(98, stand)
	kept, plan := l.kept(policy)
	require.Equal(t, []LayerInfo{chain[3], stand}, kept)
	require.Len(t, plan.Drops(), 3)

	l.dated(3, stand) // whoever began to read before takes the other way
	kept, _ = l.kept(Policy{KeepLast: 1, Force: true})
	require.Subset(t, kept, chain)
	l.dated(98, stand)
	l.manifest(stand, func(m *Manifest) { m.StandsFor, m.FileList.Stored = chain[2].ID, 400 })
	kept, _ = l.kept(policy)
	require.ElementsMatch(t, chain, kept, "it is more to read")

	l.faults.Remove(manifestObject(chain[1].Path))
	kept, _ = l.kept(policy)
	require.Contains(t, kept, stand, "the only whole way")
	l.faults.Remove(manifestObject(stand.Path))
	kept, plan = l.kept(Policy{KeepLast: 1})
	require.Equal(t, []LayerInfo{chain[3], chain[2], chain[0]}, kept, "what is broken is not dropped")
	require.Contains(t, plan.String(), "its chain is broken")
	kept, _ = l.kept(Policy{KeepLast: 1, Force: true})
	require.Equal(t, []LayerInfo{chain[0]}, kept, "unless forced")
}

// TestGroups: stores and their targets are counted for themselves.
func TestGroups(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	one, other := layChain(l, 1, 3, 10), layChain(l, 0x20, 3, 15)
	for _, info := range other {
		l.manifest(info, func(m *Manifest) { m.Lineage = testID(0x99) })
	}
	for i := range one {
		l.dated(90-i, one[i])
		l.dated(80-i, other[i])
	}
	kept, _ := l.kept(Policy{KeepLast: 1})
	require.ElementsMatch(t, append(one, other...), kept, "each has a newest, and what that needs")
	for _, info := range one {
		l.manifest(info, func(m *Manifest) { m.Labels = map[string]string{"keep": "me"} })
		l.dated(90, info)
	}
	_, plan := l.kept(Policy{KeepLabels: map[string]string{"keep": "me"}})
	require.Empty(t, plan.Drops())
}
