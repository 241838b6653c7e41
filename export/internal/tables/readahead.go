package tables

import (
	"context"

	"github.com/cockroachdb/pebble/v2/objstorage"
)

// readAhead is how much of a table is read at once where it is read from end to end:
// Pebble's blocks are 4 KiB, and a system call costs as much as comparing their keys.
const readAhead = 128 << 10

// aheadReadable is a table file that is read in order.
type aheadReadable struct{ objstorage.Readable }

func (r aheadReadable) NewReadHandle(before objstorage.ReadBeforeSize) objstorage.ReadHandle {
	return &aheadHandle{ReadHandle: r.Readable.NewReadHandle(before), size: r.Size()}
}

// aheadHandle holds the bytes that follow those that were asked for last.
type aheadHandle struct {
	objstorage.ReadHandle
	size int64
	held []byte
	off  int64 // of held
}

func (h *aheadHandle) ReadAt(ctx context.Context, p []byte, off int64) error {
	n := int64(len(p))
	if n >= readAhead || off+n > h.size {
		return h.ReadHandle.ReadAt(ctx, p, off)
	}
	if off < h.off || off+n > h.off+int64(len(h.held)) {
		if h.held == nil {
			h.held = make([]byte, 0, readAhead)
		}
		h.held, h.off = h.held[:min(readAhead, h.size-off)], off
		if err := h.ReadHandle.ReadAt(ctx, h.held, off); err != nil {
			h.held = h.held[:0]
			return err
		}
	}
	copy(p, h.held[off-h.off:])
	return nil
}
