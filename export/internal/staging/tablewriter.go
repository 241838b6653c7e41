package staging

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/tables"
)

var _ export.TableWriter = (*tableWriter)(nil)

// tableWriter receives a table as it is.
type tableWriter struct {
	ctx  context.Context // of the LoadTable call, which bounds the writer
	area *Area
	info export.TableInfo
	name string

	mu      sync.Mutex // against abandon
	file    vfs.File   // nil once it is closed
	written int64
	scratch []byte // a file may change what it is given to write, the caller's bytes not
}

func (w *tableWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.write(p)
	if err != nil {
		return n, fmt.Errorf("load table %s: %w", w.info.Span, err)
	}
	return n, nil
}

func (w *tableWriter) write(p []byte) (int, error) {
	if w.file == nil {
		return 0, export.ErrClosed
	}
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if w.written+int64(len(p)) > w.info.Bytes {
		return 0, fmt.Errorf("more than the %d bytes that were announced", w.info.Bytes)
	}
	w.scratch = append(w.scratch[:0], p...)
	n, err := w.file.Write(w.scratch)
	w.written += int64(n)
	return n, err
}

// Finish syncs the table and looks at its outermost keys.
func (w *tableWriter) Finish() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.finish(); err != nil {
		return fmt.Errorf("load table %s: %w", w.info.Span, err)
	}
	return nil
}

func (w *tableWriter) finish() error {
	if w.file == nil {
		return export.ErrClosed
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.written != w.info.Bytes {
		return fmt.Errorf("%d bytes were written, %d announced", w.written, w.info.Bytes)
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	file, s := w.file, w.area
	w.file = nil
	err := file.Close()
	if err == nil {
		err = tables.Check(w.ctx, s.fs, s.path(w.name), s.pebble, s.order, w.info)
	}
	if err == nil {
		err = s.finish(w, w.info.Span, w.info.Level, []string{w.name})
	}
	if err != nil {
		return errors.Join(err, w.forget())
	}
	return nil
}

// Abort removes what was written; the same table may be sent again. What cannot
// be removed goes with the staging folder.
func (w *tableWriter) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return
	}
	file := w.file
	w.file = nil
	_ = errors.Join(file.Close(), w.forget())
}

func (w *tableWriter) forget() error {
	s := w.area
	s.giveUp(w, w.info.Span, w.info.Level)
	return s.fs.Remove(s.path(w.name))
}

func (w *tableWriter) abandon() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	file := w.file
	w.file = nil
	return file.Close()
}
