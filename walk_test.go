package varve

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

// walked are the layers that a search of the whole bucket finds, newest first.
func (l *lake) walked() []LayerInfo {
	l.Helper()
	b := &collectionBucket{Bucket: objectio.New(l.faults.Open(), ""), id: testID(0xc)}
	found, _, err := b.walk(l.Context())
	require.NoError(l, err)
	var all []LayerInfo
	for _, m := range found {
		all = append(all, m.info())
	}
	slices.SortFunc(all, newestFirst)
	return all
}

func (l *lake) rebuild() int {
	l.Helper()
	n, err := l.c.RebuildIndex(l.Context())
	require.NoError(l, err)
	return n
}

// litter puts objects into the bucket that are none of the collection's.
func (l *lake) litter(of LayerInfo) {
	l.Helper()
	manifest := l.faults.Read(manifestObject(of.Path))
	for key, body := range map[string][]byte{
		"BACKUP_MANIFEST": manifest, "copy/BACKUP_MANIFEST": manifest, "a b/BACKUP_MANIFEST": manifest, "old/BACKUP_MANIFEST": []byte("{}"),
		"data/BACKUP_MANIFEST": manifest, "torn/BACKUP_MANIFEST": manifest[:40], "empty/BACKUP_MANIFEST": nil, "x/BACKUP_MANIFEST.bak": manifest,
		"index/" + strings.Repeat("z", 30) + "/p": []byte("x"), "index/BACKUP_MANIFEST": manifest,
	} {
		l.faults.Replace(key, body)
	}
	other := layerAt(0x77, none, 500)
	other.Path = "foreign"
	l.manifest(other, func(m *Manifest) { m.Collection = testID(0xd) })
	dead := layerAt(0x78, none, 510)
	l.indexed(dead)
	l.void(dead)
}

// TestRebuildIndex: whatever entries are deleted, they come back, and nothing else.
func TestRebuildIndex(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 5))
		l := newLake(t)
		all := slices.Concat(layChain(l, 1, 5, 10), layChain(l, 0x20, 4, 15))
		l.standIn(0x31, all[2], nil)
		l.litter(all[0])
		want := l.listed()
		require.Len(t, want, 10)
		require.Equal(t, want, l.walked())
		require.Zero(t, l.rebuild())
		removed := 0
		for _, info := range want {
			if rng.IntN(3) == 0 {
				removed++
				l.faults.Remove(formatIndex(info))
			}
		}
		require.Equal(t, removed, l.rebuild())
		require.Equal(t, want, l.listed())
		require.Zero(t, l.rebuild())
	}
}

// TestLostEntries: a layer that is needed and that no entry names is searched for.
func TestLostEntries(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 4, 10)
	l.litter(chain[0])
	l.faults.Remove(formatIndex(chain[1]))
	require.Equal(t, chain, l.resolve(chain[3].ID, Timestamp{}), "a parent")
	require.Equal(t, chain[:2], l.resolve(chain[1].ID, Timestamp{}), "an ID")
	l.faults.Remove(formatIndex(chain[0]))
	require.Equal(t, chain, l.resolve(chain[3].ID, Timestamp{}))
	for _, info := range []LayerInfo{chain[2], chain[3], layerAt(0x78, none, 510)} {
		l.faults.Remove(formatIndex(info))
	}
	require.Equal(t, chain, l.resolve(Latest, Timestamp{}), "an index without entries")
	require.Equal(t, chain[:3], l.resolve("", wall(30)))
	require.Empty(t, l.listed(), "a listing shows what the index has")
	_, err := l.c.Layer(t.Context(), testID(0x55))
	require.ErrorIs(t, err, ErrNoLayer)
	_, err = l.c.Layer(t.Context(), testID(0x77))
	require.ErrorIs(t, err, ErrNoLayer, "of another collection")
}

// TestSearchesAreMadeOnce, and not at all where nothing is missing.
func TestSearchesAreMadeOnce(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 6, 10)
	searches := func() (n int) {
		for _, op := range l.faults.Trace() {
			if op.Kind == faultblob.List && op.Key == "" {
				n++
			}
		}
		l.faults.Reset()
		return n
	}
	l.faults.Reset()
	l.resolve(Latest, Timestamp{})
	l.resolve(chain[3].ID, Timestamp{})
	require.Zero(t, searches())
	for _, info := range chain[:5] {
		l.faults.Remove(formatIndex(info))
	}
	l.faults.Reset()
	l.resolve(chain[5].ID, Timestamp{})
	require.Equal(t, 1, searches())
}

// TestRebuildIndexCannotWrite says so, and what was written counts.
func TestRebuildIndexCannotWrite(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 3, 10)
	for _, info := range chain {
		l.faults.Remove(formatIndex(info))
	}
	l.faults.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == faultblob.Put && op.Key == formatIndex(chain[1]) {
			return faultblob.Fault{Kind: faultblob.Denied}
		}
		return faultblob.Fault{}
	})
	n, err := l.c.RebuildIndex(t.Context())
	var access *AccessError
	require.ErrorAs(t, err, &access)
	require.Equal(t, "write", access.Right)
	require.Equal(t, 1, n)
}
