package sink_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// memory is a bucket in memory and the test's side of it.
func memory(t testing.TB) (*objectio.Bucket, *faultblob.Bucket) {
	faults := faultblob.New(t, nil)
	return objectio.New(faults.Open(), ""), faults
}

func name(n int) string { return fmt.Sprintf("data/%d.sst", n) }

// write writes entries as one span, everything unless opts say less.
func write(t testing.TB, bucket *objectio.Bucket, span export.Span, entries []export.Entry, opts sink.Options) sink.Result {
	t.Helper()
	w, err := begin(t.Context(), bucket, span, opts)
	require.NoError(t, err)
	defer w.Abort()
	for i := range entries {
		require.NoError(t, w.Add(&entries[i]))
	}
	r, err := w.Finish()
	require.NoError(t, err)
	return r
}

// begin makes a writer with defaults for tests.
func begin(ctx context.Context, bucket *objectio.Bucket, span export.Span, opts sink.Options) (*sink.Writer, error) {
	opts.Bucket = bucket
	if opts.Name == nil {
		opts.Name = name
	}
	if opts.Compression == 0 {
		opts.Compression = 1
	}
	if opts.TargetBytes == 0 {
		opts.TargetBytes = 128 << 20
	}
	return sink.NewWriter(ctx, span, opts)
}

// read is all entries of one file in span.
func read(ctx context.Context, bucket *objectio.Bucket, form sink.Form, f sink.File, span export.Span) (all []export.Entry, err error) {
	r, err := sink.Open(ctx, bucket, form, f)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	c, err := r.Cursor(ctx, span)
	if err != nil {
		return nil, err
	}
	for c.Next() {
		all = append(all, copyOf(c.Entry()))
	}
	return all, errors.Join(c.Err(), c.Close())
}

func copyOf(e *export.Entry) export.Entry {
	c := *e
	c.Key, c.End = slices.Clone(e.Key), slices.Clone(e.End)
	c.Suffix, c.Value = slices.Clone(e.Suffix), slices.Clone(e.Value)
	return c
}

// void is storage that keeps nothing but sizes, and can lie and fail.
type void struct {
	driver.Bucket // nil: what is not defined here is not called

	lie       int64 // added to every size that it tells
	failAfter int64 // bytes of an object after which writes fail; 0: never

	mu    sync.Mutex
	sizes map[string]int64
}

var errVoid = errors.New("the void is full")

func newVoid() *void { return &void{sizes: map[string]int64{}} }

func (v *void) open() *objectio.Bucket { return objectio.New(blob.NewBucket(v), "") }

func (v *void) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.InvalidArgument }
func (v *void) ErrorAs(error, any) bool            { return false }
func (v *void) As(any) bool                        { return false }
func (v *void) Close() error                       { return nil }

func (v *void) Attributes(_ context.Context, key string) (*driver.Attributes, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	size, ok := v.sizes[key]
	if !ok {
		return nil, errors.New("no such object")
	}
	return &driver.Attributes{Size: size + v.lie}, nil
}

func (v *void) NewTypedWriter(ctx context.Context, key, _ string, _ *driver.WriterOptions) (driver.Writer, error) {
	return &voidWriter{void: v, ctx: ctx, key: key}, nil
}

type voidWriter struct {
	void *void
	ctx  context.Context
	key  string
	size int64
}

func (w *voidWriter) Write(p []byte) (int, error) {
	if w.size += int64(len(p)); w.void.failAfter > 0 && w.size > w.void.failAfter {
		return 0, errVoid
	}
	return len(p), nil
}

func (w *voidWriter) Close() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	w.void.mu.Lock()
	defer w.void.mu.Unlock()
	w.void.sizes[w.key] = w.size
	return nil
}
