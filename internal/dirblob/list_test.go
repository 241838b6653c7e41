package dirblob_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/varvekv/varve/internal/dirblob"
)

// list returns the keys that are listed in pages of the given size, 0 for the
// driver's own.
func list(t testing.TB, b *blob.Bucket, opts blob.ListOptions, pageSize int) []string {
	keys := []string{}
	if pageSize == 0 {
		for it := b.List(&opts); ; {
			o, err := it.Next(t.Context())
			if err == io.EOF {
				return keys
			}
			require.NoError(t, err)
			keys = append(keys, o.Key)
		}
	}
	for token := blob.FirstPageToken; len(token) > 0; {
		page, next, err := b.ListPage(t.Context(), token, pageSize, &opts)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), pageSize)
		for _, o := range page {
			keys = append(keys, o.Key)
		}
		token = next
	}
	return keys
}

// listed says what a list has to return.
func listed(keys []string, opts blob.ListOptions) []string {
	want := []string{}
	for _, key := range keys {
		rest, ok := strings.CutPrefix(key, opts.Prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, opts.Delimiter); opts.Delimiter != "" && i >= 0 {
			key = opts.Prefix + rest[:i] + opts.Delimiter
		}
		want = append(want, key)
	}
	slices.Sort(want)
	return slices.Compact(want)
}

// plant makes files as a bucket would, without the price of syncing them.
func plant(t testing.TB, dir string, keys []string) {
	for _, key := range keys {
		name := filepath.Join(dir, filepath.FromSlash(key))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o777))
		require.NoError(t, os.WriteFile(name, []byte(key), 0o666))
	}
}

// randomKeys draws keys of names that sort next to the slash, none of them a
// folder of another.
func randomKeys(rng *rand.Rand, n int) []string {
	names := []string{"a", "a-", "a.", "a0", "b", "b!", "é", "ab"}
	found := map[string]bool{}
	for range n {
		parts := make([]string, 1+rng.IntN(3))
		for i := range parts {
			parts[i] = names[rng.IntN(len(names))]
		}
		found[strings.Join(parts, "/")+"_"] = true
	}
	keys := []string{}
	for key := range found {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func TestListAgainstModel(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 10 {
		dir := t.TempDir()
		keys := randomKeys(rng, 1+rng.IntN(60))
		plant(t, dir, append(keys, ".varve-tmp/garbage", "a/.varve-tmp/garbage"))
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "b", "empty", "folders"), 0o777))
		b := openBucket(t, dir, nil)
		for _, prefix := range []string{"", "a", "a/", "a/a", "a-/b/", "none", "none/", "a/none/", "../", "/", "a//", ".varve-tmp/", "b/empty/"} {
			for _, delimiter := range []string{"", "/", "a", "/a", "_"} {
				for _, size := range []int{0, 1, 2, 7, 1000} {
					opts := blob.ListOptions{Prefix: prefix, Delimiter: delimiter}
					require.Equal(t, listed(keys, opts), list(t, b, opts, size), "seed %d, %+v, pages of %d", seed, opts, size)
				}
			}
		}
	}
}

// A folder larger than a page, and empty folders, more than a page of them,
// before what is asked for.
func TestListLargeFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := []string{"z"}
	for i := range 2*dirblob.PageObjects + 3 {
		keys = append(keys, fmt.Sprintf("f/%05d", i*7919%10007))
	}
	plant(t, dir, []string{"f/first"})
	for _, key := range keys {
		require.NoError(t, os.Link(filepath.Join(dir, "f", "first"), filepath.Join(dir, key)))
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "f", "first")))
	for i := range dirblob.PageObjects + 3 {
		require.NoError(t, os.Mkdir(filepath.Join(dir, fmt.Sprintf("e%05d", i)), 0o777))
	}
	b := openBucket(t, dir, nil)
	for delimiter, pageSize := range map[string]int{"": 0, "/": 5000} {
		opts := blob.ListOptions{Delimiter: delimiter}
		require.Equal(t, listed(keys, opts), list(t, b, opts, pageSize))
	}
}

func TestListUnusualKeys(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("file names are narrower there")
	}
	keys := []string{"a\\b\\c", "..\\a", "...", ".hidden", ".varve", "q\"q", "a b", "123", "☺☺", "\x01\x1f", "<>|?*:", "~", "a\x7f"}
	b := openBucket(t, t.TempDir(), nil)
	for _, key := range keys {
		require.NoError(t, upload(t.Context(), b, key, key))
		read, err := b.ReadAll(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, key, string(read))
	}
	require.Equal(t, listed(keys, blob.ListOptions{}), list(t, b, blob.ListOptions{}, 3))
}

// askedContext counts how often it is asked; a list asks once for every so many
// names that it reads, and once for every folder at least.
type askedContext struct {
	context.Context
	times atomic.Int64
}

func (c *askedContext) Err() error {
	c.times.Add(1)
	return c.Context.Err()
}

func TestListOpensOnlyWhatMayMatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := []string{}
	for i := range 20 {
		for j := range 20 {
			keys = append(keys, fmt.Sprintf("f%02d/g%02d/a", i, j))
		}
	}
	plant(t, dir, keys)
	b := openBucket(t, dir, nil)
	for prefix, most := range map[string]int64{"f07/g03/": 10, "f07/g03/a": 10, "f07/g0": 40, "g": 10, "f07/h/": 10} {
		ctx := &askedContext{Context: t.Context()}
		_, _, err := b.ListPage(ctx, blob.FirstPageToken, 1000, &blob.ListOptions{Prefix: prefix})
		require.NoError(t, err)
		require.LessOrEqual(t, ctx.times.Load(), most, prefix)
	}
}

func TestListCancelled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plant(t, dir, []string{"a"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := openBucket(t, dir, nil).List(nil).Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
