package objectio_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

// TestDelete: an object is gone, whoever removed it, or the right to is missing.
func TestDelete(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault  faultblob.FaultKind
		want   error
		counts string
	}{
		{faultblob.None, nil, "delete 1"},
		{faultblob.Lost, nil, "delete 2"},
		{faultblob.Applied, nil, "delete 2"},
		{faultblob.Denied, objectio.ErrDenied, "delete 1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			faults := faultblob.New(t, &faultblob.Options{Allow: faultblob.Deletes})
			faults.Replace("c/a", []byte("x"))
			faults.Inject(first(faultblob.Delete, test.fault))
			meter := new(objectio.Meter)
			b := objectio.New(faults.Open(), "c").With(meter)
			require.ErrorIs(t, b.Delete(t.Context(), "a"), test.want)
			require.Equal(t, test.counts, faults.Counts())
			require.Equal(t, meter.Deletes(), meter.Requests())
			if test.want == nil {
				require.Empty(t, faults.Keys())
				require.NoError(t, b.Delete(t.Context(), "a"))
			}
		})
	}
}

func TestDeleteOnEveryDriver(t *testing.T) {
	t.Parallel()
	onDrivers(t, func(t *testing.T, under *blob.Bucket) {
		b := objectio.New(under, "c")
		require.NoError(t, b.Create(t.Context(), "a/b", []byte("x")))
		if t.Name() != "TestDeleteOnEveryDriver/faultblob" { // which judges it
			require.NoError(t, b.Delete(t.Context(), "a/b"))
			_, err := b.Size(t.Context(), "a/b")
			require.ErrorIs(t, err, objectio.ErrNotExist)
		}
		require.NoError(t, b.Delete(t.Context(), "a/c"))
	})
}
