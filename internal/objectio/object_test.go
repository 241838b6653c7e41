package objectio_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

const digits = "0123456789"

// stored is a bucket with digits under "a", its faults, and a meter of its traffic.
func stored(t *testing.T) (*faultblob.Bucket, *objectio.Bucket, *objectio.Meter) {
	faults, meter := faultblob.New(t, nil), new(objectio.Meter)
	faults.Replace("a", []byte(digits))
	return faults, objectio.New(faults.Open(), "").With(meter), meter
}

func TestObjectRanges(t *testing.T) {
	t.Parallel()
	_, b, _ := stored(t)
	o := b.Object("a", int64(len(digits)))
	require.Equal(t, int64(10), o.Size())
	for off := range len(digits) {
		for n := range len(digits) - off {
			p := make([]byte, n)
			require.NoError(t, o.ReadAt(t.Context(), p, int64(off)))
			require.Equal(t, digits[off:off+n], string(p))
		}
	}
	for _, bad := range [][2]int64{{-1, 1}, {0, 11}, {10, 1}, {11, 0}, {0, -1}, {1<<63 - 1, 2}, {2, 1<<63 - 1}} {
		_, err := o.Stream(t.Context(), bad[0], bad[1])
		require.ErrorContains(t, err, `read "a": no range of `)
	}
}

// TestStreamOfACallerWhoLeft asks storage for nothing, for not every driver looks.
func TestStreamOfACallerWhoLeft(t *testing.T) {
	t.Parallel()
	faults, b, _ := stored(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Object("a", 10).ReadAt(ctx, make([]byte, 1), 0), context.Canceled)
	_, err := b.Get(ctx, "a", 10)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, faults.Trace())
}

// TestStreamResumes: wherever storage breaks off, reading goes on, as long as every
// reader brings something.
func TestStreamResumes(t *testing.T) {
	t.Parallel()
	for _, kind := range []faultblob.FaultKind{faultblob.Reset, faultblob.Truncated} {
		for at := int64(1); at < 10; at++ {
			synctest.Test(t, func(t *testing.T) {
				faults, b, meter := stored(t)
				faults.Inject(func(faultblob.Op) faultblob.Fault { return faultblob.Fault{Kind: kind, At: at} })
				r, err := b.Object("a", 10).Stream(t.Context(), 1, 9)
				require.NoError(t, err)
				body, err := io.ReadAll(r)
				require.NoError(t, err)
				require.Equal(t, digits[1:], string(body))
				require.NoError(t, r.Close())
				readers := (9 + at - 1) / at
				require.Equal(t, readers, meter.Gets())
				require.Equal(t, readers-1, meter.Retries())
			})
		}
	}
}

func TestStreamGivesUp(t *testing.T) {
	t.Parallel()
	for _, kind := range []faultblob.FaultKind{faultblob.Reset, faultblob.Truncated, faultblob.Lost, faultblob.Delayed} {
		synctest.Test(t, func(t *testing.T) {
			faults, b, meter := stored(t)
			faults.Inject(always(faultblob.Get, kind))
			err := b.Object("a", 10).ReadAt(t.Context(), make([]byte, 4), 0)
			require.ErrorContains(t, err, `read "a": `)
			require.Equal(t, int64(6), meter.Gets())
		})
	}
}

func TestStreamPermanentErrors(t *testing.T) {
	t.Parallel()
	faults, b, meter := stored(t)
	_, err := b.Object("b", 3).Stream(t.Context(), 0, 3)
	require.ErrorIs(t, err, objectio.ErrNotExist)
	_, err = b.Object("a", 11).Stream(t.Context(), 0, 3)
	require.ErrorIs(t, err, objectio.ErrSize)
	faults.Inject(always(faultblob.Get, faultblob.Denied))
	_, err = b.Object("a", 10).Stream(t.Context(), 0, 3)
	require.ErrorIs(t, err, objectio.ErrDenied)
	require.Equal(t, int64(3), meter.Requests())
}

// TestStreamIsPinned: what is read on is the object that was begun.
func TestStreamIsPinned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faults, b, _ := stored(t)
		faults.Inject(func(op faultblob.Op) faultblob.Fault {
			if op.N > 1 {
				faults.Replace("a", []byte(digits+digits))
			}
			return faultblob.Fault{Kind: faultblob.Reset, At: 4}
		})
		r, err := b.Object("a", 10).Stream(t.Context(), 0, 10)
		require.NoError(t, err)
		body, err := io.ReadAll(r)
		require.ErrorIs(t, err, objectio.ErrSize)
		require.Equal(t, digits[:4], string(body))
		require.NoError(t, r.Close())
	})
}

func TestStreamCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faults, b, _ := stored(t)
		ctx, cancel := context.WithCancel(t.Context())
		faults.Inject(always(faultblob.Get, faultblob.Reset))
		r, err := b.Object("a", 10).Stream(ctx, 0, 10)
		require.NoError(t, err)
		done := make(chan error)
		go func() { _, err := r.Read(make([]byte, 4)); done <- err }()
		synctest.Wait() // for its first rest
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		require.NoError(t, r.Close())
	})
}

func TestStreamClosed(t *testing.T) {
	t.Parallel()
	_, b, _ := stored(t)
	r, err := b.Object("a", 10).Stream(t.Context(), 0, 10)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	_, err = r.Read(make([]byte, 4))
	require.ErrorIs(t, err, fs.ErrClosed)
}

// mute answers every read, and then says nothing until its context ends. The first
// stalls of them do.
type mute struct {
	driver.Bucket
	stalls *int
}

func (mute) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.Unknown }

func (m mute) NewRangeReader(ctx context.Context, _ string, off, n int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	r := &muteReader{ctx: ctx, Reader: bytes.NewReader([]byte(digits)[off : off+n])}
	if *m.stalls--; *m.stalls < 0 {
		r.ctx = nil
	}
	return r, nil
}

type muteReader struct {
	*bytes.Reader
	ctx context.Context // nil: not mute
}

func (r *muteReader) Read(p []byte) (int, error) {
	if r.ctx != nil {
		<-r.ctx.Done()
		return 0, errors.New("aborted")
	}
	return r.Reader.Read(p)
}

func (r *muteReader) Close() error { return nil }
func (r *muteReader) As(any) bool  { return false }
func (r *muteReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{Size: int64(len(digits))}
}

// TestStreamStalls: a body that stands still is asked for again, and not for ever.
func TestStreamStalls(t *testing.T) {
	t.Parallel()
	for stalls, want := range map[int]string{1: "", 6: "no progress"} {
		synctest.Test(t, func(t *testing.T) {
			b := objectio.New(blob.NewBucket(mute{stalls: &stalls}), "")
			p := make([]byte, 4)
			err := b.Object("a", 10).ReadAt(t.Context(), p, 2)
			if want == "" {
				require.NoError(t, err)
				require.Equal(t, digits[2:6], string(p))
			} else {
				require.ErrorContains(t, err, want)
				require.NotErrorIs(t, err, context.Canceled)
			}
		})
	}
}
