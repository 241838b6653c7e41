package varve

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// lake is a collection whose layers are written by hand: records without data, as
// much as listing and resolving look at.
type lake struct {
	*testing.T
	faults *faultblob.Bucket
	c      *Collection
}

func newLake(t *testing.T) *lake {
	t.Helper()
	l := &lake{T: t, faults: faultblob.New(t, nil)}
	var err error
	l.c, err = NewCollection(l.faults.Open(), nil)
	require.NoError(t, err)
	l.record(collectionObject, kindCollection, collectionRecord{Collection: testID(0xc)})
	return l
}

func (l *lake) record(object string, kind recordKind, body any) {
	l.Helper()
	b, err := encodeRecord(kind, body)
	require.NoError(l, err)
	l.faults.Replace(object, b)
}

// layerAt is the layer with number id that follows parent, 0 for a full, and ends at
// a second. Its path is its number.
func layerAt(id int, parent LayerInfo, end int64) LayerInfo {
	l := LayerInfo{ID: testID(id), ChainID: testID(id), Path: fmt.Sprintf("layer/%d", id), End: wall(end)}
	if parent.ID != "" {
		l.ParentID, l.ChainID, l.Start = parent.ID, parent.ChainID, parent.End
	}
	return l
}

var none LayerInfo

// indexed writes no more than an index entry.
func (l *lake) indexed(infos ...LayerInfo) {
	l.Helper()
	for _, info := range infos {
		l.record(formatIndex(info), kindIndex, indexRecord{Layer: info.ID})
	}
}

// lay writes index entries and manifests.
func (l *lake) lay(infos ...LayerInfo) {
	l.Helper()
	l.indexed(infos...)
	for _, info := range infos {
		l.manifest(info, nil)
	}
}

// manifest writes the manifest of a layer, edited.
func (l *lake) manifest(info LayerInfo, edit func(*Manifest)) {
	l.Helper()
	m := possibleManifest(info)
	if edit != nil {
		edit(m)
	}
	require.NoError(l, m.validate())
	l.record(manifestObject(info.Path), kindLayer, m)
}

// possibleManifest is one that readers take.
func possibleManifest(info LayerInfo) *Manifest {
	hash := "blake3:" + fmt.Sprintf("%064x", 1)
	return &Manifest{
		Collection: testID(0xc), Layer: info.ID, Parent: info.ParentID, Chain: info.ChainID, Path: info.Path, Job: testID(0xb),
		Lineage: "river", Start: info.Start, End: info.End, Oldest: info.End, Spans: []Span{{}}, Order: "bytewise",
		FileList: FileList{Size: 1000, Hash: hash, IndexSize: 100, IndexHash: hash}, Counts: sink.Counts{}, Stats: Stats{Changes: Everything},
	}
}

func (l *lake) void(info LayerInfo) {
	l.Helper()
	l.record(manifestObject(info.Path), kindVoid, struct{}{})
}

// listed are the layers that are found.
func (l *lake) listed() []LayerInfo {
	l.Helper()
	var all []LayerInfo
	for info, err := range l.c.Layers(l.Context()) {
		require.NoError(l, err)
		all = append(all, info)
	}
	return all
}

func (l *lake) latest() string {
	l.Helper()
	layer, err := l.c.Layer(l.Context(), Latest)
	require.NoError(l, err)
	return layer.ID
}

// gets are the manifests read since the last reset, varve.json left out.
func (l *lake) gets() []string {
	var keys []string
	for _, op := range l.faults.Trace() {
		if op.Kind == faultblob.Get && op.Key != collectionObject {
			keys = append(keys, op.Key)
		}
	}
	l.faults.Reset()
	return keys
}

func TestEmptyCollectionHasNoLayers(t *testing.T) {
	t.Parallel()
	faults := faultblob.New(t, nil)
	c, err := NewCollection(faults.Open(), nil)
	require.NoError(t, err)
	l := &lake{T: t, faults: faults, c: c}
	require.Empty(t, l.listed())
	for _, from := range []string{"", Latest, testID(1), "2026/01/02-030405.06"} {
		_, err = c.Layer(t.Context(), from)
		require.ErrorIs(t, err, ErrNoLayer, from)
	}
	require.Empty(t, faults.Keys())
}

// TestPhantomsAreSkipped: an index entry is an intent, not a layer.
func TestPhantomsAreSkipped(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	full := layerAt(1, none, 10)
	l.lay(full)
	l.indexed(layerAt(2, none, 20), layerAt(3, full, 30))
	require.Equal(t, []LayerInfo{full}, l.listed())
	require.Equal(t, full.ID, l.latest())
	_, err := l.c.Layer(t.Context(), testID(3))
	require.ErrorIs(t, err, ErrNoLayer)
	require.ErrorContains(t, err, testID(3))
	_, err = l.c.Layer(t.Context(), "layer/3")
	require.ErrorIs(t, err, ErrNoLayer)
	require.ErrorContains(t, err, "layer/3")
}

func TestVoidLayersAreSkipped(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	full, dead := layerAt(1, none, 10), layerAt(2, none, 20)
	l.lay(full)
	l.indexed(dead)
	l.void(dead)
	require.Equal(t, []LayerInfo{full}, l.listed())
	require.Equal(t, full.ID, l.latest())
	for _, from := range []string{dead.ID, dead.Path} {
		_, err := l.c.Layer(t.Context(), from)
		require.ErrorIs(t, err, ErrNoLayer, from)
	}
}

// TestChildrenProveTheirParents: of a chain only the tip's manifest is looked at.
func TestChildrenProveTheirParents(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := []LayerInfo{layerAt(1, none, 10)}
	for i := 2; i <= 5; i++ {
		chain = append(chain, layerAt(i, chain[len(chain)-1], int64(10*i)))
	}
	l.indexed(chain...)
	l.manifest(chain[4], nil)
	require.Len(t, l.listed(), 5)
	require.Equal(t, []string{manifestObject("layer/5")}, l.gets())

	// A phantom at the end proves nothing: the layer before it is asked.
	l.indexed(layerAt(6, chain[4], 60))
	require.Len(t, l.listed(), 5)
	require.Equal(t, []string{manifestObject("layer/6"), manifestObject("layer/5")}, l.gets())
}

// TestChildrenThatEndTooEarlyProveNothing, and do not lead in circles.
func TestChildrenThatEndTooEarlyProveNothing(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	a, b := layerAt(1, none, 10), layerAt(2, none, 20)
	a.ParentID, a.ChainID, a.Start = b.ID, testID(9), wall(1)
	b.ParentID, b.ChainID, b.Start = a.ID, testID(9), wall(1)
	l.indexed(a, b)
	require.Empty(t, l.listed())
	l.manifest(a, nil)
	require.Equal(t, []LayerInfo{a}, l.listed())
	_, err := l.c.Layer(t.Context(), Latest)
	require.ErrorIs(t, err, ErrNoLayer, "neither is a full")
}

func TestLatest(t *testing.T) {
	t.Parallel()
	a, b := layerAt(1, none, 10), layerAt(2, none, 20)
	aLate := layerAt(3, a, 99)
	b1, b2 := layerAt(0x14, b, 30), layerAt(0x13, b, 40)
	b11 := layerAt(0x15, b1, 35)
	b111, b112 := layerAt(0x17, b11, 36), layerAt(0x16, b11, 36)
	for _, test := range []struct {
		name   string
		layers []LayerInfo
		want   LayerInfo
	}{
		{"one full", []LayerInfo{a}, a},
		{"the newer full, although the other's chain ends later", []LayerInfo{a, aLate, b}, b},
		{"fulls of one end by ID", []LayerInfo{b, layerAt(5, none, 20)}, b},
		{"its child", []LayerInfo{a, aLate, b, b1}, b1},
		{"of equally long paths the newest end", []LayerInfo{b, b1, b2}, b2},
		{"the longer path, although the other ends later", []LayerInfo{b, b1, b2, b11}, b11},
		{"of equal ends by ID", []LayerInfo{b, b1, b2, b11, b111, b112}, b112},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLake(t)
			l.lay(test.layers...)
			require.Equal(t, test.want.ID, l.latest())
		})
	}
}

// TestLatestPassesOverPhantoms anywhere in the tree.
func TestLatestPassesOverPhantoms(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	full := layerAt(1, none, 10)
	child := layerAt(2, full, 20)
	dead := layerAt(3, child, 30)
	l.lay(full, child)
	l.indexed(layerAt(9, none, 90), dead, layerAt(4, dead, 40))
	l.void(dead)
	require.Equal(t, child.ID, l.latest())
}

// TestListingIsNewestFirst, by end and then by ID.
func TestListingIsNewestFirst(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 200 {
		full := layerAt(2*i+1, none, 1+rng.Int64N(20))
		l.lay(full, layerAt(2*i+2, full, 21+rng.Int64N(5)))
	}
	all := l.listed()
	require.Len(t, all, 400)
	for i := range all[1:] {
		require.Negative(t, newestFirst(all[i], all[i+1]))
	}
}

// TestForeignObjectsAreIgnored: whatever else lies in the bucket is no layer.
func TestForeignObjectsAreIgnored(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	full := layerAt(1, none, 10)
	l.lay(full)
	good := formatIndex(layerAt(2, none, 90))
	for _, key := range []string{
		"README.md", "index/README.md", "index/", "index", good + "/", good + "/BACKUP_MANIFEST", "old/" + good,
		good[:len(good)-1] + "../x", "index/x" + good[len("index/"):], "indexes/" + good, "layer/1/extra", "layer/1/data/thumbs.db",
		"index/0-0-0-0-0/x", "BACKUP_MANIFEST", "LATEST",
	} {
		l.faults.Replace(key, []byte("not ours"))
	}
	require.Equal(t, []LayerInfo{full}, l.listed())
	require.Equal(t, full.ID, l.latest())
}

// TestListingCosts: 1,000 layers in 100 chains are two pages of entries and a read
// for the tip of each chain.
func TestListingCosts(t *testing.T) {
	t.Parallel()
	const chains, length = 100, 10
	l := newLake(t)
	for i := range chains {
		parent := none
		for j := range length {
			info := layerAt(1+i*length+j, parent, int64(1+i*length+j))
			l.lay(info)
			parent = info
		}
	}
	l.faults.Reset()
	require.Len(t, l.listed(), chains*length)
	require.Equal(t, 1, l.faults.Count(faultblob.List), "1,000 entries are one page")
	require.Zero(t, l.faults.Count(faultblob.Head))
	require.Len(t, l.gets(), chains)

	l.lay(layerAt(5000, none, 5000))
	l.faults.Reset()
	require.Len(t, l.listed(), chains*length+1)
	require.Equal(t, 2, l.faults.Count(faultblob.List), "1,001 are two")
	require.Len(t, l.gets(), chains+1)

	for info, err := range l.c.Layers(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, testID(5000), info.ID)
		break
	}
	require.Len(t, l.gets(), 1, "whoever stops early pays for no more")

	l.latest()
	require.Len(t, l.gets(), 2, "one for the chain, one to read it")
}

// TestListingEndsWithItsError, once.
func TestListingEndsWithItsError(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	l.lay(layerAt(1, none, 10), layerAt(2, none, 20), layerAt(3, none, 30))
	l.faults.Reset()
	l.faults.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Key == manifestObject("layer/2") {
			return faultblob.Fault{Kind: faultblob.Denied}
		}
		return faultblob.Fault{}
	})
	var ids []string
	var errs []error
	for info, err := range l.c.Layers(t.Context()) {
		ids, errs = append(ids, info.ID), append(errs, err)
	}
	require.Equal(t, []string{testID(3), ""}, ids)
	require.NoError(t, errs[0])
	var access *AccessError
	require.ErrorAs(t, errs[1], &access)
	require.Equal(t, "read", access.Right)
	require.Equal(t, manifestObject("layer/2"), access.Object)
}

// TestCollectionsUnderPrefixesDoNotMix, one of which begins as another's name.
func TestCollectionsUnderPrefixesDoNotMix(t *testing.T) {
	t.Parallel()
	outer := newLake(t)
	outer.lay(layerAt(1, none, 10))
	for _, prefix := range []string{"index", "a", "a/b", "a-b"} {
		b := objectio.New(outer.faults.Open(), prefix)
		x, err := readIndex(t.Context(), &collectionBucket{Bucket: b})
		require.NoError(t, err)
		require.Empty(t, x.layers, prefix)
	}
}
