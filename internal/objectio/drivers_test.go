package objectio_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"

	"github.com/varvekv/varve/internal/dirblob"
	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

// onDrivers runs test over an empty bucket of each driver.
func onDrivers(t *testing.T, test func(t *testing.T, under *blob.Bucket)) {
	files, err := fileblob.OpenBucket(t.TempDir(), nil)
	require.NoError(t, err)
	dir, err := dirblob.Open(t.TempDir(), nil)
	require.NoError(t, err)
	for name, under := range map[string]*blob.Bucket{
		"dirblob":   dir,
		"faultblob": faultblob.New(t, nil).Open(),
		"fileblob":  files,
		"memblob":   memblob.OpenBucket(nil),
	} {
		t.Run(name, func(t *testing.T) { test(t, under) })
		require.NoError(t, under.Close())
	}
}

func TestEveryDriver(t *testing.T) {
	t.Parallel()
	onDrivers(t, func(t *testing.T, under *blob.Bucket) {
		b := objectio.New(under, "c")
		_, err := b.Put(t.Context(), "data/1.sst", say(digits))
		require.NoError(t, err)
		require.NoError(t, b.Create(t.Context(), "progress/0", []byte("mine")))
		require.NoError(t, b.Create(t.Context(), "progress/0", []byte("mine")))
		require.ErrorIs(t, b.Create(t.Context(), "progress/0", []byte("other")), objectio.ErrExist)

		p := make([]byte, 3)
		require.NoError(t, b.Object("data/1.sst", 10).ReadAt(t.Context(), p, 7))
		require.Equal(t, digits[7:], string(p))
		require.ErrorIs(t, b.Object("data/1.sst", 9).ReadAt(t.Context(), p, 0), objectio.ErrSize)
		_, err = b.Get(t.Context(), "data/2.sst", 10)
		require.ErrorIs(t, err, objectio.ErrNotExist)

		for e, err := range b.List(t.Context(), "data/") {
			require.NoError(t, err)
			require.WithinDuration(t, time.Now(), e.ModTime, time.Minute)
		}
		got, err := list(t.Context(), b, "")
		require.NoError(t, err)
		require.Equal(t, []objectio.Entry{{Key: "data/1.sst", Size: 10}, {Key: "progress/0", Size: 4}}, got)
	})
}
