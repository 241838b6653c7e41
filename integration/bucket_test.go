package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/internal/objectio"
)

// TestBuckets: each bucket is what varve assumes of one.
func TestBuckets(t *testing.T) {
	for name, open := range buckets() {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			t.Run("check", func(t *testing.T) { testCheck(t, b) })
			t.Run("create", func(t *testing.T) { testCreate(t, b) })
			t.Run("list", func(t *testing.T) { testList(t, b) })
			t.Run("large", func(t *testing.T) { testLarge(t, b) })
			t.Run("chain", func(t *testing.T) { testChain(t, b) })
			t.Run("two writers", func(t *testing.T) { testTwoWriters(t, b) })
		})
	}
}

// testCheck: varve's own probe finds nothing.
func testCheck(t *testing.T, b bucket) {
	report, err := b.collection(t).Check(t.Context())
	require.NoError(t, err)
	require.NoError(t, report.Err())
	require.NoError(t, report.Delete)
	require.Empty(t, report.Left)
	t.Logf("%s: write %v, read %v, %d MB/s up, %d MB/s down", report.Place, report.WriteLatency, report.ReadLatency, report.UploadRate>>20, report.DownloadRate>>20)
}

// testCreate: of many that create one object one does, also of an object in parts.
func testCreate(t *testing.T, b bucket) {
	for _, race := range []struct{ writers, size, rounds int }{{12, 100, 10}, {4, 20 << 20, 1}} {
		for round := range race.rounds {
			key := fmt.Sprintf("create/%d-%d", race.size, round)
			errs := make([]error, race.writers)
			var wg sync.WaitGroup
			for i := range race.writers {
				wg.Go(func() {
					body := bytes.Repeat([]byte{byte('a' + i)}, race.size)
					errs[i] = objectio.New(b.raw(t), "").Create(t.Context(), key, body)
				})
			}
			wg.Wait()
			winner := -1
			for i, err := range errs {
				if err == nil {
					require.Negative(t, winner, "two won")
					winner = i
				} else {
					require.ErrorIs(t, err, objectio.ErrExist)
				}
			}
			require.GreaterOrEqual(t, winner, 0)
			got, err := objectio.New(b.raw(t), "").Get(t.Context(), key, 32<<20)
			require.NoError(t, err)
			require.True(t, bytes.Equal(got, bytes.Repeat([]byte{byte('a' + winner)}, race.size)))
		}
	}
}

// testList: more objects than a page has, in order, with their sizes, at once.
func testList(t *testing.T, b bucket) {
	const objects = 1205
	o := objectio.New(b.raw(t), "")
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for w := range errs {
		wg.Go(func() {
			for i := w; i < objects; i += len(errs) {
				errs[w] = errors.Join(errs[w], o.Create(t.Context(), fmt.Sprintf("list/%d/%04d", i%3, i), make([]byte, i%7)))
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	var listed int
	for e, err := range o.List(t.Context(), "list/") {
		require.NoError(t, err)
		var dir, i int
		_, err = fmt.Sscanf(e.Key, "list/%d/%04d", &dir, &i)
		require.NoError(t, err)
		require.Equal(t, int64(i%7), e.Size)
		listed++
	}
	require.Equal(t, objects, listed)
	for e, err := range o.List(t.Context(), "list/4") {
		require.NoError(t, err)
		t.Fatal(e.Key)
	}
}

// testLarge: an object in parts, where the driver makes some, and ranges of it.
func testLarge(t *testing.T, b bucket) {
	const size = 100 << 20
	body := make([]byte, size)
	rand.NewChaCha8([32]byte{2}).Read(body)
	o := objectio.New(b.raw(t), "")
	stored, err := o.Put(t.Context(), "large", func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(body))
		return err
	})
	require.NoError(t, err)
	require.EqualValues(t, size, stored)
	object := o.Object("large", stored)
	for _, r := range [][2]int{{0, 1}, {size - 1, size}, {5<<20 - 3, 5<<20 + 3}, {8<<20 - 1, 24 << 20}, {0, size}} {
		got := make([]byte, r[1]-r[0])
		require.NoError(t, object.ReadAt(t.Context(), got, int64(r[0])))
		require.True(t, bytes.Equal(body[r[0]:r[1]], got), r)
	}
}

// testChain: a full, incrementals, verified and restored.
func testChain(t *testing.T, b bucket) {
	store := newStore(t, 24<<20)
	c := b.collection(t)
	full(t, c, store, nil)
	requireWhole(t, c, store)
	for round := range 3 {
		change(store, round)
		incremental(t, c, store)
	}
	requireWhole(t, b.collection(t), store)
}

// testTwoWriters: two that begin chains and extend the same layer at once make layers
// that are whole.
func testTwoWriters(t *testing.T, b bucket) {
	store := newStore(t, 1<<20)
	errs := make([]error, 2)
	both := func(opts varve.BackupOptions) {
		collections := []*varve.Collection{b.collection(t), b.collection(t)}
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				own := opts
				_, errs[i] = collections[i].Backup(t.Context(), varve.Cluster(store), &own)
			})
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
	}
	both(varve.BackupOptions{})
	change(store, 1)
	both(varve.BackupOptions{Into: varve.Latest})
	for l, err := range b.collection(t).Layers(t.Context()) {
		require.NoError(t, err)
		report, err := b.collection(t).Verify(t.Context(), l.ID, nil)
		require.NoError(t, err)
		require.Empty(t, report.Problems)
	}
	requireWhole(t, b.collection(t), store)
}
