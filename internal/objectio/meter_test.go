package objectio_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

const mib = 1 << 20

// TestMeterPaces: bytes of both directions share the rate, after one burst.
func TestMeterPaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := objectio.New(faultblob.New(t, nil).Open(), "").With(objectio.NewMeter(2 * mib))
		begun := time.Now()
		took := func() time.Duration { return time.Since(begun).Round(time.Millisecond) }
		_, err := b.Put(t.Context(), "a", say(strings.Repeat("x", 5*mib)))
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, took())
		r, err := b.Object("a", 5*mib).Stream(t.Context(), mib, 4*mib)
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.Equal(t, int64(4*mib), n)
		require.Equal(t, 4*time.Second, took())
		require.NoError(t, b.Create(t.Context(), "b", make([]byte, mib)))
		_, err = b.Get(t.Context(), "b", mib)
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, took())
	})
}

func TestMeterUnlimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		b := objectio.New(faultblob.New(t, nil).Open(), "")
		for _, m := range []*objectio.Meter{new(objectio.Meter), objectio.NewMeter(0)} {
			err := b.With(m).Create(t.Context(), "a", make([]byte, mib))
			require.NoError(t, err)
			require.Positive(t, m.Puts())
		}
		require.Zero(t, time.Since(begun))
	})
}

// TestMeterCancelled: a wait for bytes ends with the context, or before its deadline
// is missed.
func TestMeterCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faults := faultblob.New(t, nil)
		b := objectio.New(faults.Open(), "").With(objectio.NewMeter(10))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := b.Put(ctx, "a", say(strings.Repeat("x", 100)))
		require.ErrorIs(t, err, context.Canceled)

		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = b.Put(ctx, "a", say(strings.Repeat("x", 100)))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, faults.Keys())
	})
}
