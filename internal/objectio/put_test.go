package objectio_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

// always makes kind happen to every operation of op.
func always(op faultblob.Kind, kind faultblob.FaultKind) func(faultblob.Op) faultblob.Fault {
	return func(o faultblob.Op) faultblob.Fault {
		if o.Kind == op {
			return faultblob.Fault{Kind: kind}
		}
		return faultblob.Fault{}
	}
}

// long is produced text that is not sent whole.
var long = strings.Repeat("body", 2<<20)

// say produces text in two writes.
func say(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		for _, part := range []string{text[:len(text)/2], text[len(text)/2:]} {
			if _, err := io.WriteString(w, part); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestPut(t *testing.T) {
	t.Parallel()
	faults := faultblob.New(t, nil)
	meter := new(objectio.Meter)
	b := objectio.New(faults.Open(), "c/d").With(meter)
	for key, body := range map[string]string{"a": "", "b": "x", "c": strings.Repeat("0123456789abcdef", 1<<17)} {
		size, err := b.Put(t.Context(), key, say(body))
		require.NoError(t, err)
		require.Equal(t, int64(len(body)), size)
		require.Equal(t, body, string(faults.Read("c/d/"+key)))
	}
	require.Equal(t, "put 3, head 3", faults.Counts())
	require.Equal(t, int64(6), meter.Requests())
	require.Zero(t, meter.Retries())
}

func TestPutFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault        faultblob.FaultKind
		want         error
		small, large string // what was asked of storage
	}{
		{faultblob.Lost, faultblob.ErrInjected, "put 6, head 6", "put 1, head 1"},
		{faultblob.Applied, nil, "put 1, get 1, head 1", "put 1, head 1"},
		{faultblob.Repeated, nil, "put 1, get 1, head 1", "put 1, head 1"},
		{faultblob.Denied, objectio.ErrDenied, "put 1, head 1", "put 1, head 1"},
	} {
		for body, counts := range map[string]string{"body": test.small, long: test.large} {
			synctest.Test(t, func(t *testing.T) {
				faults := faultblob.New(t, nil)
				faults.Inject(always(faultblob.Put, test.fault))
				size, err := objectio.New(faults.Open(), "").Put(t.Context(), "a", say(body))
				require.ErrorIs(t, err, test.want)
				require.Equal(t, counts, faults.Counts())
				if test.want == nil {
					require.Equal(t, int64(len(body)), size)
				} else {
					require.Contains(t, err.Error(), `put "a": `)
					require.Empty(t, faults.Keys())
				}
			})
		}
	}
}

// TestPutAgain: what is sent whole is sent until it is there, and produced once. A
// stream is not.
func TestPutAgain(t *testing.T) {
	t.Parallel()
	for _, fault := range []faultblob.FaultKind{faultblob.Lost, faultblob.Delayed} {
		for body, want := range map[string]error{"body": nil, long[:objectio.WholeBytes]: nil, long[:objectio.WholeBytes+1]: faultblob.ErrInjected} {
			synctest.Test(t, func(t *testing.T) {
				faults := faultblob.New(t, nil)
				meter := new(objectio.Meter)
				faults.Inject(first(faultblob.Put, fault, fault))
				produced := 0
				_, err := objectio.New(faults.Open(), "").With(meter).Put(t.Context(), "a", func(w io.Writer) error {
					produced++
					return say(body)(w)
				})
				require.Equal(t, 1, produced)
				if want == nil {
					require.NoError(t, err)
					require.Equal(t, body, string(faults.Read("a")))
					require.Equal(t, int64(2), meter.Retries())
				} else {
					require.Error(t, err)
					require.Empty(t, faults.Keys())
				}
			})
		}
	}
}

// TestPutAgainFindsAnother: between two attempts somebody else took the key.
func TestPutAgainFindsAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faults := faultblob.New(t, nil)
		faults.Inject(func(op faultblob.Op) faultblob.Fault {
			if op.N == 3 {
				faults.Replace("a", []byte("another"))
			}
			return faultblob.Nth(1, faultblob.Fault{Kind: faultblob.Lost})(op)
		})
		_, err := objectio.New(faults.Open(), "").Put(t.Context(), "a", say("body"))
		require.ErrorIs(t, err, objectio.ErrExist)
		require.Equal(t, "another", string(faults.Read("a")))
	})
}

func TestPutOverAnother(t *testing.T) {
	t.Parallel()
	faults := faultblob.New(t, nil)
	faults.Replace("a", []byte("another"))
	_, err := objectio.New(faults.Open(), "").Put(t.Context(), "a", say("body"))
	require.ErrorIs(t, err, objectio.ErrExist)
	require.Equal(t, "another", string(faults.Read("a")))
}

// TestPutChecksTheSize: storage that reports success with half the object is found out.
func TestPutChecksTheSize(t *testing.T) {
	t.Parallel()
	faults := faultblob.New(t, nil)
	faults.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == faultblob.Head {
			faults.Truncate("a", 2)
		}
		return faultblob.Fault{}
	})
	_, err := objectio.New(faults.Open(), "").Put(t.Context(), "a", say("body"))
	require.ErrorIs(t, err, objectio.ErrSize)
	faults.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == faultblob.Head {
			faults.Remove("b")
		}
		return faultblob.Fault{}
	})
	_, err = objectio.New(faults.Open(), "").Put(t.Context(), "b", say("body"))
	require.ErrorIs(t, err, objectio.ErrNotExist)
}

// TestPutProducerFails leaves nothing, with drivers that commit when a reader fails.
func TestPutProducerFails(t *testing.T) {
	t.Parallel()
	onDrivers(t, func(t *testing.T, under *blob.Bucket) {
		broken := errors.New("the store broke")
		b := objectio.New(under, "")
		for _, half := range []string{"half", long} {
			_, err := b.Put(t.Context(), "a", func(w io.Writer) error {
				return errors.Join(say(half)(w), broken)
			})
			require.ErrorIs(t, err, broken)
			require.NotErrorIs(t, err, context.Canceled)
			_, err = b.Size(t.Context(), "a")
			require.ErrorIs(t, err, objectio.ErrNotExist)
		}
	})
}

func TestPutCancelled(t *testing.T) {
	t.Parallel()
	for _, produced := range []error{nil, errors.New("the producer noticed")} {
		for _, half := range []string{"half", long} {
			faults := faultblob.New(t, nil)
			ctx, cancel := context.WithCancel(t.Context())
			_, err := objectio.New(faults.Open(), "").Put(ctx, "a", func(w io.Writer) error {
				require.NoError(t, say(half)(w))
				cancel()
				_, err := w.Write([]byte("more"))
				require.ErrorIs(t, err, context.Canceled)
				return produced
			})
			require.ErrorIs(t, err, context.Canceled)
			require.Empty(t, faults.Keys())
		}
	}
}

// TestPutCancelledAfterCommit: the object may stay, success is not reported.
func TestPutCancelledAfterCommit(t *testing.T) {
	t.Parallel()
	faults := faultblob.New(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	faults.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == faultblob.Head {
			cancel()
		}
		return always(faultblob.Head, faultblob.Delayed)(op)
	})
	_, err := objectio.New(faults.Open(), "").Put(ctx, "a", say("body"))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, `put "a": size "a": `)
}

// refusing opens no writer.
type refusing struct{ driver.Bucket }

func (refusing) Close() error                       { return nil }
func (refusing) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.PermissionDenied }
func (refusing) NewTypedWriter(context.Context, string, string, *driver.WriterOptions) (driver.Writer, error) {
	return nil, errors.New("no")
}

func (refusing) Attributes(context.Context, string) (*driver.Attributes, error) {
	return nil, errors.New("no")
}

// TestPutStorageFailsFirst: the producer is released, and storage's error is told.
func TestPutStorageFailsFirst(t *testing.T) {
	t.Parallel()
	b := objectio.New(blob.NewBucket(refusing{}), "")
	for _, swallow := range []bool{false, true} {
		_, err := b.Put(t.Context(), "a", func(w io.Writer) error {
			if err := say(long)(w); !swallow {
				return err
			}
			return nil
		})
		require.ErrorIs(t, err, objectio.ErrDenied)
		require.NotErrorIs(t, err, io.ErrClosedPipe)
	}
}

// fragile accepts objects in one way only: others panic, as with some drivers they do.
type fragile struct {
	refusing
	opts  *driver.WriterOptions
	body  bytes.Buffer
	idle  bool // take no bytes
	hasty bool // take one byte and report success
	ctx   context.Context
}

func (f *fragile) NewTypedWriter(ctx context.Context, _, _ string, opts *driver.WriterOptions) (driver.Writer, error) {
	f.ctx, f.opts = ctx, opts
	return fragileWriter{f}, nil
}

func (f *fragile) Attributes(context.Context, string) (*driver.Attributes, error) {
	return &driver.Attributes{Size: int64(f.body.Len())}, nil
}

func (f *fragile) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.Unknown }

type fragileWriter struct{ f *fragile }

func (w fragileWriter) Write([]byte) (int, error) { panic("written to") }
func (w fragileWriter) Close() error              { return w.f.ctx.Err() }
func (w fragileWriter) Upload(r io.Reader) error {
	if w.f.idle {
		<-w.f.ctx.Done()
		return w.f.ctx.Err()
	}
	if w.f.hasty {
		r = io.LimitReader(r, 1)
	}
	_, err := w.f.body.ReadFrom(r)
	return err
}

// TestUploadOnly: Put and Create never take a driver's Write path, nor a checksum's.
func TestUploadOnly(t *testing.T) {
	t.Parallel()
	for _, put := range []func(*objectio.Bucket) error{
		func(b *objectio.Bucket) error { _, err := b.Put(t.Context(), "a", say("body")); return err },
		func(b *objectio.Bucket) error { _, err := b.Put(t.Context(), "a", say(long)); return err },
		func(b *objectio.Bucket) error { return b.Create(t.Context(), "a", []byte("body")) },
	} {
		f := new(fragile)
		require.NoError(t, put(objectio.New(blob.NewBucket(f), "")))
		require.Contains(t, []string{"body", long}, f.body.String())
		require.Empty(t, f.opts.ContentMD5)
		require.True(t, f.opts.IfNotExist)
		require.LessOrEqual(t, f.opts.BufferSize*f.opts.MaxConcurrency, 16<<20)
		require.Positive(t, f.opts.BufferSize*f.opts.MaxConcurrency)
	}
}

func TestPutIsCutShort(t *testing.T) {
	t.Parallel()
	for _, swallow := range []bool{false, true} {
		b := objectio.New(blob.NewBucket(&fragile{hasty: true}), "")
		_, err := b.Put(t.Context(), "a", func(w io.Writer) error {
			if err := say(long)(w); !swallow {
				return err
			}
			return nil
		})
		require.ErrorIs(t, err, io.ErrShortWrite)
	}
	_, err := objectio.New(blob.NewBucket(&fragile{hasty: true}), "").Put(t.Context(), "a", say("body"))
	require.ErrorIs(t, err, objectio.ErrSize)
}

// TestPutStalls: storage that stands still is given up, while the stream is written
// and when it has been; a producer that takes its time is not.
func TestPutStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		_, err := objectio.New(blob.NewBucket(&fragile{idle: true}), "").Put(t.Context(), "a", say(long))
		require.ErrorContains(t, err, "no progress")
		require.NotErrorIs(t, err, context.Canceled)
		require.Equal(t, 5*time.Minute, time.Since(begun))
	})
	synctest.Test(t, func(t *testing.T) {
		faults := faultblob.New(t, nil)
		faults.Inject(always(faultblob.Put, faultblob.Delayed))
		_, err := objectio.New(faults.Open(), "").Put(t.Context(), "a", say(long))
		require.ErrorContains(t, err, "no progress")
		require.Empty(t, faults.Keys())
	})
	synctest.Test(t, func(t *testing.T) {
		b := objectio.New(faultblob.New(t, nil).Open(), "")
		_, err := b.Put(t.Context(), "a", func(w io.Writer) error {
			err := say(long)(w)
			time.Sleep(time.Hour)
			return errors.Join(err, say(long)(w))
		})
		require.NoError(t, err)
	})
}
