package varve_test

import (
	"slices"
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

// TestRetriesAreTold: whoever asked learns of each failure that is made good by trying
// again, in backups, restores and verifications alike, and of as many as were counted.
func TestRetriesAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, varve.BackupOptions{})
		var told []varve.RetryInfo
		events := &varve.Events{Retry: func(i varve.RetryInfo) { told = append(told, i) }}
		failing := func(times int, kind faultblob.Kind, of string) {
			told = nil
			s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
				if times > 0 && op.Kind == kind && role(op.Key) == of {
					times--
					return faultblob.Fault{Kind: faultblob.Lost}
				}
				return faultblob.Fault{}
			})
		}
		requireTold := func(retries int64, op, of string) {
			t.Helper()
			require.Len(t, told, 2)
			require.EqualValues(t, 2, retries)
			for n, i := range told {
				require.Equal(t, op, i.Op)
				require.Equal(t, of, role(i.Object))
				require.Equal(t, n+1, i.Failed)
				require.Equal(t, 100*time.Millisecond<<n, i.After)
				require.ErrorContains(t, i.Err, faultblob.ErrInjected.Error())
				require.ErrorContains(t, i.Err, i.Object)
			}
		}
		s.opts.Events = events
		failing(2, faultblob.Put, "data")
		require.NoError(t, s.backup())
		requireTold(s.last.Stats.Retries, "put", "data")

		failing(2, faultblob.Get, "data")
		to := s.newStore()
		restored, err := s.collection().Restore(t.Context(), varve.Cluster(to), &varve.RestoreOptions{Events: events, Concurrency: 1})
		require.NoError(t, err)
		requireTold(restored.Stats.Retries, "read", "data")
		require.Equal(t, stateOf(s.store), stateOf(to))

		failing(2, faultblob.List, "index")
		_, err = s.collection().Verify(t.Context(), "", &varve.VerifyOptions{Events: events})
		require.NoError(t, err)
		requireTold(2, "list", "index")

		told = nil
		s.change(1)
		failing(7, faultblob.Put, "data") // more than a request is made
		require.NoError(t, s.backup())
		i := slices.IndexFunc(told, func(i varve.RetryInfo) bool { return i.Op == "export" })
		require.Equal(t, 5, i, "%v", told)
		require.Empty(t, told[i].Object)
		require.Equal(t, 1, told[i].Failed)
		s.bucket.Inject(nil)
		s.requireWhole()
	})
}
