package objectio_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"

	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

func TestGet(t *testing.T) {
	t.Parallel()
	faults, b, meter := stored(t)
	faults.Replace("empty", nil)
	body, err := b.Get(t.Context(), "a", 10)
	require.NoError(t, err)
	require.Equal(t, digits, string(body))
	body, err = b.Get(t.Context(), "empty", 0)
	require.NoError(t, err)
	require.Empty(t, body)
	_, err = b.Get(t.Context(), "a", 9)
	require.ErrorIs(t, err, objectio.ErrSize)
	require.ErrorContains(t, err, `get "a": `)
	_, err = b.Get(t.Context(), "b", 9)
	require.ErrorIs(t, err, objectio.ErrNotExist)
	require.Equal(t, int64(4), meter.Gets())
	require.Equal(t, int64(4), meter.Requests())
}

func TestGetThroughFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []faultblob.Fault{{Kind: faultblob.Lost}, {Kind: faultblob.Reset, At: 7}, {Kind: faultblob.Truncated, At: 3}, {Kind: faultblob.Delayed}} {
		synctest.Test(t, func(t *testing.T) {
			faults, b, meter := stored(t)
			faults.Inject(faultblob.Nth(1, fault))
			body, err := b.Get(t.Context(), "a", 10)
			require.NoError(t, err)
			require.Equal(t, digits, string(body))
			require.Equal(t, int64(1), meter.Retries())
		})
	}
}

func TestPeek(t *testing.T) {
	t.Parallel()
	faults, b, _ := stored(t)
	faults.Replace("empty", nil)
	for key, want := range map[string]map[int64]string{
		"a":     {0: "", 4: "0123", 10: digits, 11: digits},
		"empty": {0: "", 4: ""},
	} {
		for n, head := range want {
			body, err := b.Peek(t.Context(), key, n)
			require.NoError(t, err)
			require.Equal(t, head, string(body))
		}
	}
	_, err := b.Peek(t.Context(), "b", 1)
	require.ErrorIs(t, err, objectio.ErrNotExist)
	require.ErrorContains(t, err, `peek "b": `)
}

func TestSize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faults, b, meter := stored(t)
		faults.Inject(first(faultblob.Head, faultblob.Lost, faultblob.Delayed))
		size, err := b.Size(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, int64(10), size)
		require.Equal(t, int64(3), meter.Heads())
		_, err = b.Size(t.Context(), "b")
		require.ErrorIs(t, err, objectio.ErrNotExist)
		require.Equal(t, int64(4), meter.Requests())
	})
}

// vague serves objects of a size that makes no sense.
type vague struct{ mute }

func (vague) NewRangeReader(context.Context, string, int64, int64, *driver.ReaderOptions) (driver.Reader, error) {
	return vagueReader{new(muteReader)}, nil
}

type vagueReader struct{ *muteReader }

func (vagueReader) Attributes() *driver.ReaderAttributes { return &driver.ReaderAttributes{Size: -1} }

func TestGetOfNoSize(t *testing.T) {
	t.Parallel()
	_, err := objectio.New(blob.NewBucket(vague{}), "").Get(t.Context(), "a", 10)
	require.ErrorIs(t, err, objectio.ErrSize)
}
