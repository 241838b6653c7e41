package objectio_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/varvekv/varve/internal/objectio"
)

// leaky puts secrets into its errors, as HTTP clients do.
type leaky struct {
	driver.Bucket
	err  error
	code gcerrors.ErrorCode
}

func (l leaky) ErrorCode(error) gcerrors.ErrorCode { return l.code }
func (l leaky) Attributes(context.Context, string) (*driver.Attributes, error) {
	return nil, l.err
}

// TestErrorsKeepSecrets (I12): neither the error nor anything it unwraps to prints
// what signs a request; the cause is still there for errors.Is and errors.As.
func TestErrorsKeepSecrets(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	for _, text := range []string{
		"https://h.example/b/a?X-Amz-Signature=SECRET&x=1",
		"https://acct.example/c/a?sv=1&sig=SECRET%2B%3D#SECRET=1",
		"https://user:SECRET@h.example/b/a",
		"/b/a?token=SECRET",
	} {
		cause := &url.Error{Op: "Head", URL: text, Err: gone}
		b := objectio.New(blob.NewBucket(leaky{err: cause, code: gcerrors.NotFound}), "")
		_, err := b.Size(t.Context(), "a")
		for _, printed := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", errors.Unwrap(err))} {
			require.NotContains(t, printed, "SECRET")
		}
		require.Regexp(t, `^size "a": .*Head ".*/a": gone$`, err.Error())
		require.ErrorIs(t, err, gone)
		require.ErrorIs(t, err, objectio.ErrNotExist)
		require.NotErrorIs(t, err, objectio.ErrDenied)
		var found *url.Error
		require.ErrorAs(t, err, &found)
	}
}

// TestErrorOfDoneContext: a driver's own words for it do not hide the cancellation.
func TestErrorOfDoneContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := objectio.New(blob.NewBucket(leaky{err: errors.New("request aborted"), code: gcerrors.NotFound}), "")
	_, err := b.Size(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, objectio.ErrNotExist)
}

// TestWhatIsRepeated: only what may change by itself.
func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	for code, heads := range map[gcerrors.ErrorCode]int64{
		gcerrors.Unknown:            6,
		gcerrors.Internal:           6,
		gcerrors.ResourceExhausted:  6,
		gcerrors.Canceled:           6,
		gcerrors.DeadlineExceeded:   6,
		gcerrors.NotFound:           1,
		gcerrors.PermissionDenied:   1,
		gcerrors.InvalidArgument:    1,
		gcerrors.FailedPrecondition: 1,
		gcerrors.Unimplemented:      1,
	} {
		synctest.Test(t, func(t *testing.T) {
			meter := new(objectio.Meter)
			b := objectio.New(blob.NewBucket(leaky{err: errors.New("no"), code: code}), "").With(meter)
			begun := time.Now()
			_, err := b.Size(t.Context(), "a")
			require.Error(t, err)
			require.Equal(t, heads, meter.Heads(), "%v", code)
			require.LessOrEqual(t, time.Since(begun), 4*time.Second)
		})
	}
}

// TestFilePermission: a bucket of files has no code for it.
func TestFilePermission(t *testing.T) {
	t.Parallel()
	meter := new(objectio.Meter)
	b := objectio.New(blob.NewBucket(leaky{err: fs.ErrPermission, code: gcerrors.Unknown}), "").With(meter)
	_, err := b.Size(t.Context(), "a")
	require.ErrorIs(t, err, objectio.ErrDenied)
	require.Equal(t, int64(1), meter.Heads())
}
