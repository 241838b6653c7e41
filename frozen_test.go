package varve_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
)

var freeze = flag.Bool("freeze", false, "write the frozen collections that do not exist yet")

// reversed is an order that no reader can guess: descending, with suffixes that
// begin at '@' and ascend.
var reversed = &export.Order{
	Name: "varve.test.reversed",
	Compare: func(a, b []byte) int {
		pa, sa := a[:splitOrder.Split(a)], a[splitOrder.Split(a):]
		pb, sb := b[:splitOrder.Split(b)], b[splitOrder.Split(b):]
		switch c := bytes.Compare(pb, pa); {
		case len(a) == 0 || len(b) == 0:
			return len(a) - len(b)
		case c != 0:
			return c
		}
		return bytes.Compare(sa, sb)
	},
	Split: splitOrder.Split,
}

// frozenLayer is a layer of testdata/collections/v1-full.
type frozenLayer struct {
	name     string // its path; what it holds stands in a text beside the collection
	store    memkv.Options
	backup   varve.BackupOptions
	spans    []varve.Span // nil: everything
	rewrites int          // how often all keys are written over before the backup
	long     bool         // has a value of several frames
}

func frozenLayers() []frozenLayer {
	plain := memkv.Options{SingleRevision: true, PartitionBytes: 3 << 10}
	revisions := memkv.Options{PartitionBytes: 3 << 10}
	ordered := memkv.Options{SingleRevision: true, PartitionBytes: 3 << 10, Order: reversed}
	return []frozenLayer{
		{name: "zstd/plain", store: plain, backup: varve.BackupOptions{Audit: true, Labels: map[string]string{"city": "Åre", "<empty>": ""}}, long: true},
		{name: "s2/revisions", store: revisions, backup: varve.BackupOptions{Compression: varve.CompressS2}, rewrites: 2, long: true},
		{name: "raw/spans", store: plain, backup: varve.BackupOptions{Compression: varve.CompressNone}, spans: []varve.Span{span("key-0010", "key-0050"), {Start: []byte("key-0070")}}},
		{name: "undigested", store: revisions, backup: varve.BackupOptions{NoDigest: true}},
		{name: "ordered", store: ordered, backup: varve.BackupOptions{TargetFileBytes: 1 << 20}},
		{name: "empty", store: plain},
	}
}

// frozenStore is filled with what no other test depends on.
func (l *frozenLayer) frozenStore(t *testing.T) *memkv.Store {
	t.Helper()
	s := newStore(t, &l.store)
	if l.name == "empty" {
		return s
	}
	rng := rand.New(rand.NewPCG(uint64(len(l.name)), 9))
	for range l.rewrites + 1 {
		for i := range 100 {
			value := bytes.Repeat([]byte{byte('a' + i%26)}, 30+rng.IntN(30))
			s.Set(fmt.Appendf(nil, "key-%04d", i), append(value, fmt.Sprint(rng.Uint32())...))
			if i%5 == 0 {
				s.Set(fmt.Appendf(nil, "key-%04d@%d", i, i%3), nil)
			}
		}
	}
	for range 10 {
		s.Delete(fmt.Appendf(nil, "key-%04d", rng.IntN(100)))
	}
	s.Set([]byte{0xff, 0xfe, 0x00}, []byte{0x00})
	if l.long {
		s.Set([]byte("key-0033-long"), bytes.Repeat([]byte("several frames long "), 60_000))
	}
	low, high := []byte("key-0020"), []byte("key-0090")
	if l.store.Order == reversed {
		low, high = high, low
	}
	s.RangeKeySet(low, high, []byte("@1"), []byte("range"))
	s.RangeKeySet(low, []byte("key-0040"), []byte("@2"), nil)
	s.RangeKeyUnset([]byte("key-0050"), []byte("key-0060"), []byte("@1"))
	return s
}

func (l *frozenLayer) targets(s export.Store) varve.Targets {
	if l.spans == nil {
		return varve.Cluster(s)
	}
	return varve.Spans(s, l.spans...)
}

// state is what a store holds, an entry a line.
func (l *frozenLayer) state(s *memkv.Store) string {
	spans := l.spans
	if spans == nil {
		spans = []varve.Span{{}}
	}
	var text strings.Builder
	for _, span := range spans {
		for _, e := range kvtest.Canonical(l.store.Order, kvtest.Timeless(s.State(span))) {
			fmt.Fprintf(&text, "%s %q", e.Kind, e.Key)
			if e.Kind.IsRange() {
				fmt.Fprintf(&text, " to %q suffix %q", e.End, e.Suffix)
			}
			if len(e.Value) > 200 {
				fmt.Fprintf(&text, " = %d bytes, sha256 %x\n", len(e.Value), sha256.Sum256(e.Value))
				continue
			}
			fmt.Fprintf(&text, " = %q\n", e.Value)
		}
	}
	return text.String()
}

// listing is the file that says what the layer holds.
func (l *frozenLayer) listing() string {
	return filepath.FromSlash(frozenV1 + "." + strings.ReplaceAll(l.name, "/", "-") + ".txt")
}

const frozenV1 = "testdata/collections/v1-full"

func frozenURL(t *testing.T) string {
	t.Helper()
	return thawed(t, frozenV1)
}

// thawed is the URL of a copy of a frozen collection, so that what reads it may leave the
// records of its jobs there. With -freeze it is that of the collection itself.
func thawed(t *testing.T, collection string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.FromSlash(collection))
	require.NoError(t, err)
	if !*freeze {
		copied := filepath.Join(t.TempDir(), "collection")
		require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
		dir = copied
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

// requireUntouched wants nothing else in a thawed collection than was frozen, but for jobs.
func requireUntouched(t *testing.T, collection, thawedURL string) {
	t.Helper()
	u, err := url.Parse(thawedURL)
	require.NoError(t, err)
	got := slices.DeleteFunc(filesUnder(t, filepath.FromSlash(u.Path)), func(p string) bool {
		return p == ".varve-tmp" || p == "jobs" || strings.HasPrefix(p, "jobs/")
	})
	require.Equal(t, filesUnder(t, collection), got, "reading wrote something")
}

// TestFreeze writes the collection of format 1, once: what was released must be read
// for ever, so it is never written again. A new format gets a folder of its own.
func TestFreeze(t *testing.T) {
	if !*freeze {
		t.Skip("only with -freeze")
	}
	_, err := os.Stat(frozenV1)
	require.ErrorIs(t, err, fs.ErrNotExist, "it is frozen")
	at := time.Date(2026, 11, 22, 6, 31, 59, 370_000_000, time.UTC)
	for _, l := range frozenLayers() {
		at = at.Add(time.Hour)
		now := func() time.Time { return at }
		l.store.Now, l.store.Lineage = now, fmt.Sprintf("%032x", len(l.name))
		src := l.frozenStore(t)
		o := l.backup
		o.Name, o.Collection = l.name, &varve.CollectionOptions{Now: now}
		if o.TargetFileBytes == 0 {
			o.TargetFileBytes = 3 << 10
		}
		_, err := varve.Backup(t.Context(), l.targets(src), frozenURL(t), &o)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(l.listing(), []byte(l.state(src)), 0o644))
	}
	require.NoError(t, os.Remove(filepath.Join(frozenV1, ".varve-tmp")))
}

// TestFrozenV1 reads what the first version wrote.
func TestFrozenV1(t *testing.T) {
	t.Parallel()
	at := frozenURL(t)
	c, err := varve.OpenCollection(t.Context(), at, &varve.CollectionOptions{Orders: []export.Order{*reversed}})
	require.NoError(t, err)
	var names []string
	for info, err := range c.Layers(t.Context()) {
		require.NoError(t, err)
		names = append(names, info.Path)
	}
	var want []string
	for _, l := range frozenLayers() {
		want = append([]string{l.name}, want...)
		l.requireReadable(t, c)
	}
	require.Equal(t, want, names)
	require.NoError(t, c.Close())
	requireUntouched(t, frozenV1, at)
}

// requireReadable verifies the layer at every level and restores it.
func (l *frozenLayer) requireReadable(t *testing.T, c *varve.Collection) {
	t.Helper()
	last := varve.VerifyRehearsal
	if l.backup.NoDigest {
		last = varve.VerifyOrder
	}
	for level := varve.VerifyExists; level <= last; level++ {
		_, err := c.Verify(t.Context(), l.name, &varve.VerifyOptions{Level: level, Scratch: newStore(t, &l.store)})
		require.NoError(t, err, "%s at level %s", l.name, level)
	}
	dst := newStore(t, &l.store)
	restored, err := c.Restore(t.Context(), l.targets(dst), &varve.RestoreOptions{From: l.name})
	require.NoError(t, err, l.name)
	require.Equal(t, l.backup.NoDigest, restored.Proof == varve.ProofHashes, l.name)
	listing, err := os.ReadFile(l.listing())
	require.NoError(t, err)
	require.Equal(t, string(listing), l.state(dst), l.name)

	layer, err := c.Layer(t.Context(), l.name)
	require.NoError(t, err)
	require.Equal(t, l.backup.Labels, layer.Manifest.Labels)
	require.Equal(t, layer.ID, restored.From.ID)
}

func filesUnder(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		all = append(all, p)
		return err
	})
	require.NoError(t, err)
	return all
}
