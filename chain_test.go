package varve

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/internal/faultblob"
)

// layChain writes a full that ends at 10 and n-1 layers that follow it, each ten
// seconds later.
func layChain(l *lake, first, n int, begin int64) []LayerInfo {
	l.Helper()
	var all []LayerInfo
	parent := none
	for i := range n {
		parent = layerAt(first+i, parent, begin+int64(10*i))
		all = append(all, parent)
	}
	l.lay(all...)
	return all
}

func infosOf(c *Chain) []LayerInfo {
	var all []LayerInfo
	for _, l := range c.Layers {
		all = append(all, l.LayerInfo)
	}
	return all
}

func TestResolve(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	old := layChain(l, 0x10, 4, 10)   // ends 10, 20, 30, 40
	young := layChain(l, 0x20, 3, 25) // ends 25, 35, 45
	fork := layerAt(0x30, old[1], 33)
	l.lay(fork)
	for _, test := range []struct {
		name string
		from string
		asOf Timestamp
		want []LayerInfo
	}{
		{"nothing said", "", Timestamp{}, young},
		{"latest", Latest, Timestamp{}, young},
		{"latest, earlier", Latest, wall(35), young[:2]},
		{"by path", old[3].Path, Timestamp{}, old},
		{"by ID", old[3].ID, Timestamp{}, old},
		{"by ID of a middle", old[1].ID, Timestamp{}, old[:2]},
		{"by path of a full", young[0].Path, Timestamp{}, young[:1]},
		{"a fork", fork.ID, Timestamp{}, []LayerInfo{old[0], old[1], fork}},
		{"a fork, before it", fork.ID, wall(20), old[:2]},
		{"by ID, earlier", old[3].ID, wall(20), old[:2]},
		{"by path, its end", old[3].Path, wall(40), old},
		{"any, as of the older chain", "", wall(40), old},
		{"any, as of the younger chain", "", wall(35), young[:2]},
		{"any, as of a fork", "", wall(33), []LayerInfo{old[0], old[1], fork}},
	} {
		t.Run(test.name, func(t *testing.T) {
			chain, err := l.c.Resolve(t.Context(), test.from, test.asOf)
			require.NoError(t, err)
			require.Equal(t, test.want, infosOf(chain))
			require.Equal(t, test.want[len(test.want)-1].End, chain.AsOf)
			var points []Window
			for _, info := range test.want {
				points = append(points, Window{Oldest: info.End, Newest: info.End})
			}
			require.Equal(t, points, chain.Points())
		})
	}
}

// TestResolveWindows: a moment inside the history of a layer is found there, a chain that
// ends at it comes first, and damage hides no other chain.
func TestResolveWindows(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	windowed := func(oldest int64) func(m *Manifest) {
		return func(m *Manifest) { m.Oldest, m.Revisions = wall(oldest), true }
	}
	old, plain := layerAt(1, none, 10), layerAt(2, layerAt(1, none, 10), 20)
	last, other := layerAt(3, plain, 30), layerAt(4, none, 40)
	l.indexed(old, plain, last, other)
	l.manifest(old, windowed(5))
	l.manifest(plain, windowed(20))
	l.manifest(last, windowed(20))
	l.manifest(other, windowed(27))
	for _, test := range []struct {
		from string
		asOf int64
		want string
	}{
		{"", 7, old.ID}, {"", 5, old.ID}, {"", 10, old.ID}, {"", 20, plain.ID}, {"", 25, last.ID}, {"", 28, other.ID}, {"", 30, last.ID},
		{last.ID, 7, old.ID}, {last.ID, 20, plain.ID}, {last.ID, 21, last.ID}, {last.ID, 29, last.ID}, {Latest, 27, other.ID},
	} {
		chain, err := l.c.Resolve(t.Context(), test.from, wall(test.asOf))
		require.NoError(t, err, "%q as of %d", test.from, test.asOf)
		require.Equal(t, test.want, chain.tip().ID, "%q as of %d", test.from, test.asOf)
		require.Equal(t, wall(test.asOf), chain.AsOf)
	}
	for _, test := range []struct {
		from          string
		at            int64
		before, after Timestamp
	}{
		{"", 4, Timestamp{}, wall(5)}, {"", 15, wall(10), wall(20)}, {"", 41, wall(40), Timestamp{}},
		{last.ID, 15, wall(10), wall(20)}, {last.ID, 31, wall(30), Timestamp{}}, {Latest, 26, Timestamp{}, wall(27)},
	} {
		var miss *NoRestorePointError
		_, err := l.c.Resolve(t.Context(), test.from, wall(test.at))
		require.ErrorAs(t, err, &miss)
		require.Equal(t, NoRestorePointError{AsOf: wall(test.at), Before: test.before, After: test.after}, *miss, "%q", test.from)
	}
	l.faults.Flip(manifestObject(other.Path), 8*800)
	chain, err := l.c.Resolve(t.Context(), "", wall(29))
	require.NoError(t, err)
	require.Equal(t, last.ID, chain.tip().ID)
}

func TestNoRestorePoint(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 0x10, 3, 10) // ends 10, 20, 30
	layChain(l, 0x20, 1, 25)
	for _, test := range []struct {
		name, from          string
		asOf, before, after Timestamp
	}{
		{"between any two", "", wall(22), wall(20), wall(25)},
		{"between two of a chain", chain[2].ID, wall(22), wall(20), wall(30)},
		{"a nanosecond early", chain[2].Path, Timestamp{WallNanos: wall(20).WallNanos - 1}, wall(10), wall(20)},
		{"a tick late", "", wall(20).Next(), wall(20), wall(25)},
		{"before all", "", wall(1), Timestamp{}, wall(10)},
		{"after all", "", wall(99), wall(30), Timestamp{}},
		{"before the chain", chain[2].ID, wall(1), Timestamp{}, wall(10)},
		{"after the layer named", chain[1].ID, wall(30), wall(20), Timestamp{}},
		{"in another chain", Latest, wall(20), Timestamp{}, wall(25)},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := l.c.Resolve(t.Context(), test.from, test.asOf)
			var miss *NoRestorePointError
			require.ErrorAs(t, err, &miss)
			require.Equal(t, &NoRestorePointError{AsOf: test.asOf, Before: test.before, After: test.after}, miss)
			require.ErrorContains(t, err, "no restore point at "+test.asOf.String())
		})
	}
}

func TestNoRestorePointInAnEmptyCollection(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	_, err := l.c.Resolve(t.Context(), "", wall(5))
	var miss *NoRestorePointError
	require.ErrorAs(t, err, &miss)
	require.Equal(t, &NoRestorePointError{AsOf: wall(5)}, miss)
	require.EqualError(t, err, "resolve bucket: no restore point at 1970-01-01T00:00:05.000000000Z")
}

// TestFromThatIsNoName is an error of the call and reads nothing.
func TestFromThatIsNoName(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	l.lay(layerAt(1, none, 10))
	for _, from := range []string{"../layer/1", "/layer/1", "layer//1", "layer/1/", "layer 1", "layer/1/BACKUP_MANIFEST", "index/x"} {
		l.faults.Reset()
		_, err := l.c.Resolve(t.Context(), from, Timestamp{})
		var option *OptionError
		require.ErrorAs(t, err, &option, from)
		require.Equal(t, "From", option.Field)
		require.Empty(t, l.gets())
	}
}

// brokenChain is a chain of three, one layer of which is not as it should be.
type brokenChain struct {
	name  string
	spoil func(l *lake, chain []LayerInfo)
	check func(t *testing.T, err error)
}

func gap(want, got string) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		t.Helper()
		var g *ChainGapError
		require.ErrorAs(t, err, &g)
		require.Equal(t, testID(3), g.Layer)
		require.Equal(t, want, g.Want)
		require.Equal(t, got, g.Got)
	}
}

// respell replaces the last layer by one that says something else.
func respell(edit func(*LayerInfo)) func(*lake, []LayerInfo) {
	return func(l *lake, chain []LayerInfo) {
		l.faults.Remove(formatIndex(chain[2]))
		edit(&chain[2])
		l.lay(chain[2])
	}
}

func someBrokenChains() []brokenChain {
	edit := func(f func(*Manifest)) func(*lake, []LayerInfo) {
		return func(l *lake, chain []LayerInfo) { l.manifest(chain[1], f) }
	}
	return []brokenChain{
		{
			"gap", respell(func(i *LayerInfo) { i.Start = wall(21) }),
			gap(testID(2)+" of chain "+testID(1)+" ending at "+wall(21).String(), "one of chain "+testID(1)+" ending at "+wall(20).String()),
		},
		{
			"overlap", respell(func(i *LayerInfo) { i.Start = wall(19) }),
			gap(testID(2)+" of chain "+testID(1)+" ending at "+wall(19).String(), "one of chain "+testID(1)+" ending at "+wall(20).String()),
		},
		{
			"chain", respell(func(i *LayerInfo) { i.ChainID = testID(8) }),
			gap(testID(2)+" of chain "+testID(8)+" ending at "+wall(20).String(), "one of chain "+testID(1)+" ending at "+wall(20).String()),
		},
		{
			"parent unheard of", respell(func(i *LayerInfo) { i.ParentID = testID(7) }),
			gap(testID(7), "no such layer"),
		},
		{
			"manifest of the parent missing", func(l *lake, chain []LayerInfo) { l.faults.Remove(manifestObject(chain[1].Path)) },
			func(t *testing.T, err error) {
				require.ErrorIs(t, err, ErrNoLayer)
				require.ErrorContains(t, err, "layer/2")
			},
		},
		{
			"parent void", func(l *lake, chain []LayerInfo) { l.void(chain[1]) },
			func(t *testing.T, err error) {
				require.ErrorIs(t, err, ErrNoLayer)
				require.ErrorContains(t, err, "layer/2: the run was declared dead")
			},
		},
		{
			"lineage", edit(func(m *Manifest) { m.Lineage = "sea" }),
			func(t *testing.T, err error) {
				var lineage *LineageError
				require.ErrorAs(t, err, &lineage)
				require.Equal(t, &LineageError{Want: "river", Got: "sea"}, lineage)
			},
		},
		{
			"adopts a third lineage", edit(func(m *Manifest) { m.Lineage, m.Adopts = "sea", "lake" }),
			func(t *testing.T, err error) {
				var lineage *LineageError
				require.ErrorAs(t, err, &lineage)
				require.Equal(t, &LineageError{Want: "river", Got: "sea"}, lineage)
			},
		},
		{
			"revisions", edit(func(m *Manifest) { m.Revisions = true }),
			func(t *testing.T, err error) {
				var order *OrderError
				require.ErrorAs(t, err, &order)
				require.Equal(t, &OrderError{Want: "bytewise", Got: "bytewise with revisions"}, order)
			},
		},
		{
			"order", edit(func(m *Manifest) { m.Order = "reverse" }),
			func(t *testing.T, err error) {
				var order *OrderError
				require.ErrorAs(t, err, &order)
				require.Equal(t, &OrderError{Want: "bytewise", Got: "reverse"}, order)
			},
		},
		{
			"manifest unlike its entry", edit(func(m *Manifest) { m.End, m.Oldest = wall(22), wall(22) }),
			func(t *testing.T, err error) {
				var c *CorruptError
				require.ErrorAs(t, err, &c)
				require.Equal(t, manifestObject("layer/2"), c.Object)
				require.Contains(t, c.Want, "index/")
			},
		},
		{
			"manifest of another layer", edit(func(m *Manifest) { m.Layer = testID(5) }),
			func(t *testing.T, err error) {
				var c *CorruptError
				require.ErrorAs(t, err, &c)
				require.Contains(t, c.Want, testID(2))
				require.Contains(t, c.Got, testID(5))
			},
		},
	}
}

func TestBrokenChains(t *testing.T) {
	t.Parallel()
	for _, broken := range someBrokenChains() {
		t.Run(broken.name, func(t *testing.T) {
			t.Parallel()
			l := newLake(t)
			chain := layChain(l, 1, 3, 10)
			broken.spoil(l, chain)
			for _, from := range []string{chain[2].ID, chain[2].Path} {
				_, err := l.c.Resolve(t.Context(), from, Timestamp{})
				broken.check(t, err)
			}
			_, err := l.c.Verify(t.Context(), chain[2].ID, nil)
			broken.check(t, err)
			full, err := l.c.Resolve(t.Context(), chain[0].ID, Timestamp{})
			require.NoError(t, err, "what came before is whole")
			require.Len(t, full.Layers, 1)
		})
	}
}

// TestAdoption: a store of another lineage that was told to goes on with the chain,
// and with it those that follow.
func TestAdoption(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	chain := layChain(l, 1, 4, 10)
	l.manifest(chain[2], func(m *Manifest) { m.Lineage, m.Adopts = "sea", "river" })
	_, err := l.c.Resolve(t.Context(), chain[3].ID, Timestamp{})
	var lineage *LineageError
	require.ErrorAs(t, err, &lineage)
	require.Equal(t, &LineageError{Want: "sea", Got: "river"}, lineage)

	l.manifest(chain[3], func(m *Manifest) { m.Lineage = "sea" })
	got, err := l.c.Resolve(t.Context(), chain[3].ID, Timestamp{})
	require.NoError(t, err)
	require.Equal(t, chain, infosOf(got))
}

// TestCircles: two layers that call one another parent are found out at once, not
// followed for ever.
func TestCircles(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	a, b := layerAt(3, none, 30), layerAt(2, none, 20)
	a.ParentID, a.ChainID, a.Start = b.ID, testID(9), wall(20)
	b.ParentID, b.ChainID, b.Start = a.ID, testID(9), wall(10)
	l.lay(a, b)
	for _, from := range []string{a.ID, b.Path} {
		l.faults.Reset()
		_, err := l.c.Resolve(t.Context(), from, Timestamp{})
		var g *ChainGapError
		require.ErrorAs(t, err, &g)
		require.LessOrEqual(t, len(l.gets()), 4)
	}
}

// TestLongChains are followed to their full, a read for each layer.
func TestLongChains(t *testing.T) {
	t.Parallel()
	l := newLake(t)
	all := layChain(l, 1, 500, 10)
	l.faults.Reset()
	chain, err := l.c.Resolve(t.Context(), Latest, Timestamp{})
	require.NoError(t, err)
	require.Equal(t, all, infosOf(chain))
	require.Equal(t, 2, l.faults.Count(faultblob.List), "of the index and of what is retired")
	require.Len(t, l.gets(), 501)
}
