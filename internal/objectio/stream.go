package objectio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"gocloud.dev/blob"
)

// stream reads a range of an object across as many readers as it takes.
type stream struct {
	ctx     context.Context // of the call that made the stream: every reader obeys it
	bucket  *Bucket
	op, key string

	size     int64 // of the object; unknownSize until the first reader tells
	off, end int64 // what is still to be read

	reader   *blob.Reader // nil: to be opened at off
	watch    *watch       // of reader
	failures int          // since the last byte
	err      error        // for good
}

const unknownSize = -1

// whole is the stream of an object whose size its first reader will tell.
func (b *Bucket) whole(ctx context.Context, op, key string) *stream {
	return &stream{ctx: ctx, bucket: b, op: op, key: key, size: unknownSize, end: unknownSize}
}

// Read reads on, and opens another reader where one breaks off.
func (s *stream) Read(p []byte) (int, error) {
	for {
		if err := s.ready(); err != nil || len(p) == 0 {
			return 0, err
		}
		if s.off == s.end {
			return 0, io.EOF
		}
		n, err := s.read(p[:min(int64(len(p)), s.end-s.off)])
		if n > 0 {
			return n, s.failed(s.bucket.meter.pace(s.ctx, n))
		}
		s.reopen(err)
	}
}

// ready opens a reader unless there is one or nothing is left to read.
func (s *stream) ready() error {
	for s.err == nil && s.reader == nil && s.off != s.end {
		if err := s.open(); err != nil {
			s.reopen(err)
		}
	}
	return s.err
}

// open asks for what is still to be read.
func (s *stream) open() error {
	if err := s.ctx.Err(); err != nil {
		return err // not every driver looks
	}
	length := int64(-1)
	if s.end != unknownSize {
		length = s.end - s.off
	}
	w := newWatch(s.ctx, s.bucket.retries.Patience)
	w.begin()
	s.bucket.meter.gets.Add(1)
	r, err := s.bucket.blobs.NewRangeReader(w.ctx, s.bucket.path(s.key), s.off, length, nil)
	w.end()
	if err != nil {
		w.close()
		return w.why(err)
	}
	s.reader, s.watch = r, w
	return s.pin(r.Size())
}

// pin holds the stream to one size: of an object that is written once, another size
// is another object.
func (s *stream) pin(size int64) error {
	if s.size == unknownSize && size >= 0 {
		s.size, s.end = size, size
	}
	if size != s.size || size < 0 {
		return fmt.Errorf("%w: %d bytes, expected %d", ErrSize, size, s.size)
	}
	return nil
}

// read reads once. After an error with bytes the next call gets the error without.
func (s *stream) read(p []byte) (int, error) {
	s.watch.begin()
	n, err := s.reader.Read(p)
	s.watch.end()
	if n > 0 {
		s.off += int64(n)
		s.failures = 0
		return n, nil
	}
	switch {
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	case err == nil:
		err = io.ErrNoProgress
	}
	return 0, s.watch.why(err)
}

// reopen gives the reader up. The next one starts at the same byte, after a rest; or
// the stream ends with err.
func (s *stream) reopen(err error) {
	s.release()
	if !transient(err) || !s.bucket.again(s.ctx, s.op, s.key, s.failures, err) {
		s.failed(err)
	}
	s.failures++
}

// failed ends the stream with err, if it is one.
func (s *stream) failed(err error) error {
	if err != nil && s.err == nil {
		s.err = fail(s.ctx, s.op, s.key, err)
	}
	return s.err
}

// first reads the n bytes that come first.
func (s *stream) first(n int64) ([]byte, error) {
	p := make([]byte, n)
	if _, err := io.ReadFull(s, p); err != nil {
		return nil, err
	}
	return p, nil
}

// release closes the reader, if there is one. Nothing depends on what that says.
func (s *stream) release() {
	if s.reader != nil {
		s.reader.Close()
		s.watch.close()
		s.reader = nil
	}
}

// Close ends the stream. A second Close does nothing.
func (s *stream) Close() error {
	s.release()
	s.failed(fs.ErrClosed)
	return nil
}
