package sink

import (
	"context"
	"errors"
	"io"

	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
)

// uploadBuffers is how many frames may wait for the network before the writer
// does; with the frame being filled and the one being compressed they are a
// writer's memory.
const uploadBuffers = 3

var errAborted = errors.New("aborted")

// upload is an object being stored while it is written. Its goroutine ends with
// finish or abort.
type upload struct {
	cancel context.CancelCauseFunc
	full   chan []byte // in order, closed at the end
	free   chan []byte
	done   chan struct{} // closed when size and err are set
	size   int64
	err    error
}

func startUpload(ctx context.Context, bucket *objectio.Bucket, key string) *upload {
	ctx, cancel := context.WithCancelCause(ctx)
	u := &upload{
		cancel: cancel,
		full:   make(chan []byte, uploadBuffers),
		free:   make(chan []byte, uploadBuffers),
		done:   make(chan struct{}),
	}
	for range uploadBuffers {
		u.free <- nil
	}
	go func() {
		defer close(u.done)
		u.size, u.err = bucket.Put(ctx, key, func(w io.Writer) error { return u.produce(ctx, w) })
	}()
	return u
}

func (u *upload) produce(ctx context.Context, w io.Writer) error {
	for {
		select {
		case b, ok := <-u.full:
			if !ok {
				return nil
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
			u.free <- b
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Write queues a copy of p. It fails as soon as the upload has failed.
func (u *upload) Write(p []byte) (int, error) {
	select {
	case b := <-u.free:
		if cap(b) < len(p) {
			b = make([]byte, 0, max(len(p), frame.PlainSize))
		}
		u.full <- append(b[:0], p...)
		return len(p), nil
	case <-u.done:
		if u.err == nil {
			u.err = io.ErrClosedPipe
		}
		return 0, u.err
	}
}

// finish waits until the object is stored, and returns its size.
func (u *upload) finish() (int64, error) {
	close(u.full)
	<-u.done
	u.cancel(nil)
	return u.size, u.err
}

// abort leaves no object, or one that nothing names.
func (u *upload) abort() {
	u.cancel(errAborted)
	<-u.done
}
