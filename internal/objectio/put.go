package objectio

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"gocloud.dev/blob"
)

// wholeBytes is how much of an object is held back. One that is no larger is sent
// whole, and sent again if that fails; a larger one cannot be.
const wholeBytes = 4 << 20

// Put stores what produce writes as a new object and returns the stored size, which it
// asks storage for. The key must be unique to this call: that is why, when an upload
// fails and an object of exactly the produced size is found, it is ours. One that is sent
// whole is also compared, and [ErrExist] if it is another.
//
// An object of up to 4 MiB is sent when produce has returned, as often as it takes. A
// larger one is streamed meanwhile, and its driver alone repeats what fails of it.
//
// If produce fails, storage does, or ctx ends, nothing is visible. Produce runs in a
// goroutine of its own and must return when its writer fails or ctx ends; Put returns
// after it.
func (b *Bucket) Put(ctx context.Context, key string, produce func(w io.Writer) error) (int64, error) {
	u := newUpload(ctx, b)
	defer u.watch.close()
	produced := make(chan error, 1)
	go func() { produced <- u.produce(produce) }()
	select {
	case err := <-produced:
		if err != nil {
			return 0, fail(ctx, "put", key, err)
		}
		return b.putWhole(ctx, key, bytes.Join(u.head, nil))
	case <-u.full:
		return b.putStream(ctx, key, u, produced)
	}
}

// putStream sends an object while it is produced.
func (b *Bucket) putStream(ctx context.Context, key string, u *upload, produced <-chan error) (int64, error) {
	err := u.run(b, key, produced)
	if !u.complete {
		return 0, fail(ctx, "put", key, err)
	}
	size, sizeErr := b.Size(ctx, key)
	return size, putError(ctx, key, err, u.size, size, sizeErr)
}

// putWhole sends an object that is in memory.
func (b *Bucket) putWhole(ctx context.Context, key string, body []byte) (int64, error) {
	for n := 0; ; n++ {
		err := b.createOnce(ctx, key, body)
		size, sizeErr := b.Size(ctx, key)
		if err != nil && sizeErr == nil && size == int64(len(body)) {
			if stored, readErr := b.Peek(ctx, key, size+1); readErr == nil && !bytes.Equal(stored, body) {
				return size, &opError{op: "put", key: key, kind: ErrExist, cause: err}
			}
		}
		if err == nil || !b.resend(ctx, key, n, err, sizeErr) {
			return size, putError(ctx, key, err, int64(len(body)), size, sizeErr)
		}
	}
}

// putError is what became of an upload of sent bytes that ended with err, when storage
// was then asked for the object's size.
func putError(ctx context.Context, key string, err error, sent, size int64, sizeErr error) error {
	switch {
	case sizeErr == nil && size == sent:
		return nil
	case sizeErr == nil && err != nil:
		return &opError{op: "put", key: key, kind: ErrExist, cause: err}
	case sizeErr == nil:
		return fail(ctx, "put", key, fmt.Errorf("%w: stored %d bytes of %d", ErrSize, size, sent))
	case err == nil:
		return fail(ctx, "put", key, sizeErr)
	}
	return fail(ctx, "put", key, err)
}

// upload is the writing end of one object. Its producer writes to it; the fields are
// read when the producer has returned.
type upload struct {
	head [][]byte      // what comes first
	held int           // bytes of it
	full chan struct{} // closed when there is more than fits into head, which then stays

	reader   *io.PipeReader // of what follows
	writer   *io.PipeWriter
	watch    *watch
	meter    *Meter
	flows    bool  // full is closed
	size     int64 // bytes that storage took of the stream
	broken   bool  // storage stopped taking bytes
	complete bool  // storage took everything there was; else run has an error
}

func newUpload(ctx context.Context, b *Bucket) *upload {
	r, w := io.Pipe()
	return &upload{
		full: make(chan struct{}), reader: r, writer: w,
		watch: newWatch(ctx, uploadPatience*b.retries.Patience), meter: b.meter,
	}
}

// run uploads the stream. Its error is that of whoever failed first.
func (u *upload) run(b *Bucket, key string, produced <-chan error) error {
	b.meter.puts.Add(1)
	body := io.MultiReader(readers(u.head), u.reader)
	stored := b.blobs.Upload(u.watch.ctx, b.path(key), body, streamOptions())
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

// produce writes the object. When that fails the upload is cancelled before the pipe
// ends: several drivers commit what they have when their reader fails, but none does
// when its context is over.
func (u *upload) produce(produce func(w io.Writer) error) error {
	err := produce(u)
	if err != nil {
		u.watch.close()
	}
	u.writer.CloseWithError(err)
	if err == nil && u.flows {
		u.watch.begin() // what drivers still hold must leave in time
	}
	return err
}

// Write keeps p, or hands it to storage and returns when it was taken. The context is
// looked at here because not every driver does before its stream ends.
func (u *upload) Write(p []byte) (int, error) {
	if !u.flows {
		if u.held+len(p) <= wholeBytes {
			u.hold(p)
			return len(p), u.watch.ctx.Err()
		}
		if err := u.flow(); err != nil {
			return 0, err
		}
	}
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

// maxPiece is the most that is allocated before it is needed.
const maxPiece = 256 << 10

// hold keeps p in pieces, so that nothing is moved when more comes. The buffers are not used
// again: drivers that have given up may still be sending them.
func (u *upload) hold(p []byte) {
	if n := len(u.head); n > 0 {
		last := &u.head[n-1]
		fits := min(len(p), cap(*last)-len(*last))
		*last = append(*last, p[:fits]...)
		u.held, p = u.held+fits, p[fits:]
	}
	if len(p) > 0 {
		u.head = append(u.head, append(make([]byte, 0, max(len(p), min(u.held, maxPiece))), p...))
		u.held += len(p)
	}
}

// readers reads pieces one after the other.
func readers(pieces [][]byte) io.Reader {
	all := make([]io.Reader, len(pieces))
	for i, p := range pieces {
		all[i] = bytes.NewReader(p)
	}
	return io.MultiReader(all...)
}

// flow begins to stream.
func (u *upload) flow() error {
	if err := u.meter.pace(u.watch.ctx, u.held); err != nil {
		return err
	}
	u.flows = true
	u.size = int64(u.held)
	close(u.full)
	return nil
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
