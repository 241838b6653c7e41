package varve

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/faultblob"
)

// standIn lays a full that ends where a layer does and stands for it.
func (l *lake) standIn(id int, other LayerInfo, edit func(*Manifest)) LayerInfo {
	l.Helper()
	s := layerAt(id, none, other.End.WallNanos/1e9)
	l.indexed(s)
	l.manifest(s, func(m *Manifest) {
		m.StandsFor, m.Covers = other.ID, []string{other.ID}
		if edit != nil {
			edit(m)
		}
	})
	return s
}

// weigh gives a layer files of so many bytes.
func (l *lake) weigh(info LayerInfo, bytes int64) {
	l.Helper()
	l.manifest(info, func(m *Manifest) { m.FileList.Stored = bytes })
}

func (l *lake) retire(infos ...LayerInfo) {
	l.Helper()
	for _, info := range infos {
		l.record(formatRetired(info.ID), kindRetired, retiredRecord{Layer: info.ID})
	}
}

func (l *lake) resolve(from string, asOf Timestamp) []LayerInfo {
	l.Helper()
	chain, err := l.c.Resolve(l.Context(), from, asOf)
	require.NoError(l, err)
	return infosOf(chain)
}

// TestStandIns: a parent reference is satisfied by the layer or by one that stands
// for it, and of all ways the one with the fewest stored bytes is taken.
func TestStandIns(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 5, 10) // ends 10, 20, 30, 40, 50
	for _, info := range chain {
		l.weigh(info, 100)
	}
	light := l.standIn(0x21, chain[2], func(m *Manifest) { m.FileList.Stored = 150 })
	heavy := l.standIn(0x22, chain[2], func(m *Manifest) { m.FileList.Stored = 400 })
	newest := l.standIn(0x23, chain[4], func(m *Manifest) { m.FileList.Stored = 360 })
	stranger := layerAt(0x24, none, 30) // ends there, too, and stands for nothing
	l.lay(stranger)

	require.Equal(t, []LayerInfo{light, chain[3], chain[4]}, l.resolve(chain[4].ID, Timestamp{}))
	require.Equal(t, []LayerInfo{light, chain[3], chain[4]}, l.resolve(chain[4].Path, Timestamp{}))
	require.Equal(t, chain[:3], l.resolve(chain[2].ID, Timestamp{}), "a layer that is named is the one restored")
	require.Equal(t, []LayerInfo{light}, l.resolve(light.ID, Timestamp{}))
	require.Equal(t, []LayerInfo{newest}, l.resolve(Latest, Timestamp{}), "the newest full")
	require.Equal(t, chain[:2], l.resolve(chain[4].ID, wall(20)), "a moment that only the other way has")
	require.Equal(t, []LayerInfo{light}, l.resolve(chain[4].ID, wall(30)), "a moment that both have")

	l.faults.Remove(manifestObject(chain[1].Path))
	l.faults.Remove(manifestObject(light.Path))
	require.Equal(t, []LayerInfo{heavy, chain[3], chain[4]}, l.resolve(chain[4].ID, Timestamp{}), "the only whole way")
	l.faults.Remove(formatIndex(chain[2]))
	require.Equal(t, []LayerInfo{heavy, chain[3], chain[4]}, l.resolve(chain[4].ID, Timestamp{}), "of a parent that no entry names")
	l.retire(heavy)
	require.Equal(t, []LayerInfo{heavy, chain[3], chain[4]}, l.resolve(chain[4].ID, Timestamp{}), "what is retired stays as long as it is needed")
}

// TestTipsBeyondStandIns: what extends a layer extends those that stand for it.
func TestTipsBeyondStandIns(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 4, 10)
	stand := l.standIn(0x21, chain[1], nil)
	require.Equal(t, chain[3].ID, l.latest())
	require.Equal(t, []LayerInfo{stand, chain[2], chain[3]}, l.resolve(Latest, Timestamp{}), "of equal bytes the shorter way")
	for _, gone := range chain[:2] {
		l.faults.Remove(formatIndex(gone))
		l.faults.Remove(manifestObject(gone.Path))
	}
	require.Equal(t, []LayerInfo{stand, chain[2], chain[3]}, l.resolve(Latest, Timestamp{}), "expired layers are not missed")
	require.Equal(t, []LayerInfo{chain[3], chain[2], stand}, l.listed())
}

// TestManyStandIns: merges of every two layers make ways by the million, which are
// not tried one by one.
func TestManyStandIns(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 100, 10)
	for i := 2; i < len(chain); i++ {
		merged := chain[i]
		merged.ID, merged.Path = testID(0x1000+i), layerAt(0x1000+i, none, 1).Path
		merged.ParentID, merged.Start = chain[i-2].ID, chain[i-2].End
		l.indexed(merged)
		l.manifest(merged, func(m *Manifest) { m.StandsFor = chain[i].ID })
	}
	require.Len(t, l.resolve(Latest, Timestamp{}), 51)
}

// TestStandInsAgree: of one moment there is one state (I13).
func TestStandInsAgree(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 3, 10)
	state := func(lo uint64) func(*Manifest) {
		return func(m *Manifest) { m.Digest = newDigest(digest.Digest{State: digest.Sum{Lo: lo}, Keys: 1}, false) }
	}
	l.manifest(chain[1], state(7))
	stand := l.standIn(0x21, chain[1], state(8))
	_, err := l.c.Resolve(t.Context(), chain[2].ID, Timestamp{})
	var c *CorruptError
	require.ErrorAs(t, err, &c)
	require.Equal(t, manifestObject(stand.Path), c.Object)

	l.manifest(stand, func(m *Manifest) { m.StandsFor = chain[1].ID; state(7)(m); m.Digest.Source = DigestUpdate })
	require.Equal(t, []LayerInfo{stand, chain[2]}, l.resolve(chain[2].ID, Timestamp{}))
	l.manifest(stand, func(m *Manifest) { m.StandsFor = chain[1].ID })
	require.Equal(t, []LayerInfo{stand, chain[2]}, l.resolve(chain[2].ID, Timestamp{}), "one without a digest says nothing")
}

// TestStandInsCostNothing where there are none: no manifest is read that is not in
// the chain.
func TestStandInsCostNothing(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 10, 10)
	layChain(l, 0x20, 10, 15)
	l.faults.Reset()
	require.Equal(t, chain, l.resolve(chain[9].ID, Timestamp{}))
	require.Len(t, l.gets(), 1+10, "a look at the tip, and the chain")
}

// TestRetiredLayers are not chosen. What needs them stays, and they with it.
func TestRetiredLayers(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 4, 10)
	young := layChain(l, 0x20, 3, 15)
	refused := func(from string, asOf Timestamp) {
		t.Helper()
		_, err := l.c.Resolve(t.Context(), from, asOf)
		require.ErrorIs(t, err, ErrNoLayer)
		require.ErrorContains(t, err, "is retired")
		_, err = l.c.Verify(t.Context(), from, nil)
		require.ErrorIs(t, err, ErrNoLayer)
		if asOf.IsZero() && from != chain[3].ID {
			_, err = l.c.Layer(t.Context(), from)
			require.ErrorIs(t, err, ErrNoLayer)
		}
	}
	l.faults.Replace("retired/README", []byte("not ours"))
	l.retire(young[2])
	require.Equal(t, young[:2], l.resolve(Latest, Timestamp{}), "a retired tip is passed over")
	refused(young[2].ID, Timestamp{})
	refused(young[2].Path, Timestamp{})
	l.retire(young...)
	require.Equal(t, chain, l.resolve(Latest, Timestamp{}), "and so is a retired chain")
	l.retire(chain[:2]...)
	require.Equal(t, chain, l.resolve(Latest, Timestamp{}), "it leads to what is not retired")
	require.Equal(t, chain, l.resolve(chain[3].ID, Timestamp{}))
	refused(chain[1].ID, Timestamp{})
	for _, info := range chain[:2] {
		l.faults.Remove(formatRetired(info.ID))
	}
	l.retire(chain[1:]...)
	refused(chain[3].ID, Timestamp{})
	require.Equal(t, chain[:1], l.resolve(Latest, Timestamp{}))
	require.Equal(t, chain[:1], l.resolve("", wall(10)))
	_, err := l.c.Resolve(t.Context(), "", wall(20))
	var miss *NoRestorePointError
	require.ErrorAs(t, err, &miss)
	require.Len(t, l.listed(), 7, "they are still there")

	l.faults.Reset()
	l.resolve(chain[0].ID, Timestamp{})
	require.Equal(t, 2, l.faults.Count(faultblob.List))
	l.listed()
	require.Equal(t, 3, l.faults.Count(faultblob.List), "a listing does not ask")
}

// TestThousandLayers of one chain are listed by one request and a look at the tip.
func TestThousandLayers(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 1000, 10)
	l.faults.Reset()
	require.Len(t, l.listed(), 1000)
	require.Equal(t, 1, l.faults.Count(faultblob.List))
	require.Equal(t, []string{manifestObject(chain[999].Path)}, l.gets())
}
