package varve

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"math"
	mrand "math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

// Names of layers in tests, as long as real ones.
func testID(n int) string { return fmt.Sprintf("%032x", n) }

func wall(seconds int64) Timestamp { return Timestamp{WallNanos: seconds * int64(time.Second)} }

// someTimestamps are the edges of every field, and what lies between.
func someTimestamps() []Timestamp {
	var all []Timestamp
	for _, w := range []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, 1 << 32, int64(1763792519370000000), math.MaxInt64 - 1, math.MaxInt64} {
		for _, l := range []uint32{0, 1, 1 << 31, math.MaxUint32} {
			all = append(all, Timestamp{WallNanos: w, Logical: l})
		}
	}
	return all
}

func TestTimestampNames(t *testing.T) {
	t.Parallel()
	for _, a := range someTimestamps() {
		got, err := parseAscending(formatAscending(a))
		require.NoError(t, err)
		require.Equal(t, a, got)
		got, err = parseInverted(formatInverted(a))
		require.NoError(t, err)
		require.Equal(t, a, got)
		require.Len(t, formatAscending(a), 24)
		require.Len(t, formatInverted(a), 24)
		for _, b := range someTimestamps() {
			require.Equal(t, a.Compare(b), cmp.Compare(formatAscending(a), formatAscending(b)), "%v %v", a, b)
			require.Equal(t, b.Compare(a), cmp.Compare(formatInverted(a), formatInverted(b)), "%v %v", a, b)
		}
	}
}

func someInfos(rng *mrand.Rand, n int) []LayerInfo {
	var all []LayerInfo
	for i := range n {
		end := Timestamp{WallNanos: rng.Int64N(50) + 1, Logical: rng.Uint32N(3)}
		l := LayerInfo{ID: testID(rng.IntN(1 << 30)), Path: fmt.Sprintf("p%d", i), End: end}
		l.ChainID = l.ID
		if i%3 > 0 {
			l.ParentID, l.ChainID, l.Start = testID(i), testID(i+1), Timestamp{Logical: 1}
		}
		all = append(all, l)
	}
	return all
}

// TestIndexNames: a listing yields layers from the newest end on, those of one end
// by start and then by ID.
func TestIndexNames(t *testing.T) {
	t.Parallel()
	infos := someInfos(mrand.New(mrand.NewPCG(1, 1)), 500)
	var names []string
	for _, l := range infos {
		require.NoError(t, l.validate())
		name := formatIndex(l)
		got, err := parseIndex(name)
		require.NoError(t, err)
		require.Equal(t, l, got)
		names = append(names, name)
	}
	slices.Sort(names)
	slices.SortFunc(infos, func(a, b LayerInfo) int {
		return cmp.Or(b.End.Compare(a.End), a.Start.Compare(b.Start), strings.Compare(a.ID, b.ID))
	})
	for i, l := range infos {
		require.Equal(t, formatIndex(l), names[i])
	}
}

// TestIndexNamesOfOneEndSortByID needs equal starts too, as fulls have.
func TestIndexNamesOfOneEndSortByID(t *testing.T) {
	t.Parallel()
	var names []string
	for _, n := range []int{7, 3, 1 << 29, 5} {
		names = append(names, formatIndex(LayerInfo{ID: testID(n), ChainID: testID(n), Path: "p", End: wall(9)}))
	}
	slices.Sort(names)
	for i, n := range []int{3, 5, 7, 1 << 29} {
		l, err := parseIndex(names[i])
		require.NoError(t, err)
		require.Equal(t, testID(n), l.ID)
	}
}

// TestIndexNamesHaveFixedWidth up to the path, and stay below what buckets allow.
func TestIndexNamesHaveFixedWidth(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxPath)
	for _, end := range someTimestamps() {
		full := formatIndex(LayerInfo{ID: testID(1), ChainID: testID(1), Path: long, End: end})
		require.Len(t, strings.TrimSuffix(full, long), len("index/")+24+1+24+1+32+1+1+1+32+1)
		incremental := formatIndex(LayerInfo{ID: testID(1), ParentID: testID(2), ChainID: testID(2), Path: long, End: end})
		require.Len(t, strings.TrimSuffix(incremental, long), len("index/")+24+1+24+1+32+1+32+1+32+1)
		require.Less(t, len(incremental), 1024-len("a/prefix/of/some/length/"))
	}
}

func TestDataNames(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 9_999, 10_000, 99_999, 100_000, 999_999_999} {
		name := formatData("2026/01/02-030405.06", testID(9), n, n)
		layerPath, layer, task, file, err := parseData(name)
		require.NoError(t, err)
		require.Equal(t, []any{"2026/01/02-030405.06", testID(9), n, n}, []any{layerPath, layer, task, file})
	}
	require.Equal(t, "p/data/"+testID(9)+"-00001-0002.sst", formatData("p", testID(9), 1, 2))
}

func TestPaths(t *testing.T) {
	t.Parallel()
	end := Timestamp{WallNanos: time.Date(2026, 11, 22, 6, 31, 59, 379_999_999, time.UTC).UnixNano(), Logical: 4}
	p := formatPath(end)
	require.Equal(t, "2026/11/22-063159.37", p)
	require.NoError(t, checkPath(p))
	at, err := parsePath(p)
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 11, 22, 6, 31, 59, 370_000_000, time.UTC), at)
	for _, s := range someTimestamps() {
		require.NoError(t, checkPath(formatPath(s)), s)
	}
}

func TestIncrementalPaths(t *testing.T) {
	t.Parallel()
	full := "2026/11/22-063159.37"
	start := Timestamp{WallNanos: time.Date(2026, 11, 22, 6, 31, 59, 379_999_999, time.UTC).UnixNano(), Logical: 4}
	end := Timestamp{WallNanos: time.Date(2026, 11, 23, 7, 30, 0, 5_000_000, time.UTC).UnixNano()}
	p := formatIncremental(full, start, end)
	require.Equal(t, "2026/11/22-063159.37/20261123/073000.00-20261122-063159.37", p)
	require.NoError(t, checkPath(p))
	require.Len(t, p, len(full)+len(incrementalSuffix))
	gotFull, gotStart, gotEnd, err := parseIncremental(p)
	require.NoError(t, err)
	require.Equal(t, full, gotFull)
	require.Equal(t, time.Date(2026, 11, 22, 6, 31, 59, 370_000_000, time.UTC), gotStart)
	require.Equal(t, time.Date(2026, 11, 23, 7, 30, 0, 0, time.UTC), gotEnd)
	for _, a := range someTimestamps() {
		for _, b := range someTimestamps() {
			p := formatIncremental("weekly", a, b)
			require.NoError(t, checkPath(p), p)
			require.Len(t, p, len("weekly")+len(incrementalSuffix))
		}
	}
	for _, bad := range []string{
		"", full, incrementalSuffix, p[1:] + "0", "x" + p[len(full)+1:], rivalPath(p, testID(1)), "../x" + p[len(full):],
		full + "/20261322/073000.00-20261122-063159.37", full + "/20261123/073000.00-20261122-253159.37",
	} {
		_, _, _, err := parseIncremental(bad)
		require.ErrorContains(t, err, "not that of an incremental", bad)
	}
}

func TestRefNames(t *testing.T) {
	t.Parallel()
	require.Equal(t, "refs/"+testID(1)+"/"+testID(2), formatRef(testID(1), testID(2)))
	layer, holder, err := parseRef(formatRef(testID(1), testID(2)))
	require.NoError(t, err)
	require.Equal(t, []string{testID(1), testID(2)}, []string{layer, holder})
	require.Equal(t, "retired/"+testID(3), formatRetired(testID(3)))
	layer, err = parseRetired(formatRetired(testID(3)))
	require.NoError(t, err)
	require.Equal(t, testID(3), layer)
}

func TestRivalPaths(t *testing.T) {
	t.Parallel()
	a, b := rivalPath("2026/11/22-063159.37", "abcdef"+strings.Repeat("0", 26)), rivalPath("nightly", testID(1))
	require.Equal(t, "2026/11/22-063159.37-abcdef", a)
	require.Equal(t, "nightly-000000", b)
	require.NoError(t, checkPath(a))
	require.NoError(t, checkPath(b))
}

// TestEveryNameHasARival: a run whose name was taken by one that died must not find
// out at its end that the name it was given instead is too long.
func TestEveryNameHasARival(t *testing.T) {
	t.Parallel()
	for n := maxName - 20; n <= maxPath+1; n++ {
		o := BackupOptions{Name: strings.Repeat("n", n)}
		if err := o.complete(); err != nil {
			require.ErrorContains(t, err, "option Name: ")
			continue
		}
		rival := rivalPath(o.Name, testID(1))
		require.NoError(t, checkPath(rival), "a name of %d bytes", n)
		incremental := formatIncremental(rival, wall(1), wall(2))
		require.NoError(t, checkPath(rivalPath(incremental, testID(2))), "a name of %d bytes", n)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	id, err := newID(rand.Reader)
	require.NoError(t, err)
	require.NoError(t, checkID(id))
	_, err = newID(strings.NewReader("too short"))
	require.ErrorContains(t, err, "draw an ID")
	for _, bad := range []string{"", "abc", strings.Repeat("A", 32), strings.Repeat("a", 33), strings.Repeat("a", 31) + "\n", strings.Repeat("g", 32)} {
		require.Error(t, checkID(bad), "%q", bad)
	}
}

var goodPaths = []string{"a", "2026/11/22-063159.37", "A.b_c-d/0", "x..y", "latest", "LATEST2", "a/index2", strings.Repeat("x", maxPath), testID(1) + "/x", testID(1)[1:]}

// badPaths are paths that no layer may have, with what is wrong with them.
var badPaths = map[string]string{
	"":                                 "want 1 to 512 bytes",
	strings.Repeat("x", maxPath+1):     "want 1 to 512 bytes",
	"/a":                               `segment ""`,
	"a/":                               `segment ""`,
	"a//b":                             `segment ""`,
	".":                                `segment "."`,
	"..":                               `segment ".."`,
	"../a":                             `segment ".."`,
	"a/../b":                           `segment ".."`,
	"a/./b":                            `segment "."`,
	".hidden":                          `segment ".hidden"`,
	"-a":                               `segment "-a"`,
	"_a":                               `segment "_a"`,
	"a b":                              `segment "a b"`,
	"a\nb":                             `segment "a\nb"`,
	"a\n":                              `segment "a\n"`,
	"a\x00":                            `segment "a\x00"`,
	"a\\b":                             `segment "a\\b"`,
	"a:b":                              `segment "a:b"`,
	"ä":                                `segment "ä"`,
	"\xff":                             `segment "\xff"`,
	"C:/a":                             `segment "C:"`,
	"varve.json":                       "reserved name",
	"a/BACKUP_MANIFEST":                "reserved name",
	"files.sst/a":                      "reserved name",
	"progress":                         "reserved name",
	"a/data/b":                         "reserved name",
	"index":                            "reserved name",
	"refs":                             "reserved name",
	"retired":                          "reserved name",
	"jobs/1":                           "reserved name",
	"probe":                            "reserved name",
	"LATEST":                           "reserved name",
	"0123456789abcdef0123456789abcdef": "looks like a layer ID",
}

func TestCheckPath(t *testing.T) {
	t.Parallel()
	for _, p := range goodPaths {
		require.NoError(t, checkPath(p))
	}
	for p, want := range badPaths {
		require.ErrorContains(t, checkPath(p), want, "%q", p)
	}
}

// contained says whether an object name stays in the collection, on any bucket and
// on any file system.
func contained(t *testing.T, name string) {
	t.Helper()
	require.NotEmpty(t, name)
	require.Equal(t, path.Clean(name), name)
	require.False(t, path.IsAbs(name))
	for s := range strings.SplitSeq(name, "/") {
		require.NotContains(t, []string{"", ".", ".."}, s)
		require.False(t, strings.ContainsAny(s, "\\:\x00\n "))
		require.False(t, strings.HasPrefix(s, "."))
	}
}

func FuzzCheckPath(f *testing.F) {
	for _, p := range goodPaths {
		f.Add(p)
	}
	for p := range badPaths {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if checkPath(p) != nil {
			return
		}
		require.LessOrEqual(t, len(p), maxPath)
		contained(t, p)
		require.Error(t, checkID(p))
		for _, object := range []string{claimObject(p), fileListObject(p), manifestObject(p), formatData(p, testID(1), 0, 0)} {
			contained(t, object)
			require.Error(t, checkPath(object), "an object of one layer must not be the path of another")
		}
	})
}

func FuzzParseIndex(f *testing.F) {
	for _, l := range someInfos(mrand.New(mrand.NewPCG(2, 2)), 10) {
		f.Add(formatIndex(l))
		f.Add("index/" + strings.ToUpper(formatInverted(l.End)) + strings.TrimPrefix(formatIndex(l), "index/"+formatInverted(l.End)))
		f.Add(formatIndex(l) + "/../../x")
	}
	f.Add("index/")
	f.Add("index/----/x")
	f.Fuzz(func(t *testing.T, object string) {
		l, err := parseIndex(object)
		if err != nil {
			require.ErrorContains(t, err, fmt.Sprintf("object %q", object))
			return
		}
		require.NoError(t, l.validate())
		require.Equal(t, object, formatIndex(l))
		contained(t, object)
		contained(t, l.Path)
	})
}

func FuzzParseIncremental(f *testing.F) {
	for _, end := range someTimestamps() {
		f.Add(formatIncremental("2026/01/02-030405.06", Timestamp{}, end))
	}
	f.Add("a/20260230/000000.00-20260101-000000.00")
	f.Add("a/00000101/000000.00-99991231-000000.00")
	f.Fuzz(func(t *testing.T, p string) {
		full, start, end, err := parseIncremental(p)
		if err != nil {
			require.ErrorContains(t, err, fmt.Sprintf("path %q", p))
			return
		}
		require.NoError(t, checkPath(full))
		require.Equal(t, p, formatIncremental(full, export.At(start), export.At(end)))
		contained(t, p)
	})
}

func FuzzParseRef(f *testing.F) {
	f.Add(formatRef(testID(1), testID(2)))
	f.Add("refs/" + testID(1))
	f.Add(formatRetired(testID(1)))
	f.Add("retired/" + strings.ToUpper(testID(0xa)))
	f.Fuzz(func(t *testing.T, object string) {
		if layer, holder, err := parseRef(object); err == nil {
			require.NoError(t, checkID(layer))
			require.NoError(t, checkID(holder))
			require.Equal(t, object, formatRef(layer, holder))
			contained(t, object)
		}
		if layer, err := parseRetired(object); err == nil {
			require.NoError(t, checkID(layer))
			require.Equal(t, object, formatRetired(layer))
			contained(t, object)
		}
	})
}

func FuzzParseData(f *testing.F) {
	f.Add(formatData("2026/01/02-030405.06", testID(3), 1, 2))
	f.Add(formatData("a/b", testID(3), 123456, 99999))
	f.Add(formatData("../b", testID(3), 1, 2))
	f.Add(formatData("a/data/"+testID(1)+"-00001-0001.sst", testID(3), 1, 2))
	f.Add("a/data/" + testID(3) + "-000001-0001.sst")
	f.Fuzz(func(t *testing.T, object string) {
		layerPath, layer, task, file, err := parseData(object)
		if err != nil {
			require.ErrorContains(t, err, fmt.Sprintf("object %q", object))
			return
		}
		require.NoError(t, checkPath(layerPath))
		require.NoError(t, checkID(layer))
		require.Equal(t, object, formatData(layerPath, layer, task, file))
		contained(t, object)
	})
}
