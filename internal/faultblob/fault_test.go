package faultblob_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/varvekv/varve/internal/faultblob"
)

func upload(ctx context.Context, b *blob.Bucket, key, body string) error {
	return b.Upload(ctx, key, strings.NewReader(body), &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true})
}

func TestPutFaultsActAtCommit(t *testing.T) {
	for _, test := range []struct {
		fault  faultblob.FaultKind
		code   gcerrors.ErrorCode
		stored bool
	}{
		{faultblob.None, gcerrors.OK, true},
		{faultblob.Lost, gcerrors.Unknown, false},
		{faultblob.Applied, gcerrors.Unknown, true},
		{faultblob.Repeated, gcerrors.FailedPrecondition, true},
		{faultblob.Denied, gcerrors.PermissionDenied, false},
		{faultblob.Delayed, gcerrors.Canceled, false},
	} {
		fault := faultblob.Fault{Kind: test.fault}
		t.Run(fault.String(), func(t *testing.T) {
			faults := faultblob.New(t, nil)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			faults.Inject(func(op faultblob.Op) faultblob.Fault {
				require.Empty(t, faults.Keys())
				if test.fault == faultblob.Delayed {
					cancel()
				}
				return fault
			})
			err := upload(ctx, faults.Open(), "a", "body")
			require.Equal(t, test.code, gcerrors.Code(err), "%v", err)
			if test.stored {
				require.Equal(t, "body", string(faults.Read("a")))
			} else {
				require.Empty(t, faults.Keys())
			}
		})
	}
}

func TestReadFaultsCutTheBody(t *testing.T) {
	faults := faultblob.New(t, nil)
	faults.Replace("a", []byte("0123456789"))
	for _, test := range []struct {
		fault faultblob.Fault
		body  string
		fails bool
	}{
		{faultblob.Fault{}, "0123456789", false},
		{faultblob.Fault{Kind: faultblob.Truncated, At: 4}, "0123", false},
		{faultblob.Fault{Kind: faultblob.Truncated, At: 99}, "0123456789", false},
		{faultblob.Fault{Kind: faultblob.Reset, At: 4}, "0123", true},
		{faultblob.Fault{Kind: faultblob.Reset}, "", true},
	} {
		faults.Inject(func(faultblob.Op) faultblob.Fault { return test.fault })
		r, err := faults.Open().NewReader(t.Context(), "a", nil)
		require.NoError(t, err)
		body, err := io.ReadAll(r)
		require.NoError(t, r.Close())
		require.Equal(t, test.body, string(body))
		if test.fails {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		} else {
			require.NoError(t, err)
		}
	}
}

func TestOtherOperationsFail(t *testing.T) {
	faults := faultblob.New(t, &faultblob.Options{Allow: faultblob.Deletes})
	faults.Replace("a", []byte("x"))
	b := faults.Open()
	lost := faultblob.Fault{Kind: faultblob.Lost}
	faults.Inject(faultblob.From(1, lost))
	_, err := b.NewReader(t.Context(), "a", nil)
	require.ErrorIs(t, err, faultblob.ErrInjected)
	_, err = b.Attributes(t.Context(), "a")
	require.ErrorIs(t, err, faultblob.ErrInjected)
	_, _, err = b.ListPage(t.Context(), blob.FirstPageToken, 1, nil)
	require.ErrorIs(t, err, faultblob.ErrInjected)
	require.ErrorIs(t, b.Delete(t.Context(), "a"), faultblob.ErrInjected)
	require.ErrorIs(t, b.Copy(t.Context(), "b", "a", nil), faultblob.ErrInjected)
	require.Equal(t, []string{"a"}, faults.Keys())

	faults.Reset()
	faults.Inject(faultblob.Nth(2, faultblob.Fault{Kind: faultblob.Applied}))
	_, err = b.NewReader(t.Context(), "missing", nil)
	require.Equal(t, gcerrors.NotFound, gcerrors.Code(err))
	_, err = b.NewReader(t.Context(), "a", nil)
	require.ErrorIs(t, err, faultblob.ErrInjected)
	require.NoError(t, b.Delete(t.Context(), "a"))
	require.Equal(t, "1 get missing\n2 get a applied\n3 delete a\n", faults.String())
	require.Equal(t, "get 2, delete 1", faults.Counts())
	require.Equal(t, 2, faults.Count(faultblob.Get))
	require.Len(t, faults.Trace(), 3)
}

func TestCancelledPutIsNone(t *testing.T) {
	faults := faultblob.New(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, upload(ctx, faults.Open(), "a", "body"), context.Canceled)
	require.Empty(t, faults.Trace())
	require.Empty(t, faults.Keys())
}

// TestPark releases two calls in the order opposite to their arrival.
func TestPark(t *testing.T) {
	faults := faultblob.New(t, nil)
	gates := map[string]chan struct{}{"a": make(chan struct{}), "b": make(chan struct{})}
	parked := make(chan string, 2)
	faults.Park(func(_ context.Context, op faultblob.Op) {
		parked <- op.Key
		<-gates[op.Key]
	})
	done := make(chan error, 2)
	start := func(key string) {
		go func() { done <- upload(t.Context(), faults.Open(), key, "x") }()
		require.Equal(t, key, <-parked)
	}
	start("a")
	start("b")
	require.Empty(t, faults.Trace())
	for _, key := range []string{"b", "a"} {
		close(gates[key])
		require.NoError(t, <-done)
	}
	require.Equal(t, "1 put b\n2 put a\n", faults.String())
}

func TestDamage(t *testing.T) {
	faults := faultblob.New(t, nil)
	faults.Replace("a", []byte("first"))
	faults.Replace("b", []byte("second"))
	clone := faults.Clone()
	faults.Swap("a", "b")
	faults.Flip("a", 1)
	faults.Truncate("b", 2)
	require.Equal(t, "qecond", string(faults.Read("a")))
	require.Equal(t, "fi", string(faults.Read("b")))
	faults.Remove("a")
	require.Equal(t, []string{"b"}, faults.Keys())
	require.Empty(t, faults.Trace())
	require.Equal(t, []string{"a", "b"}, clone.Keys())
	require.Equal(t, "first", string(clone.Read("a")))
}

func TestStaleListings(t *testing.T) {
	faults := faultblob.New(t, nil)
	b := faults.Open()
	for _, key := range []string{"c", "a", "b"} {
		require.NoError(t, upload(t.Context(), b, key, "body"))
	}
	for n, want := range [][]string{{"a", "b", "c"}, {"a", "c"}, {"c"}, nil, nil} {
		faults.Inject(func(faultblob.Op) faultblob.Fault {
			return faultblob.Fault{Kind: faultblob.Stale, At: int64(n)}
		})
		page, _, err := b.ListPage(t.Context(), blob.FirstPageToken, 10, nil)
		require.NoError(t, err)
		var keys []string
		for _, o := range page {
			keys = append(keys, o.Key)
		}
		require.Equal(t, want, keys, "without the last %d", n)
	}
}

func TestOpenReadersAreCounted(t *testing.T) {
	faults := faultblob.New(t, nil)
	faults.Replace("a", []byte("0123456789"))
	b := faults.Open()
	r, err := b.NewReader(t.Context(), "a", nil)
	require.NoError(t, err)
	require.Equal(t, 1, faults.Readers())
	faults.Inject(faultblob.From(1, faultblob.Fault{Kind: faultblob.Applied}))
	_, err = b.NewReader(t.Context(), "a", nil)
	require.ErrorIs(t, err, faultblob.ErrInjected)
	require.Equal(t, 1, faults.Readers())
	require.NoError(t, r.Close())
	require.Zero(t, faults.Readers())
}
