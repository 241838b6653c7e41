package objectio_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

// TestRetrying: as often, and with the rests, that were asked for.
func TestRetrying(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		retry  objectio.Retry
		counts string
		took   time.Duration
	}{
		{objectio.Retry{}, "head 6", (100 + 200 + 400 + 800 + 1600) * time.Millisecond},
		{objectio.Retry{Attempts: 1}, "head 1", 0},
		{objectio.Retry{Attempts: 4, First: time.Second, Most: 3 * time.Second}, "head 4", 6 * time.Second},
		{objectio.Retry{Attempts: 3, First: time.Minute, Most: time.Second}, "head 3", 2 * time.Second},
		{objectio.Retry{Attempts: 64, Most: time.Second}, "head 64", (100+200+400+800)*time.Millisecond + 59*time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			faults := faultblob.New(t, nil)
			faults.Inject(always(faultblob.Head, faultblob.Lost))
			begun := time.Now()
			_, err := objectio.New(faults.Open(), "").Retrying(test.retry).Size(t.Context(), "a")
			require.ErrorIs(t, err, faultblob.ErrInjected)
			require.Equal(t, test.counts, faults.Counts())
			require.Equal(t, test.took, time.Since(begun))
		})
	}
}

// TestPatience: an attempt has as long as the object is large, and no longer.
func TestPatience(t *testing.T) {
	t.Parallel()
	for size, took := range map[int]time.Duration{0: 10 * time.Second, 64 << 10: 11 * time.Second, 1 << 20: 26 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			faults := faultblob.New(t, nil)
			faults.Inject(always(faultblob.Put, faultblob.Delayed))
			begun := time.Now()
			b := objectio.New(faults.Open(), "").Retrying(objectio.Retry{Attempts: 1, Patience: 10 * time.Second})
			err := b.Create(t.Context(), "a", []byte(strings.Repeat("x", size)))
			require.ErrorContains(t, err, "no progress")
			require.Equal(t, took, time.Since(begun))
		})
	}
}

// answer is an error that carries the status of an answer.
type answer int

func (answer) Error() string         { return "no" }
func (a answer) HTTPStatusCode() int { return int(a) }

// TestRefusalByStatus: what drivers have no code for is known by the status, and is not
// tried again.
func TestRefusalByStatus(t *testing.T) {
	t.Parallel()
	for status, asked := range map[int]int64{401: 1, 403: 1, 404: 6, 400: 6, 503: 6} {
		synctest.Test(t, func(t *testing.T) {
			meter := new(objectio.Meter)
			b := objectio.New(blob.NewBucket(leaky{err: answer(status), code: gcerrors.Unknown}), "").With(meter)
			_, err := b.Size(t.Context(), "a")
			require.Equal(t, asked == 1, errors.Is(err, objectio.ErrDenied), err)
			require.Equal(t, asked, meter.Heads())
		})
	}
}
