package varve_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

// frozenHistoryV1 is a chain of a store that keeps revisions, as format 1 stores it; beside
// it lies what it must restore, moment by moment.
const frozenHistoryV1 = "testdata/collections/v1-history"

func frozenHistoryURL(t *testing.T) string {
	t.Helper()
	return thawed(t, frozenHistoryV1)
}

// frozenMoments are in windows of the chain: of the full, and of all layers but the third.
func frozenMoments(at []export.Timestamp) []export.Timestamp { return append(at[12:60:60], at[80:]...) }

// TestFreezeHistory writes the collection, once.
func TestFreezeHistory(t *testing.T) {
	if !*freeze {
		t.Skip("only with -freeze")
	}
	_, err := os.Stat(frozenHistoryV1)
	require.ErrorIs(t, err, fs.ErrNotExist, "it is frozen")
	p := &past{T: t, rng: rand.New(rand.NewPCG(4, 4)), clock: newClock()}
	p.store = newStore(t, &memkv.Options{PartitionBytes: 256, Now: p.clock.now, Lineage: fmt.Sprintf("%032x", 9)})
	opts := varve.BackupOptions{TargetFileBytes: 512, Name: "history", Collection: &varve.CollectionOptions{Now: p.clock.now}}
	for i := range 5 {
		p.write(20)
		if i == 0 {
			p.store.Collect(p.moments[11])
		}
		opts.RevisionHistory = i != 3
		if opts.Compression = varve.CompressZstd; i == 2 {
			opts.Compression = varve.CompressNone
		}
		_, err := varve.Backup(t.Context(), varve.Cluster(p.store), frozenHistoryURL(t), &opts)
		require.NoError(t, err)
		opts.Name, opts.Into = "", "history"
	}
	p.store.Set([]byte("k00"), []byte("not backed up"))
	var listing strings.Builder
	for _, at := range frozenMoments(p.moments) {
		fmt.Fprintf(&listing, "as of %s\n%s", at, frozenText(p.store.StateAt(at, varve.Span{})))
	}
	require.NoError(t, os.WriteFile(frozenHistoryV1+".txt", []byte(listing.String()), 0o644))
	require.NoError(t, os.Remove(filepath.Join(frozenHistoryV1, ".varve-tmp")))
}

func frozenText(state []export.Entry) string {
	var b strings.Builder
	for _, line := range clip(nil, state, everywhere) {
		fmt.Fprintln(&b, "  "+line)
	}
	return b.String()
}

// TestFrozenHistoryV1 reads, where it lies, what the first version with history wrote.
func TestFrozenHistoryV1(t *testing.T) {
	t.Parallel()
	place := frozenHistoryURL(t)
	c, err := varve.OpenCollection(t.Context(), place, nil)
	require.NoError(t, err)
	listing, err := os.ReadFile(filepath.FromSlash(frozenHistoryV1 + ".txt"))
	require.NoError(t, err)
	moments := strings.Split(string(listing), "as of ")[1:]
	require.NotEmpty(t, moments)
	for _, moment := range moments {
		at, want, _ := strings.Cut(moment, "\n")
		asOf, err := export.ParseTimestamp(at)
		require.NoError(t, err)
		dst := newStore(t, &memkv.Options{SingleRevision: true})
		restored, err := c.Restore(t.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: varve.Latest, AsOf: asOf})
		require.NoError(t, err)
		require.Equal(t, asOf, restored.AsOf)
		require.Equal(t, want, frozenText(dst.State(varve.Span{})), "as of %s", asOf)
	}
	chain, err := c.Resolve(t.Context(), "history", varve.Timestamp{})
	require.NoError(t, err)
	require.Len(t, chain.Layers, 1)
	chain, err = c.Resolve(t.Context(), varve.Latest, varve.Timestamp{})
	require.NoError(t, err)
	require.Len(t, chain.Points(), 5)
	without := chain.Points()[3]
	require.Equal(t, without.Newest, without.Oldest)
	between := export.Timestamp{WallNanos: without.Oldest.WallNanos - int64(5*time.Millisecond)}
	var miss *varve.NoRestorePointError
	_, err = c.Resolve(t.Context(), varve.Latest, between)
	require.ErrorAs(t, err, &miss)
	require.Equal(t, varve.NoRestorePointError{AsOf: between, Before: chain.Points()[2].Newest, After: without.Oldest}, *miss)
	_, err = c.Verify(t.Context(), varve.Latest, &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: newStore(t, nil)})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	requireUntouched(t, frozenHistoryV1, place)
}
