package objectio

import (
	"context"
	"fmt"
	"io"

	"gocloud.dev/blob"
)

// Put streams what produce writes into a new object and returns the stored size,
// which it asks storage for. The key must be unique to this call: that is why, when
// an upload fails and an object of exactly the produced size is found, it is ours.
//
// If produce fails, storage does, or ctx ends, nothing is visible. Produce runs in a
// goroutine of its own and must return when its writer fails or ctx ends; Put returns
// after it. A failed Put is repeated by the caller, under another key.
func (b *Bucket) Put(ctx context.Context, key string, produce func(w io.Writer) error) (size int64, err error) {
	u := newUpload(ctx, b.meter)
	defer u.watch.close()
	err = u.run(b, key, produce)
	if !u.complete {
		return 0, fail(ctx, "put", key, err)
	}
	size, sizeErr := b.Size(ctx, key)
	switch {
	case sizeErr == nil && size == u.size:
		return size, nil
	case sizeErr == nil && err != nil:
		return 0, &opError{op: "put", key: key, kind: ErrExist, cause: err}
	case sizeErr == nil:
		return 0, fail(ctx, "put", key, fmt.Errorf("%w: stored %d bytes of %d", ErrSize, size, u.size))
	case err == nil:
		return 0, fail(ctx, "put", key, sizeErr)
	}
	return 0, fail(ctx, "put", key, err)
}

// upload is the writing end of one streamed object. Its producer writes to it; the
// fields are read when the producer has returned.
type upload struct {
	reader   *io.PipeReader
	writer   *io.PipeWriter
	watch    *watch
	meter    *Meter
	size     int64 // bytes that storage took
	broken   bool  // storage stopped taking bytes
	complete bool  // storage took everything there was; else run has an error
}

func newUpload(ctx context.Context, m *Meter) *upload {
	r, w := io.Pipe()
	return &upload{reader: r, writer: w, watch: newWatch(ctx, uploadPatience), meter: m}
}

// run uploads the object while it is produced. Its error is that of whoever failed
// first.
func (u *upload) run(b *Bucket, key string, produce func(w io.Writer) error) error {
	produced := make(chan error, 1)
	go func() { produced <- u.produce(produce) }()
	b.meter.puts.Add(1)
	stored := b.blobs.Upload(u.watch.ctx, b.path(key), u.reader, streamOptions())
	u.reader.CloseWithError(io.ErrClosedPipe) // a producer that storage no longer listens to goes on to fail
	err := <-produced
	u.watch.end()
	u.complete = err == nil && !u.broken
	switch {
	case err != nil && !u.broken:
		return u.watch.why(err)
	case stored == nil && u.broken:
		return io.ErrShortWrite
	}
	return u.watch.why(stored)
}

// produce writes the object into the pipe. When that fails the upload is cancelled
// before the pipe ends: several drivers commit what they have when their reader
// fails, but none does when its context is over.
func (u *upload) produce(produce func(w io.Writer) error) error {
	err := produce(u)
	if err != nil {
		u.watch.close()
	}
	u.writer.CloseWithError(err)
	if err == nil {
		u.watch.begin() // what drivers still hold must leave in time
	}
	return err
}

// Write hands p to storage and returns when it was taken. The context is looked at
// here because not every driver does before its stream ends.
func (u *upload) Write(p []byte) (int, error) {
	if err := u.meter.pace(u.watch.ctx, len(p)); err != nil {
		return 0, err
	}
	u.watch.begin()
	n, err := u.writer.Write(p)
	u.watch.end()
	u.size += int64(n)
	u.broken = u.broken || err != nil
	return n, err
}

// partBytes times partsAtOnce is the memory that a driver may take for an upload.
const (
	partBytes   = 8 << 20
	partsAtOnce = 2
)

// streamOptions leave out ContentMD5, with which the Azure driver panics when an
// upload fails, and so do not protect the body in transit: the size and the hash
// that is in the manifest do.
func streamOptions() *blob.WriterOptions {
	return &blob.WriterOptions{
		ContentType:    "application/octet-stream",
		BufferSize:     partBytes,
		MaxConcurrency: partsAtOnce,
		IfNotExist:     true,
	}
}
