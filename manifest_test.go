package varve

import (
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

// goldenPath is where the layer of every golden manifest lies.
const goldenPath = "2026/01/02-030405.06"

// readGolden reads the files of testdata/manifest, by their names.
func readGolden(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "manifest", "*.json"))
	require.NoError(t, err)
	golden := map[string][]byte{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		golden[strings.TrimSuffix(filepath.Base(file), ".json")] = b
	}
	return golden
}

// fault is what decoding a golden manifest must say.
type fault struct {
	is   error  // ErrNoLayer; nil: one of the types below
	kind string // "corrupt" or "format"
	text string
}

func corrupt(text string) fault { return fault{kind: "corrupt", text: text} }
func newer(text string) fault   { return fault{kind: "format", text: text} }

// goldenFaults is the one fault of each invalid manifest, by its name.
var goldenFaults = map[string]fault{
	"empty":                 corrupt("unexpected end of JSON input"),
	"truncated":             corrupt("unexpected end of JSON input"),
	"cut-at-the-body":       corrupt("unexpected end of JSON input"),
	"without-last-brace":    corrupt("unexpected end of JSON input"),
	"not-json":              corrupt("want a record of JSON"),
	"array":                 corrupt("want a record of JSON"),
	"null":                  corrupt(`no member "kind"`),
	"trailing-data":         corrupt("after top-level value"),
	"deep-nesting":          corrupt("exceeded max depth"),
	"edited-body":           corrupt("want content with the hash blake3:"),
	"edited-hash":           corrupt("want content with the hash blake3:"),
	"member-in-capitals":    corrupt(`no member "body"`),
	"hash-of-other-kind":    corrupt("want content with the hash sha256:"),
	"newer-format":          newer("does not know format 2"),
	"format-zero":           corrupt("want format 1, got format 0"),
	"format-negative":       corrupt("want format 1, got format -1"),
	"unknown-feature":       newer(`does not know the feature "time-travel"`),
	"wrong-kind":            corrupt(`want a record of kind varve.layer, got kind "varve.claim"`),
	"no-kind":               corrupt(`want a record of kind varve.layer, got kind ""`),
	"void":                  {is: ErrNoLayer, text: goldenPath + ": the run was declared dead: no such backup"},
	"body-null":             corrupt("want a possible manifest"),
	"body-array":            corrupt("want the fields of varve.layer"),
	"body-empty":            corrupt("want a possible manifest"),
	"path-of-another":       corrupt("want the manifest of " + goldenPath + ", got that of 2026/01/02-030405.07"),
	"path-escapes":          corrupt(`path "../02-030405.06": segment ".."`),
	"path-absolute":         corrupt(`path "/2026/01/02-030405.06": segment ""`),
	"path-reserved":         corrupt(`path "index/02": "index" is a reserved name`),
	"path-empty":            corrupt(`path "": want 1 to 512 bytes`),
	"id-of-collection":      corrupt(`ID "mine": want 32 hex digits`),
	"id-of-layer":           corrupt(`ID "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA": want 32 hex digits`),
	"id-of-parent":          corrupt(`ID "../x": want 32 hex digits`),
	"id-of-chain":           corrupt(`ID "": want 32 hex digits`),
	"id-of-job":             corrupt(`ID "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb": want 32 hex digits`),
	"no-spans":              corrupt("no spans"),
	"span-empty":            corrupt(`span ["k", "k") is empty`),
	"start-after-end":       corrupt("starts at 2026-01-02T03:04:05.067000000Z+1 and ends at 2026-01-02T03:04:05.067000000Z"),
	"start-at-end":          corrupt("starts at 2026-01-02T03:04:05.067000000Z and ends at 2026-01-02T03:04:05.067000000Z"),
	"end-zero":              corrupt("starts at 0 and ends at 0"),
	"full-with-start":       corrupt("starts at 1970-01-01T00:00:00.000000001Z"),
	"full-with-parent":      corrupt("belongs to chain aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa and extends dddddddddddddddddddddddddddddddd"),
	"full-of-another-chain": corrupt("full layer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: belongs to chain eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"),
	"parent-of-itself":      corrupt("belongs to chain eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee and extends aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
	"no-order":              corrupt("no order of keys"),
	"counts-negative":       corrupt("counts are negative"),
	"bytes-negative":        corrupt("counts are negative"),
	"digest-source":         corrupt(`digest source "guess" is not known`),
	"introduced-empty":      corrupt(`introduced span ["k", "k") is empty`),
	"introduced-by-a-full":  corrupt("a full introduces spans"),
	"adopted-by-a-full":     corrupt("a full adopts a lineage"),
	"stands-for":            corrupt(`ID "../x": want 32 hex digits`),
	"stands-for-itself":     corrupt("layer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa stands for aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
	"stands-for-its-parent": corrupt("layer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa stands for dddddddddddddddddddddddddddddddd"),
	"covers":                corrupt(`ID "an old one": want 32 hex digits`),
	"refers":                corrupt(`ID "index": want 32 hex digits`),
	"list-stored-negative":  corrupt("file list of files of -1 bytes"),
	"digest-sum":            corrupt("xxh3sum: and 32 hex digits"),
	"digest-kind":           corrupt("xxh3sum: and 32 hex digits"),
	"list-size-zero":        corrupt("sizes 0 stored, 41 index, 2345 plain are impossible"),
	"list-size-negative":    corrupt("sizes -1 stored, 41 index, 2345 plain are impossible"),
	"list-index-larger":     corrupt("sizes 1234 stored, 1235 index, 2345 plain are impossible"),
	"list-index-negative":   corrupt("sizes 1234 stored, -41 index, 2345 plain are impossible"),
	"list-plain-negative":   corrupt("sizes 1234 stored, 41 index, -1 plain are impossible"),
	"list-hash":             corrupt("are not of a known kind"),
	"list-index-hash":       corrupt("are not of a known kind"),
	"list-files-negative":   corrupt("file list of -1 files and 4 rows"),
	"list-files-absurd":     corrupt("file list of 1152921504606846976 files and 4 rows"),
	"list-rows-absurd":      corrupt("file list of 3 files and 1152921504606846976 rows"),
	"list-rows-negative":    corrupt("file list of 3 files and -1 rows"),
	"number-of-65-bits":     corrupt("want the fields of varve.layer"),
	"number-without-quotes": corrupt("want the fields of varve.layer"),
	"timestamp":             corrupt(`timestamp "2026-01-02T03:04:05.067Z"`),
	"change-source":         corrupt(`change source "magic" is not known`),
	"base64":                corrupt("illegal base64 data"),
}

func TestGoldenManifests(t *testing.T) {
	t.Parallel()
	object := manifestObject(goldenPath)
	golden := readGolden(t)
	var invalid []string
	for name, b := range golden {
		m, err := decodeManifest(object, goldenPath, b)
		kind, isInvalid := strings.CutPrefix(name, "invalid-")
		if !isInvalid {
			require.True(t, strings.HasPrefix(name, "valid-"), name)
			require.NoError(t, err, name)
			require.Equal(t, m, decodeAgain(t, m), name)
			continue
		}
		invalid = append(invalid, kind)
		require.Nil(t, m, name)
		goldenFaults[kind].require(t, name, object, err)
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(goldenFaults)), invalid)
	require.Greater(t, len(golden)-len(invalid), 8, "valid ones")
}

func (f fault) require(t *testing.T, name, object string, err error) {
	t.Helper()
	require.ErrorContains(t, err, f.text, name)
	var c *CorruptError
	var n *FormatError
	switch {
	case f.is != nil:
		require.ErrorIs(t, err, f.is, name)
		require.False(t, errors.As(err, &c), name)
	case f.kind == "format":
		require.ErrorAs(t, err, &n, name)
		require.Equal(t, object, n.Object, name)
	default:
		require.ErrorAs(t, err, &c, name)
		require.Equal(t, object, c.Object, name)
	}
}

func decodeAgain(t testing.TB, m *Manifest) *Manifest {
	t.Helper()
	b, err := encodeRecord(kindLayer, m)
	require.NoError(t, err)
	again, err := decodeManifest(manifestObject(m.Path), m.Path, b)
	require.NoError(t, err)
	return again
}

// TestManifestsAreValidatedWhenWritten too: no writer stores what no reader takes.
func TestManifestsAreValidatedWhenWritten(t *testing.T) {
	t.Parallel()
	m, err := decodeManifest("m", goldenPath, readGolden(t)["valid-full"])
	require.NoError(t, err)
	require.NoError(t, m.validate())
	m.Counts.RangeKeys = -1
	require.ErrorContains(t, m.validate(), "counts are negative")
	m.Path = ".."
	require.ErrorContains(t, m.validate(), "counts are negative")
	require.ErrorContains(t, m.validate(), `segment ".."`, "all faults at once")
}

// TestImpossibleWindows: nothing is restored from before a layer's start or after its end,
// and only its end where it has no revisions.
func TestImpossibleWindows(t *testing.T) {
	t.Parallel()
	layer := layerAt(2, layerAt(1, none, 10), 20)
	for oldest, revisions := range map[Timestamp]bool{wall(9): true, wall(21): true, wall(15): false} {
		m := possibleManifest(layer)
		m.Oldest, m.Revisions = oldest, revisions
		require.ErrorContains(t, m.validate(), "its oldest moment is "+oldest.String())
	}
	for _, oldest := range []Timestamp{wall(10), wall(15), wall(20)} {
		m := possibleManifest(layer)
		m.Oldest, m.Revisions = oldest, true
		require.NoError(t, m.validate())
	}
}

// TestManifestOfAnotherCollection was copied here with its folder.
func TestManifestOfAnotherCollection(t *testing.T) {
	t.Parallel()
	faults := faultblob.New(t, nil)
	faults.Replace(manifestObject(goldenPath), readGolden(t)["valid-full"])
	bucket := objectio.New(faults.Open(), "")
	read := func(collection string) error {
		_, err := (&collectionBucket{Bucket: bucket, id: collection}).manifest(t.Context(), goldenPath)
		return err
	}
	corrupt("want a layer of collection "+testID(7)+", got one of collection "+strings.Repeat("c", 32)).
		require(t, "", manifestObject(goldenPath), read(testID(7)))
	require.NoError(t, read(strings.Repeat("c", 32)))
	corrupt("want the record of collection "+strings.Repeat("c", 32)).require(t, "", collectionObject, read(""))
}

// TestHugeManifestIsRefusedUnread: the size is found before anything is allocated.
// It is not parallel, for it watches the heap.
func TestHugeManifestIsRefusedUnread(t *testing.T) {
	dir := t.TempDir()
	object := filepath.Join(dir, filepath.FromSlash(manifestObject(goldenPath)))
	require.NoError(t, os.MkdirAll(filepath.Dir(object), 0o777))
	require.NoError(t, os.WriteFile(object, nil, 0o666))
	p, err := parseURL((&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String())
	require.NoError(t, err)
	bucket, err := p.open(t.Context())
	require.NoError(t, err)
	defer bucket.Close()
	b := &collectionBucket{Bucket: objectio.New(bucket, "")}
	for _, size := range []int64{maxManifest + 1, 1 << 40} {
		require.NoError(t, os.Truncate(object, size)) // a hole: it takes no space
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = b.manifest(t.Context(), goldenPath)
		runtime.ReadMemStats(&after)
		corrupt("wrong size").require(t, "", manifestObject(goldenPath), err)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20))
	}
}

func FuzzDecodeManifest(f *testing.F) {
	for _, b := range readGolden(f) {
		if len(b) < 1<<14 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(manifestObject(goldenPath), goldenPath, b)
		if err == nil {
			require.Equal(t, m, decodeAgain(t, m))
			return
		}
		var c *CorruptError
		var n *FormatError
		require.True(t, errors.Is(err, ErrNoLayer) || errors.As(err, &c) || errors.As(err, &n), err)
	})
}

// FuzzManifestBody gives arbitrary bodies the right hash, so that they are decoded.
func FuzzManifestBody(f *testing.F) {
	for _, b := range readGolden(f) {
		var r record
		if json.Unmarshal(b, &r) == nil && len(b) < 1<<14 {
			f.Add([]byte(r.Body))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := encodeRecord(kindLayer, json.RawMessage(body))
		if err != nil {
			return
		}
		m, err := decodeManifest(manifestObject(goldenPath), goldenPath, b)
		if err == nil {
			require.Equal(t, m, decodeAgain(t, m))
			require.Equal(t, goldenPath, m.Path)
			require.NoError(t, m.validate())
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	for kind, body := range map[recordKind]any{
		kindCollection: collectionRecord{Collection: testID(1)}, kindClaim: claimRecord{Layer: testID(1), Job: testID(2)},
		kindIndex: indexRecord{Layer: testID(1)}, kindRef: refRecord{Layer: testID(1), Holder: testID(2)}, kindRetired: retiredRecord{Layer: testID(1)}, kindKey: keyRecord{Layer: testID(1)}, kindVoid: struct{}{}, kindLayer: []int{1},
	} {
		b, err := encodeRecord(kind, body)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, kind := range []recordKind{kindCollection, kindClaim, kindIndex, kindLayer, kindVoid, kindRef, kindRetired, kindKey} {
			var body json.RawMessage
			if decodeRecord("o", b, kind, &body) != nil {
				continue
			}
			again, err := encodeRecord(kind, body)
			require.NoError(t, err)
			var second json.RawMessage
			require.NoError(t, decodeRecord("o", again, kind, &second))
			require.JSONEq(t, string(body), string(second))
		}
	})
}
