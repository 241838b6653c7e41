package objectio_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

// TestDelete: what is gone is gone, whoever removed it and whatever was reported.
func TestDelete(t *testing.T) {
	t.Parallel()
	for _, fault := range []faultblob.FaultKind{faultblob.None, faultblob.Lost, faultblob.Applied, faultblob.Denied} {
		synctest.Test(t, func(t *testing.T) {
			faults := faultblob.New(t, &faultblob.Options{Allow: faultblob.Deletes})
			faults.Replace("c/a", []byte("x"))
			faults.Inject(faultblob.Nth(1, faultblob.Fault{Kind: fault}))
			m := objectio.NewMeter(0)
			b := objectio.New(faults.Open(), "c").With(m)
			err := b.Delete(t.Context(), "a")
			if fault == faultblob.Denied {
				require.ErrorIs(t, err, objectio.ErrDenied)
				return
			}
			require.NoError(t, err)
			require.Empty(t, faults.Keys())
			require.NoError(t, b.Delete(t.Context(), "a"), "again")
			require.EqualValues(t, faults.Count(faultblob.Delete), m.Deletes())
			require.Equal(t, m.Deletes(), m.Requests())
		})
	}
}

// TestCreateWhile: where there is nothing after a write that failed, the caller says
// whether to go on.
func TestCreateWhile(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	synctest.Test(t, func(t *testing.T) {
		faults := faultblob.New(t, nil)
		faults.Inject(faultblob.Nth(1, faultblob.Fault{Kind: faultblob.Lost}))
		b := objectio.New(faults.Open(), "")
		require.ErrorIs(t, b.CreateWhile(t.Context(), "a", []byte("x"), func(context.Context) error { return gone }), gone)
		require.Empty(t, faults.Keys())
		faults.Reset()
		asked := 0
		require.NoError(t, b.CreateWhile(t.Context(), "a", []byte("x"), func(context.Context) error { asked++; return nil }))
		require.Equal(t, 1, asked)
		require.ErrorIs(t, b.CreateWhile(t.Context(), "a", []byte("y"), func(context.Context) error { return gone }), objectio.ErrExist)
	})
}
