package varve_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestRetryOptions: requests are repeated as often as the caller says.
func TestRetryOptions(t *testing.T) {
	t.Parallel()
	for attempts, failures := range map[int]int{1: 0, 3: 2, 0: 5} {
		synctest.Test(t, func(t *testing.T) {
			bucket := faultblob.New(t, nil)
			lost := func(times int) func(faultblob.Op) faultblob.Fault {
				return func(op faultblob.Op) (f faultblob.Fault) {
					if op.N <= times {
						f.Kind = faultblob.Lost
					}
					return f
				}
			}
			c := collectionIn(t, bucket, &varve.CollectionOptions{Retry: varve.RetryOptions{Attempts: attempts}})
			list := func() (err error) {
				bucket.Reset()
				for _, err = range c.Layers(t.Context()) {
				}
				return err
			}
			bucket.Inject(lost(failures))
			require.NoError(t, list())
			bucket.Inject(lost(failures + 1))
			require.ErrorIs(t, list(), faultblob.ErrInjected)
		})
	}
}

func TestRetryOptionsThatCannotBe(t *testing.T) {
	t.Parallel()
	for field, retry := range map[string]varve.RetryOptions{
		"Retry.Attempts":       {Attempts: -1},
		"Retry.MinBackoff":     {MinBackoff: -1},
		"Retry.MaxBackoff":     {MinBackoff: time.Minute, MaxBackoff: time.Second},
		"Retry.AttemptTimeout": {AttemptTimeout: -1},
	} {
		opts := &varve.CollectionOptions{Retry: retry}
		var option *varve.OptionError
		_, err := varve.NewCollection(memblob.OpenBucket(nil), opts)
		require.ErrorAs(t, err, &option)
		require.Equal(t, field, option.Field)
		_, err = varve.OpenCollection(t.Context(), "file:///nowhere", opts)
		require.ErrorAs(t, err, &option)
		require.Equal(t, field, option.Field)
	}
}
