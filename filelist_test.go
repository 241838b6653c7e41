package varve

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// listKey is the n-th key of five digits, a bound of spans in these tests.
func listKey(n int) []byte { return fmt.Appendf(nil, "%05d", n) }

// listedFile is the n-th file of a layer that could be.
func listedFile(l LayerInfo, n int) sink.File {
	return sink.File{
		Path: formatData(l.Path, l.ID, n, 0), Layer: l.ID,
		Span: Span{Start: listKey(n), End: listKey(n + 1)}, Smallest: listKey(n), Largest: append(listKey(n), 0xff, 0),
		Size: 100, Hash: "blake3:" + strings.Repeat("1", 64), IndexSize: 41, IndexHash: "blake3:" + strings.Repeat("2", 64), Plain: 90,
		Format: sink.TableFormat, Counts: sink.Counts{Sets: int64(n), LogicalBytes: math.MaxInt64},
		MaxTimestamp: Timestamp{WallNanos: math.MaxInt64, Logical: math.MaxUint32},
	}
}

func listedRowAt(n int) digest.Row {
	return digest.Row{Start: listKey(n), Digest: digest.Digest{State: digest.Sum{Hi: math.MaxUint64, Lo: uint64(n)}, Keys: int64(n), Bytes: 10}}
}

// listed is a layer whose list holds files and rows, all of them consistent.
func listed(files, rows int) (*Manifest, []sink.File, []digest.Row) {
	l := LayerInfo{ID: testID(1), ChainID: testID(1), Path: "a/layer", End: wall(1)}
	var fs []sink.File
	var rs []digest.Row
	for i := range files {
		fs = append(fs, listedFile(l, i))
	}
	for i := range rows {
		rs = append(rs, listedRowAt(i))
	}
	m := &Manifest{Layer: l.ID, Chain: l.ChainID, Path: l.Path, End: l.End, Order: export.BytewiseName, Spans: []Span{{}}}
	m.Digest = newDigest(digest.Total(rs), false)
	return m, fs, rs
}

func TestFileListRoundTrip(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 5000} {
		bucket := objectio.New(faultblob.New(t, nil).Open(), "some/prefix")
		m, files, rows := listed(n, n/2)
		list, err := writeFileList(t.Context(), bucket, m.info(), nil, &contents{files: files, rows: rows})
		require.NoError(t, err)
		require.EqualValues(t, n, list.Files)
		require.EqualValues(t, n/2, list.Rows)
		m.FileList = list
		got, err := readFileList(t.Context(), bucket, m)
		require.NoError(t, err)
		require.Equal(t, files, got.files)
		require.Equal(t, rows, got.rows)
	}
}

// listItem is an entry of a hand-written list.
type listItem struct {
	key   string
	value any // string: as it is; else as JSON
	kind  export.Kind
}

// handWritten stores a list of items and lets the manifest hash it.
func handWritten(t *testing.T, bucket *objectio.Bucket, m *Manifest, items []listItem) {
	t.Helper()
	slices.SortStableFunc(items, func(a, b listItem) int { return strings.Compare(a.key, b.key) })
	w, err := sink.NewWriter(t.Context(), Span{}, sink.Options{
		Bucket: bucket, Layer: m.Layer, Compression: frame.Raw, TargetBytes: math.MaxInt64, NoDigest: true,
		Name: func(int) string { return fileListObject(m.Path) },
	})
	require.NoError(t, err)
	defer w.Abort()
	for _, item := range items {
		value, isText := item.value.(string)
		if !isText {
			b, err := json.Marshal(item.value)
			require.NoError(t, err)
			value = string(b)
		}
		require.NoError(t, w.Add(&export.Entry{Kind: max(item.kind, export.Set), Key: []byte(item.key), Value: []byte(value)}))
	}
	result, err := w.Finish()
	require.NoError(t, err)
	f := result.Files[0]
	m.FileList.Size, m.FileList.Hash, m.FileList.Plain = f.Size, f.Hash, f.Plain
	m.FileList.IndexSize, m.FileList.IndexHash = f.IndexSize, f.IndexHash
}

func listItems(m *Manifest, files []sink.File, rows []digest.Row) []listItem {
	items := []listItem{{key: "l", value: listedLayer{Layer: m.Layer, Path: m.Path}}}
	for i, f := range files {
		items = append(items, listItem{key: string(fileKey(f.Tier, i)), value: f})
	}
	for i, r := range rows {
		items = append(items, listItem{
			key:   string(binary.BigEndian.AppendUint64([]byte{keyRow}, uint64(i))),
			value: listedRow{Start: r.Start, State: r.Digest.State, Revisions: r.Digest.Revisions, Keys: r.Digest.Keys, Bytes: r.Digest.Bytes},
		})
	}
	return items
}

// listEdit makes a consistent list of three files and two rows wrong.
type listEdit struct {
	name     string
	manifest func(*Manifest)
	files    func([]sink.File)
	rows     func([]digest.Row)
	items    func([]listItem) []listItem
	isNewer  bool
	want     string // "": the list is good
}

func someListEdits() []listEdit {
	other := testID(2)
	file := func(edit func(*sink.File)) func([]sink.File) { return func(f []sink.File) { edit(&f[1]) } }
	return []listEdit{
		{name: "none"},
		{name: "manifest has fewer files", manifest: func(m *Manifest) { m.FileList.Files = 2 }, want: "more than 2 files"},
		{name: "manifest has no files", manifest: func(m *Manifest) { m.FileList.Files = 0 }, want: "more than 0 files"},
		{name: "manifest has more files", manifest: func(m *Manifest) { m.FileList.Files = 4 }, want: "want 4 files, 2 rows and 0 objects, got 3, 2 and 0"},
		{name: "manifest has absurdly many files", manifest: func(m *Manifest) { m.FileList.Files = maxFiles }, want: "want 16777216 files, 2 rows and 0 objects, got 3, 2 and 0"},
		{name: "manifest has fewer rows", manifest: func(m *Manifest) { m.FileList.Rows = 1 }, want: "more than 1 rows"},
		{name: "manifest has more rows", manifest: func(m *Manifest) { m.FileList.Rows = math.MaxInt64 }, want: "want 3 files, 9223372036854775807 rows and 0 objects, got 3, 2 and 0"},
		{name: "of another layer", items: func(i []listItem) []listItem {
			i[0].value = listedLayer{Layer: other, Path: "a/layer"}
			return i
		}, want: `it is the list of layer "` + other + `" at "a/layer"`},
		{name: "of another path", items: func(i []listItem) []listItem {
			i[0].value = listedLayer{Layer: testID(1), Path: "b"}
			return i
		}, want: `at "b"`},
		{name: "of a layer unreadable", items: func(i []listItem) []listItem { i[0].value = "{"; return i }, want: `it is the list of layer ""`},
		{name: "unknown key space", items: func(i []listItem) []listItem {
			return append(i, listItem{key: "a", value: "later"}, listItem{key: "z\xff", value: ""}, listItem{key: "r1", value: "1"})
		}},
		{name: "deletion", items: func(i []listItem) []listItem {
			return append(i, listItem{key: "x", kind: export.Delete, value: ""})
		}, want: `entry "x" is not a set`},
		{name: "file unreadable", items: func(i []listItem) []listItem { i[2].value = "["; return i }, want: "file 1: unexpected end of JSON input"},
		{name: "row unreadable", items: func(i []listItem) []listItem { i[4].value = `{"keys":1}`; return i }, want: "row 0: "},
		{name: "row with a bad digest", items: func(i []listItem) []listItem { i[5].value = `{"state":"xxh3sum:1"}`; return i }, want: "row 1: "},

		{name: "path escapes", files: file(func(f *sink.File) { f.Path = "../" + f.Path }), want: "not the name of a table in a collection"},
		{name: "path is absolute", files: file(func(f *sink.File) { f.Path = "/" + f.Path }), want: "not the name of a table in a collection"},
		{name: "path goes up inside", files: file(func(f *sink.File) { f.Path = "a/../" + f.Path }), want: "not the name of a table in a collection"},
		{name: "path is no table", files: file(func(f *sink.File) { f.Path = "a/layer/files.sst" }), want: "not the name of a table in a collection"},
		{name: "path in another folder", files: file(func(f *sink.File) { f.Path = formatData("b", f.Layer, 1, 0) }), want: "is of a layer that the manifest does not refer to"},
		{name: "path of another layer", files: file(func(f *sink.File) { f.Path = formatData("b", other, 1, 0) }), want: "entry says it belongs to layer " + testID(1)},
		{name: "layer not of the path", files: file(func(f *sink.File) { f.Layer = other }), want: "entry says it belongs to layer " + other},
		{name: "layer not referred to", files: file(func(f *sink.File) { f.Layer, f.Path = other, formatData("b", other, 1, 0) }), want: "is of a layer that the manifest does not refer to"},
		{
			name: "layer referred to", files: file(func(f *sink.File) { f.Layer, f.Path = other, formatData("b", other, 1, 0) }),
			manifest: func(m *Manifest) { m.Refers = []string{testID(9), other} },
		},
		{name: "tier absurd", files: file(func(f *sink.File) { f.Tier = 1 << 20 }), want: "tier 1048576"},
		{name: "size negative", files: file(func(f *sink.File) { f.Size = -1 }), want: "sizes -1 stored"},
		{name: "index larger than file", files: file(func(f *sink.File) { f.IndexSize = 101 }), want: "sizes 100 stored, 101 index"},
		{name: "hash unknown", files: file(func(f *sink.File) { f.Hash = "md5:1" }), want: "not of a known kind"},
		{name: "format unknown", files: file(func(f *sink.File) { f.Format = "" }), want: `table format "" is not known`},
		{name: "format newer", files: file(func(f *sink.File) { f.Format = "parquet" }), isNewer: true, want: `a/layer/files.sst: this version of varve does not know the table format "parquet" of a/layer/data/`},
		{name: "counts negative", files: file(func(f *sink.File) { f.Counts.Deletes = -1 }), want: "counts are negative"},

		{name: "file beyond the spans", manifest: func(m *Manifest) { m.Spans = []Span{{End: listKey(2)}} }, want: `want files in the layer's spans, got a/layer/data/` + testID(1) + `-00002-0000.sst of ["00002", "00003")`},
		{name: "file across two spans", manifest: func(m *Manifest) { m.Spans = []Span{{End: []byte("000015")}, {Start: []byte("000015")}} }, want: "want files in the layer's spans"},
		{name: "file span empty", files: file(func(f *sink.File) { f.Span.End = f.Span.Start }), want: "want files in the layer's spans"},
		{name: "file span inverted", files: file(func(f *sink.File) { f.Span.End = listKey(0) }), want: "want files in the layer's spans"},
		{name: "files of one tier overlap", files: file(func(f *sink.File) { f.Span.End = listKey(3) }), want: "want files of one tier apart and in order"},
		{name: "files of one tier overlap without end", files: file(func(f *sink.File) { f.Span.End = nil }), want: "want files of one tier apart and in order"},
		{name: "files out of order", files: func(f []sink.File) { f[0].Span, f[1].Span = f[1].Span, f[0].Span }, want: "want files of one tier apart and in order"},
		{name: "files of two tiers overlap", files: func(f []sink.File) { f[2].Tier, f[2].Span = 1, Span{} }},
		{name: "rows out of order", rows: func(r []digest.Row) { r[0], r[1] = r[1], r[0] }, want: "want digest rows in order"},
		{name: "rows do not add up", rows: func(r []digest.Row) { r[1].Digest.Keys++ }, want: "want rows that add up to 1 keys, 20 bytes"},
		{name: "rows of another state", rows: func(r []digest.Row) { r[1].Digest.State.Lo++ }, want: "want rows that add up to 1 keys, 20 bytes"},
		{name: "rows of other revisions", rows: func(r []digest.Row) { r[1].Digest.Revisions.Hi++ }, want: "want rows that add up to 1 keys, 20 bytes"},
		{name: "rows without a digest", manifest: func(m *Manifest) { m.Digest = nil }, rows: func(r []digest.Row) { r[1].Digest.Keys++ }},
	}
}

// TestFileListsThatLie are hashed by their manifests, so that only what they say can
// give them away.
func TestFileListsThatLie(t *testing.T) {
	t.Parallel()
	for _, edit := range someListEdits() {
		t.Run(edit.name, func(t *testing.T) {
			t.Parallel()
			bucket := objectio.New(faultblob.New(t, nil).Open(), "")
			m, files, rows := listed(3, 2)
			m.FileList.Files, m.FileList.Rows = 3, 2
			if edit.files != nil {
				edit.files(files)
			}
			if edit.rows != nil {
				edit.rows(rows)
			}
			items := listItems(m, files, rows)
			if edit.items != nil {
				items = edit.items(items)
			}
			if edit.manifest != nil {
				edit.manifest(m)
			}
			handWritten(t, bucket, m, items)
			err := readContent(t, bucket, m)
			if edit.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, edit.want)
			if edit.isNewer {
				var n *FormatError
				require.ErrorAs(t, err, &n)
				return
			}
			var c *CorruptError
			require.ErrorAs(t, err, &c)
			require.Equal(t, fileListObject(m.Path), c.Object)
		})
	}
}

// readContent does what a restore of a chain of one layer does first.
func readContent(t *testing.T, bucket *objectio.Bucket, m *Manifest) error {
	t.Helper()
	b := &collectionBucket{Bucket: bucket}
	c, err := b.content(t.Context(), &Chain{Layers: []*Layer{m.layer()}})
	if err != nil {
		return err
	}
	return c.fit(nil)
}

// TestFileListOfAnotherLayer was put in the place of this one's.
func TestFileListOfAnotherLayer(t *testing.T) {
	t.Parallel()
	faults := faultblob.New(t, nil)
	bucket := objectio.New(faults.Open(), "")
	m, files, rows := listed(3, 2)
	var err error
	m.FileList, err = writeFileList(t.Context(), bucket, m.info(), nil, &contents{files: files, rows: rows})
	require.NoError(t, err)
	other := m.info()
	other.Path = "b"
	_, err = writeFileList(t.Context(), bucket, other, nil, &contents{files: files, rows: rows})
	require.NoError(t, err)
	faults.Replace(fileListObject(m.Path), faults.Read(fileListObject("b")))
	err = readContent(t, bucket, m)
	var c *CorruptError
	require.ErrorAs(t, err, &c)
	require.Equal(t, fileListObject(m.Path), c.Object)
}

// TestFileListWithAnAbsurdIndex: what the manifest claims is not allocated.
func TestFileListWithAnAbsurdIndex(t *testing.T) {
	t.Parallel()
	bucket := objectio.New(faultblob.New(t, nil).Open(), "")
	m, _, _ := listed(0, 0)
	handWritten(t, bucket, m, listItems(m, nil, nil))
	m.FileList.Size, m.FileList.IndexSize = 1<<62, 1<<61
	err := readContent(t, bucket, m)
	var c *CorruptError
	require.ErrorAs(t, err, &c)
	require.Equal(t, fileListObject(m.Path), c.Object)
}

// FuzzFileList adds arbitrary entries to a list: no panic, nothing that leads out of
// the collection, never more than the manifest has, and what was taken is written
// again as it was.
func FuzzFileList(f *testing.F) {
	m, files, rows := listed(2, 2)
	for _, item := range listItems(m, files, rows) {
		b, err := json.Marshal(item.value)
		require.NoError(f, err)
		f.Add([]byte(item.key), b)
	}
	f.Add([]byte("l"), []byte("{}"))
	f.Add([]byte("f"), []byte(`{"path":"../x"}`))
	f.Add([]byte(""), []byte("null"))
	m.FileList.Files, m.FileList.Rows = 1, 1
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var c contents
		for range 2 {
			if c.add(&export.Entry{Kind: export.Set, Key: key, Value: value}, m, m.FileList) != nil {
				break
			}
		}
		require.LessOrEqual(t, len(c.files), 1)
		require.LessOrEqual(t, len(c.rows), 1)
		for _, file := range c.files {
			contained(t, file.Path)
			require.True(t, strings.HasPrefix(file.Path, m.Path+"/data/"+m.Layer))
			b, err := json.Marshal(file)
			require.NoError(t, err)
			var again contents
			require.NoError(t, again.addFile(b, m))
			require.Equal(t, c.files, again.files)
		}
	})
}
