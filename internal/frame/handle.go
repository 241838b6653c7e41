package frame

import (
	"context"
	"fmt"
	"io"
)

// Handle reads ranges of the plain bytes and keeps the frame it last used.
// Frames asked for in order come from one stream, others each from a ranged
// read. It is used by one goroutine.
type Handle struct {
	r       *Reader
	current int // number of the frame in plain; -1: none
	plain   []byte
	stored  []byte

	stream     io.ReadCloser
	streamNext int // number of the frame at which stream stands
}

// NewHandle makes a handle that must be closed.
func (r *Reader) NewHandle() *Handle { return &Handle{r: r, current: -1} }

// ReadAt fills p with the plain bytes from off.
func (h *Handle) ReadAt(ctx context.Context, p []byte, off int64) error {
	if off < 0 || off > h.r.Size()-int64(len(p)) {
		return fmt.Errorf("read of %d bytes at %d of %d: %w", len(p), off, h.r.Size(), io.ErrUnexpectedEOF)
	}
	for len(p) > 0 {
		i := h.r.index.find(off)
		if err := h.load(ctx, i); err != nil {
			return err
		}
		n := copy(p, h.plain[off-h.r.index[i].plainOffset:])
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (h *Handle) load(ctx context.Context, i int) error {
	if i == h.current {
		return nil
	}
	follows := i == h.current+1 && h.current >= 0
	h.current = -1
	if err := h.fetch(ctx, i, follows); err != nil {
		return err
	}
	h.current = i
	return nil
}

func (h *Handle) fetch(ctx context.Context, i int, follows bool) (err error) {
	f := h.r.index[i]
	if h.stream != nil && i != h.streamNext {
		if err := h.closeStream(); err != nil {
			return err
		}
	}
	if h.stream == nil && follows {
		if h.stream, err = h.r.src.Stream(ctx, f.storedOffset, h.r.index.framesEnd()-f.storedOffset); err != nil {
			return err
		}
		h.streamNext = i
	}
	if h.stream != nil {
		h.streamNext++
		h.stored, h.plain, err = h.r.next(h.stream, i, h.stored, h.plain)
		return err
	}
	h.plain, err = h.fetchAlone(ctx, i)
	return err
}

// fetchAlone reads frame i with a request of its own. With the first comes what stands
// before it, so that no byte of an object that is read whole stays unchecked.
func (h *Handle) fetchAlone(ctx context.Context, i int) ([]byte, error) {
	f, before := h.r.index[i], 0
	if i == 0 {
		before = len(h.r.magic)
	}
	if n := before + int(f.stored); cap(h.stored) < n {
		h.stored = make([]byte, max(n, int(h.r.largest)))
	}
	buf := h.stored[:before+int(f.stored)]
	if err := h.r.src.ReadAt(ctx, buf, f.storedOffset-int64(before)); err != nil {
		return h.plain, fmt.Errorf("read frame %d: %w", i, err)
	}
	if err := h.r.checkMagic(buf[:before]); i == 0 && err != nil {
		return h.plain, err
	}
	return h.r.check(h.plain, buf[before:], i)
}

func (h *Handle) closeStream() error {
	s := h.stream
	h.stream = nil
	if s == nil {
		return nil
	}
	return s.Close()
}

// Close ends the handle. A second Close does nothing.
func (h *Handle) Close() error {
	err := h.closeStream()
	h.r, h.plain, h.stored = nil, nil, nil
	return err
}
