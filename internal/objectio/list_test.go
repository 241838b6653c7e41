package objectio_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"

	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

// list is what b lists before its error.
func list(ctx context.Context, b *objectio.Bucket, prefix string) (entries []objectio.Entry, err error) {
	for e, listErr := range b.List(ctx, prefix) {
		if err = listErr; err == nil {
			e.ModTime = time.Time{}
			entries = append(entries, e)
		}
	}
	return entries, err
}

func TestList(t *testing.T) {
	t.Parallel()
	faults := faultblob.New(t, nil)
	for _, key := range []string{"c/a", "c/a-b", "c/a/b", "ca", "d/e/f", "d/e/g"} {
		faults.Replace(key, make([]byte, len(key)))
	}
	for _, test := range []struct {
		bucket, prefix string
		want           []objectio.Entry
	}{
		{"c", "", []objectio.Entry{{Key: "a", Size: 3}, {Key: "a-b", Size: 5}, {Key: "a/b", Size: 5}}},
		{"/c/", "a/", []objectio.Entry{{Key: "a/b", Size: 5}}},
		{"", "d/", []objectio.Entry{{Key: "d/e/f", Size: 5}, {Key: "d/e/g", Size: 5}}},
		{"d/e", "g", []objectio.Entry{{Key: "g", Size: 5}}},
		{"none", "", nil},
	} {
		got, err := list(t.Context(), objectio.New(faults.Open(), test.bucket), test.prefix)
		require.NoError(t, err)
		require.Equal(t, test.want, got)
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faults := faultblob.New(t, nil)
		for n := range 2500 {
			faults.Replace(fmt.Sprintf("c/%04d", n), nil)
		}
		meter := new(objectio.Meter)
		b := objectio.New(faults.Open(), "c").With(meter)
		faults.Inject(faultblob.Nth(2, faultblob.Fault{Kind: faultblob.Lost}))
		got, err := list(t.Context(), b, "")
		require.NoError(t, err)
		require.Len(t, got, 2500)
		require.Equal(t, "2499", got[2499].Key)
		require.Equal(t, int64(4), meter.Lists())
		require.Equal(t, int64(1), meter.Retries())

		for e := range b.List(t.Context(), "") {
			require.Equal(t, "0000", e.Key)
			break
		}
		require.Equal(t, int64(5), meter.Lists())

		faults.Inject(faultblob.From(7, faultblob.Fault{Kind: faultblob.Denied}))
		got, err = list(t.Context(), b, "")
		require.ErrorIs(t, err, objectio.ErrDenied)
		require.ErrorContains(t, err, `list "": `)
		require.Len(t, got, 1000)
	})
}

// disorderly lists as a walk through folders does: "a/b" before "a-b".
type disorderly struct{ mute }

func (disorderly) ListPaged(context.Context, *driver.ListOptions) (*driver.ListPage, error) {
	return &driver.ListPage{Objects: []*driver.ListObject{{Key: "a/b"}, {Key: "a-b"}}}, nil
}

func TestListOutOfOrder(t *testing.T) {
	t.Parallel()
	got, err := list(t.Context(), objectio.New(blob.NewBucket(disorderly{}), ""), "")
	require.ErrorContains(t, err, `key "a-b" comes after "a/b"`)
	require.Len(t, got, 1)
}
