package varve_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

var updateFormat = flag.Bool("update", false, "rewrite the example in FORMAT.md")

// The example of FORMAT.md stands between these lines.
const (
	exampleBegin = "<!-- begin of the example; to rewrite it: go test -run TestFormatExample . -update -->\n"
	exampleEnd   = "<!-- end of the example -->\n"
)

// TestFormatExample keeps the collection that FORMAT.md lists equal to the one
// that is written, and its definitions of hashes equal to what is stored.
func TestFormatExample(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("FORMAT.md")
	require.NoError(t, err)
	before, rest, hasBegin := strings.Cut(string(doc), exampleBegin)
	shown, after, hasEnd := strings.Cut(rest, exampleEnd)
	require.True(t, hasBegin && hasEnd, "FORMAT.md does not mark its example")

	got := newExample(t).describe()
	if *updateFormat {
		require.NoError(t, os.WriteFile("FORMAT.md", []byte(before+exampleBegin+got+exampleEnd+after), 0o644))
		return
	}
	require.Equal(t, got, shown)
}

// example is a small collection, the same each time.
type example struct {
	t       *testing.T
	bucket  *blob.Bucket
	objects map[string][]byte
	tables  map[string]string // what they hold, for people
}

func newExample(t *testing.T) *example {
	e := &example{t: t, bucket: memblob.OpenBucket(nil), objects: map[string][]byte{}, tables: map[string]string{}}
	t.Cleanup(func() { require.NoError(t, e.bucket.Close()) })
	e.backups()
	return e
}

// backups are a full and, a day later, an incremental.
func (e *example) backups() {
	now := time.Date(2026, 11, 22, 6, 31, 59, 370_000_000, time.UTC)
	clock := func() time.Time { return now }
	store, err := memkv.New(&memkv.Options{SingleRevision: true, Now: clock, Lineage: strings.Repeat("a", 32)})
	require.NoError(e.t, err)
	store.Set([]byte("apple"), []byte("red"))
	store.Set([]byte("banana"), []byte("yellow"))
	store.Set([]byte("cherry"), nil)
	store.RangeKeySet([]byte("b"), []byte("d"), []byte("@7"), []byte("ripe"))

	c, err := varve.NewCollection(e.bucket, &varve.CollectionOptions{Now: clock, Rand: new(countedIDs)})
	require.NoError(e.t, err)
	full, err := c.Backup(e.t.Context(), varve.Cluster(store), &varve.BackupOptions{
		Labels: map[string]string{"host": "db-1"}, Concurrency: 1,
	})
	require.NoError(e.t, err)
	e.read(full)

	now = now.Add(24 * time.Hour)
	store.Set([]byte("apple"), []byte("green"))
	store.Delete([]byte("banana"))
	incremental, err := c.Backup(e.t.Context(), varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest, Concurrency: 1})
	require.NoError(e.t, err)
	e.read(incremental)
}

// countedIDs draws 1111…, 2222… and so on, so that IDs are told apart at a glance.
type countedIDs struct{ n byte }

func (c *countedIDs) Read(p []byte) (int, error) {
	c.n += 0x11
	for i := range p {
		p[i] = c.n
	}
	return len(p), nil
}

// read gets all objects, and what is in the layer's tables.
func (e *example) read(layer *varve.Layer) {
	for it := e.bucket.List(nil); ; {
		o, err := it.Next(e.t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(e.t, err)
		e.objects[o.Key], err = e.bucket.ReadAll(e.t.Context(), o.Key)
		require.NoError(e.t, err)
	}
	l := layer.Manifest.FileList
	e.readTable(sink.File{
		Path: layer.Path + "/files.sst", Format: sink.TableFormat,
		Size: l.Size, Hash: l.Hash, IndexSize: l.IndexSize, IndexHash: l.IndexHash, Plain: l.Plain,
	}, func(key, value []byte) string {
		if key[0] == 'f' {
			var data sink.File
			require.NoError(e.t, json.Unmarshal(value, &data))
			e.readTable(data, func(key, value []byte) string { return fmt.Sprintf(" %q = %q\n", key, value) })
		}
		var out bytes.Buffer
		require.NoError(e.t, json.Indent(&out, value, "", "  "))
		return fmt.Sprintf(" %q =\n%s\n", key, &out)
	})
}

// readTable puts the entries of a table into words. Its hashes are those of the
// stored bytes, as a program that knows nothing of tables computes them.
func (e *example) readTable(f sink.File, point func(key, value []byte) string) {
	stored := e.objects[f.Path]
	require.Len(e.t, stored, int(f.Size))
	require.Equal(e.t, f.Hash, b3sum(stored))
	require.Equal(e.t, f.IndexHash, b3sum(stored[f.Size-f.IndexSize:]))

	r, err := sink.Open(e.t.Context(), objectio.New(e.bucket, ""), sink.Form{}, f)
	require.NoError(e.t, err)
	c, err := r.Cursor(e.t.Context(), varve.Span{})
	require.NoError(e.t, err)
	var out strings.Builder
	for c.Next() {
		entry := c.Entry()
		out.WriteString(entry.Kind.String())
		switch {
		case entry.Kind.IsRange():
			fmt.Fprintf(&out, " [%q, %q) %q = %q\n", entry.Key, entry.End, entry.Suffix, entry.Value)
		case entry.Kind == export.Delete:
			fmt.Fprintf(&out, " %q\n", entry.Key)
		default:
			out.WriteString(point(entry.Key, entry.Value))
		}
	}
	require.NoError(e.t, errors.Join(c.Err(), c.Close(), r.Close()))
	e.tables[f.Path] = out.String()
}

func b3sum(b []byte) string {
	h := blake3.Sum256(b)
	return "blake3:" + hex.EncodeToString(h[:])
}

// describe lists every object. The build that wrote them is masked: it differs
// from one Go version to the next.
func (e *example) describe() string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(e.objects)) {
		object, text := e.objects[name], e.tables[name]
		language := "text"
		if text == "" {
			object = e.mask(object)
			language, text = "json", string(object)
		}
		fmt.Fprintf(&out, "\n`%s`: %d bytes\n\n```%s\n%s```\n", name, len(object), language, text)
	}
	out.WriteString("\n")
	return out.String()
}

var (
	writerMember = regexp.MustCompile(`"writer": "varve [^"]*"`)
	hashMember   = regexp.MustCompile(`(?m)^  "hash": "[^"]*"`)
)

// mask gives a record another writer and the hash that it then has.
func (e *example) mask(record []byte) []byte {
	require.Contains(e.t, string(record), `"hash": "`+e.recordHash(record)+`"`)
	masked := writerMember.ReplaceAll(record, []byte(`"writer": "varve (devel) go1.26"`))
	return hashMember.ReplaceAll(masked, []byte(`  "hash": "`+e.recordHash(masked)+`"`))
}

// recordHash follows the definition in FORMAT.md, not the code of the package.
func (e *example) recordHash(record []byte) string {
	var r struct{ Kind, Format, Requires, Body json.RawMessage }
	require.NoError(e.t, json.Unmarshal(record, &r))
	var hashed bytes.Buffer
	fmt.Fprintf(&hashed, `{"kind":%s,"format":%s,`, r.Kind, r.Format)
	if r.Requires != nil {
		fmt.Fprintf(&hashed, `"requires":%s,`, r.Requires)
	}
	fmt.Fprintf(&hashed, `"hash":"","body":%s}`, r.Body)
	var compact, escaped bytes.Buffer
	require.NoError(e.t, json.Compact(&compact, hashed.Bytes()))
	json.HTMLEscape(&escaped, compact.Bytes())
	return b3sum(escaped.Bytes())
}
