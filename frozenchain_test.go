package varve_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
)

const frozenChainV1 = "testdata/collections/v1-chain"

// frozenStep is a layer of testdata/collections/v1-chain: of a store to which
// something was done, for targets that come and go.
type frozenStep struct {
	store  string // plain, revisions or other, which takes over from plain
	spans  []varve.Span
	opts   varve.BackupOptions
	change func(s *memkv.Store, rng *rand.Rand)
	want   varve.ChangeSource
}

func frozenSteps() []frozenStep {
	fillAll := func(s *memkv.Store, rng *rand.Rand) {
		for i := range 120 {
			s.Set(fmt.Appendf(nil, "key-%04d", i), fmt.Appendf(nil, "value %d of key %d", rng.Uint32(), i))
		}
		s.RangeKeySet([]byte("key-0010"), []byte("key-0090"), []byte("@1"), []byte("range"))
	}
	some := func(s *memkv.Store, rng *rand.Rand) {
		for range 12 {
			s.Set(fmt.Appendf(nil, "key-%04d", rng.IntN(130)), fmt.Appendf(nil, "later value %d", rng.Uint32()))
			s.Delete(fmt.Appendf(nil, "key-%04d", rng.IntN(130)))
		}
		s.DeleteRange([]byte("key-0030"), []byte("key-0048"))
		s.RangeKeyUnset([]byte("key-0020"), fmt.Appendf(nil, "key-%04d", 21+rng.IntN(60)), []byte("@1"))
		s.RangeKeySet([]byte("key-0060"), []byte("key-0070"), fmt.Appendf(nil, "@%d", rng.IntN(3)), []byte("another"))
	}
	narrow, split := []varve.Span{span("key-0000", "key-0050")}, []varve.Span{span("key-0005", "key-0020"), span("key-0040", "key-0080")}
	into := func(o varve.BackupOptions) varve.BackupOptions {
		o.Into = "plain"
		return o
	}
	return []frozenStep{
		{store: "plain", spans: narrow, opts: varve.BackupOptions{Name: "plain", Labels: map[string]string{"day": "1"}}, change: fillAll, want: varve.Everything},
		{store: "plain", spans: narrow, opts: into(varve.BackupOptions{}), change: some, want: varve.Checkpoints},
		{store: "plain", spans: nil, opts: into(varve.BackupOptions{Audit: true}), change: some, want: varve.Checkpoints},
		{store: "plain", spans: split, opts: into(varve.BackupOptions{NoBase: true}), change: some, want: varve.Checkpoints},
		{store: "plain", spans: nil, opts: into(varve.BackupOptions{Compression: varve.CompressS2}), change: some, want: varve.FromChain},
		{store: "plain", spans: nil, opts: into(varve.BackupOptions{}), change: func(*memkv.Store, *rand.Rand) {}, want: varve.Checkpoints},
		{store: "other", spans: nil, opts: into(varve.BackupOptions{Adopt: true}), change: fillAll, want: varve.FromChain},
		{store: "revisions", spans: nil, opts: varve.BackupOptions{Name: "revisions"}, change: fillAll, want: varve.Everything},
		{store: "revisions", spans: nil, opts: varve.BackupOptions{Into: "revisions"}, change: some, want: varve.Revisions},
	}
}

func (f *frozenStep) layer() *frozenLayer {
	return &frozenLayer{spans: f.spans, store: memkv.Options{SingleRevision: f.store != "revisions"}}
}

func frozenChainListing(n int) string {
	return filepath.FromSlash(fmt.Sprintf("%s.%d.txt", frozenChainV1, n))
}

func frozenChainURL(t *testing.T) string {
	t.Helper()
	return thawed(t, frozenChainV1)
}

// TestFreezeChain writes the collection of chains, once.
func TestFreezeChain(t *testing.T) {
	if !*freeze {
		t.Skip("only with -freeze")
	}
	_, err := os.Stat(frozenChainV1)
	require.ErrorIs(t, err, fs.ErrNotExist, "it is frozen")
	at := time.Date(2026, 11, 24, 6, 31, 59, 370_000_000, time.UTC)
	now := func() time.Time { return at }
	stores := map[string]*memkv.Store{}
	for i, name := range []string{"plain", "other", "revisions"} {
		stores[name] = newStore(t, &memkv.Options{SingleRevision: name != "revisions", PartitionBytes: 2 << 10, Now: now, Lineage: fmt.Sprintf("%032x", i+1)})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i, f := range frozenSteps() {
		at = at.Add(time.Hour)
		s := stores[f.store]
		f.change(s, rng)
		o := f.opts
		o.TargetFileBytes, o.Collection = 2<<10, &varve.CollectionOptions{Now: now}
		layer, err := varve.Backup(t.Context(), f.layer().targets(s), frozenChainURL(t), &o)
		require.NoError(t, err)
		require.Equal(t, f.want, layer.Stats.Changes, "step %d", i)
		require.NoError(t, os.WriteFile(frozenChainListing(i), []byte(f.layer().state(s)), 0o644))
	}
	require.NoError(t, os.Remove(filepath.Join(frozenChainV1, ".varve-tmp")))
}

// TestFrozenChainV1 reads, where it lies, what the first version with chains wrote.
func TestFrozenChainV1(t *testing.T) {
	t.Parallel()
	at := frozenChainURL(t)
	c, err := varve.OpenCollection(t.Context(), at, nil)
	require.NoError(t, err)
	var all []varve.LayerInfo
	for info, err := range c.Layers(t.Context()) {
		require.NoError(t, err)
		all = append([]varve.LayerInfo{info}, all...)
	}
	steps := frozenSteps()
	require.Len(t, all, len(steps))
	for i, f := range steps {
		want, err := os.ReadFile(frozenChainListing(i))
		require.NoError(t, err)
		_, err = c.Verify(t.Context(), all[i].ID, &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: newStore(t, &memkv.Options{SingleRevision: true})})
		require.NoError(t, err, all[i].Path)
		dst := newStore(t, &memkv.Options{SingleRevision: true})
		restored, err := c.Restore(t.Context(), f.layer().targets(dst), &varve.RestoreOptions{From: all[i].ID})
		require.NoError(t, err, all[i].Path)
		require.Equal(t, varve.ProofDigest, restored.Proof)
		require.Equal(t, string(want), f.layer().state(dst), all[i].Path)
		layer, err := c.Layer(t.Context(), all[i].Path)
		require.NoError(t, err)
		require.Equal(t, f.want, layer.Stats.Changes)
		require.Equal(t, f.opts.Labels, layer.Manifest.Labels)
	}
	require.NoError(t, c.Close())
	requireUntouched(t, frozenChainV1, at)
}
