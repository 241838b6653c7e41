package varve_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
)

const frozenCompactV1 = "testdata/collections/v1-compacted"

func dirURL(t *testing.T, dir string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.FromSlash(dir))
	require.NoError(t, err)
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

// TestFreezeCompacted writes the collection of compacted layers, once: a full, four incrementals, the
// middle two of these as one, and all as a full that shares files.
func TestFreezeCompacted(t *testing.T) {
	if !*freeze {
		t.Skip("only with -freeze")
	}
	_, err := os.Stat(frozenCompactV1)
	require.ErrorIs(t, err, fs.ErrNotExist, "it is frozen")
	at := time.Date(2026, 11, 30, 6, 31, 59, 370_000_000, time.UTC)
	now := func() time.Time { return at }
	s := newStore(t, &memkv.Options{SingleRevision: true, PartitionBytes: 2 << 10, Now: now, Lineage: fmt.Sprintf("%032x", 1)})
	rng := rand.New(rand.NewPCG(1, 5))
	for i := range 300 {
		s.Set(fmt.Appendf(nil, "key-%04d", i), fmt.Appendf(nil, "value %d of key %d", rng.Uint32(), i))
	}
	c, err := varve.OpenCollection(t.Context(), dirURL(t, frozenCompactV1), &varve.CollectionOptions{Now: now})
	require.NoError(t, err)
	into, ids := "", []string{}
	for i := range 5 {
		layer, err := c.Backup(t.Context(), varve.Cluster(s), &varve.BackupOptions{Into: into, TargetFileBytes: 2 << 10})
		require.NoError(t, err)
		ids, into, at = append(ids, layer.ID), varve.Latest, at.Add(time.Hour)
		if i < 4 {
			s.Set(fmt.Appendf(nil, "key-%04d", 3*i), fmt.Appendf(nil, "value %d", rng.Uint32()))
			s.DeleteRange(fmt.Appendf(nil, "key-%04d", 20*i+10), fmt.Appendf(nil, "key-%04d", 20*i+13))
			s.RangeKeySet([]byte("key-0060"), fmt.Appendf(nil, "key-%04d", 62+i), []byte("@1"), fmt.Append(nil, i))
		}
	}
	_, err = c.Compact(t.Context(), ids[3], &varve.CompactOptions{First: ids[2], TargetFileBytes: 2 << 10})
	require.NoError(t, err)
	full, err := c.Compact(t.Context(), ids[4], &varve.CompactOptions{TargetFileBytes: 2 << 10})
	require.NoError(t, err)
	require.NotEmpty(t, full.Manifest.Refers)
	require.NoError(t, os.WriteFile(filepath.FromSlash(frozenCompactV1+".txt"), []byte((&frozenLayer{}).state(s)), 0o644))
	require.NoError(t, c.Close())
	require.NoError(t, os.Remove(filepath.Join(frozenCompactV1, ".varve-tmp")))
}

// TestFrozenCompactedV1 reads, where it lies, what the first version with compaction wrote.
func TestFrozenCompactedV1(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(frozenCompactV1)))
	before := filesUnder(t, dir)
	c, err := varve.OpenCollection(t.Context(), dirURL(t, dir), nil)
	require.NoError(t, err)
	stands := 0
	for l, err := range c.Layers(t.Context()) {
		require.NoError(t, err)
		_, err = c.Verify(t.Context(), l.ID, &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: newStore(t, &memkv.Options{SingleRevision: true})})
		require.NoError(t, err, l.Path)
		layer, err := c.Layer(t.Context(), l.ID)
		require.NoError(t, err)
		if layer.Manifest.StandsFor != "" {
			stands++
		}
	}
	require.Equal(t, 2, stands)
	require.Equal(t, before, filesUnder(t, dir), "reading wrote something")
	want, err := os.ReadFile(filepath.FromSlash(frozenCompactV1 + ".txt"))
	require.NoError(t, err)
	dst := newStore(t, &memkv.Options{SingleRevision: true})
	restored, err := c.Restore(t.Context(), varve.Cluster(dst), nil)
	require.NoError(t, err)
	require.True(t, restored.From.Full())
	require.Equal(t, string(want), (&frozenLayer{}).state(dst))
	require.NoError(t, c.Close())
}

// TestCompactFrozenChain compacts what the first version with chains wrote, whose targets come and
// go and which another store has taken over, up to each of its layers.
func TestCompactFrozenChain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(frozenChainV1)))
	c, err := varve.OpenCollection(t.Context(), dirURL(t, dir), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	var all []varve.LayerInfo
	for info, err := range c.Layers(t.Context()) {
		require.NoError(t, err)
		all = append([]varve.LayerInfo{info}, all...)
	}
	for i, f := range frozenSteps() {
		if all[i].Full() {
			continue
		}
		want, err := os.ReadFile(frozenChainListing(i))
		require.NoError(t, err)
		for _, first := range []string{"", all[max(i-1, 1)].ID} {
			if first != "" && all[max(i-1, 1)].Full() {
				first = all[i].ID
			}
			layer, err := c.Compact(t.Context(), all[i].ID, &varve.CompactOptions{First: first, TargetFileBytes: 2 << 10})
			require.NoError(t, err, all[i].Path)
			_, err = c.Verify(t.Context(), layer.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
			require.NoError(t, err)
			dst := newStore(t, &memkv.Options{SingleRevision: true})
			_, err = c.Restore(t.Context(), f.layer().targets(dst), &varve.RestoreOptions{From: layer.ID})
			require.NoError(t, err)
			require.Equal(t, string(want), f.layer().state(dst), "%s from %q", all[i].Path, first)
		}
	}
}
