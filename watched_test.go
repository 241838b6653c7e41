package varve_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
)

// watched is a store that tells of each call before it is made, that may let calls
// fail, and that may lie about what it holds.
type watched struct {
	*memkv.Store
	call func(op string) // nil: nobody listens
	// fail decides of each call, before it takes effect and when it has, whether it
	// fails. nil: none does.
	fail func(op string, done bool) error
	edit func(span varve.Span, entries []export.Entry) []export.Entry // nil: it tells the truth
	open *atomic.Int64                                                // snapshots and cursors; nil: nobody counts
}

func (w *watched) opens(n int64) {
	if w.open != nil {
		w.open.Add(n)
	}
}

func (w *watched) calls(op string) {
	if w.call != nil {
		w.call(op)
	}
}

// step makes a call, or fails it.
func (w *watched) step(op string, do func() error) error {
	w.calls(op)
	if w.fail == nil {
		return do()
	}
	if err := w.fail(op, false); err != nil {
		return err
	}
	err := do()
	return cmp.Or(w.fail(op, true), err)
}

func (w *watched) Info(ctx context.Context) (info export.Info, err error) {
	err = w.step("info", func() (err error) {
		info, err = w.Store.Info(ctx)
		return err
	})
	return info, err
}

func (w *watched) Snapshots(ctx context.Context) (kept []export.SnapshotInfo, err error) {
	err = w.step("snapshots", func() (err error) {
		kept, err = w.Store.Snapshots(ctx)
		return err
	})
	return kept, err
}

func (w *watched) Release(ctx context.Context, name string) error {
	return w.step("release", func() error { return w.Store.Release(ctx, name) })
}

func (w *watched) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	s, err := opened(w, "snapshot", func() (export.Snapshot, error) { return w.Store.Snapshot(ctx, opts) })
	if err != nil {
		return nil, err
	}
	watching := watchedSnapshot{s, w}
	if differ, ok := s.(export.Differ); ok {
		return &watchedDiffer{watching, differ}, nil
	}
	return &watching, nil
}

// opened is what open opens; whoever is told that it failed has nothing to close.
func opened[C io.Closer](w *watched, op string, open func() (C, error)) (c C, err error) {
	isOpen := false
	err = w.step(op, func() (err error) {
		c, err = open()
		if isOpen = err == nil; isOpen {
			w.opens(1)
		}
		return err
	})
	if err != nil && isOpen {
		w.opens(-1)
		err = errors.Join(err, c.Close())
	}
	return c, err
}

func (w *watched) Ingest(ctx context.Context, opts export.IngestOptions) (export.Ingester, error) {
	w.calls("ingest")
	in, err := w.Store.Ingest(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &watchedIngester{in, w}, nil
}

type watchedSnapshot struct {
	export.Snapshot
	w *watched
}

func (s *watchedSnapshot) Partition(ctx context.Context, span export.Span, since export.Timestamp) (pieces []export.Partition, err error) {
	err = s.w.step("partition", func() (err error) {
		pieces, err = s.Snapshot.Partition(ctx, span, since)
		return err
	})
	return pieces, err
}

func (s *watchedSnapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	c, err := opened(s.w, "export", func() (export.Cursor, error) { return s.cursor(ctx, req) })
	if err != nil {
		return nil, err
	}
	return &watchedCursor{Cursor: c, w: s.w}, nil
}

func (s *watchedSnapshot) cursor(ctx context.Context, req export.Request) (export.Cursor, error) {
	if s.w.edit == nil {
		return s.Snapshot.Export(ctx, req)
	}
	entries, err := kvtest.Collect(ctx, s.Snapshot, req)
	return &listed{entries: s.w.edit(req.Span, entries)}, err
}

func (s *watchedSnapshot) Close() error {
	s.w.opens(-1)
	return s.w.step("close snapshot", s.Snapshot.Close)
}

// watchedDiffer is a snapshot that says what changes replaced.
type watchedDiffer struct {
	watchedSnapshot
	differ export.Differ
}

func (s *watchedDiffer) Changes(ctx context.Context, req export.Request) (export.Changes, error) {
	c, err := opened(s.w, "changes", func() (export.Changes, error) { return s.differ.Changes(ctx, req) })
	if err != nil {
		return nil, err
	}
	return &watchedChanges{watchedCursor{Cursor: c, w: s.w}, c}, nil
}

type watchedCursor struct {
	export.Cursor
	w   *watched
	err error
}

func (c *watchedCursor) Next() (ok bool) {
	err := c.w.step("next", func() error {
		ok = c.Cursor.Next()
		return nil
	})
	c.err = errors.Join(c.err, err)
	return ok && c.err == nil
}

func (c *watchedCursor) Err() error { return errors.Join(c.err, c.Cursor.Err()) }

func (c *watchedCursor) Close() error {
	c.w.opens(-1)
	return c.w.step("close cursor", c.Cursor.Close)
}

type watchedChanges struct {
	watchedCursor
	changes export.Changes
}

func (c *watchedChanges) Former() *export.Entry { return c.changes.Former() }

// listed is a cursor over a list.
type listed struct {
	entries []export.Entry
	next    int
}

func (l *listed) Next() bool {
	if l.next == len(l.entries) {
		return false
	}
	l.next++
	return true
}

func (l *listed) Entry() *export.Entry { return &l.entries[l.next-1] }
func (l *listed) Err() error           { return nil }
func (l *listed) Close() error         { return nil }

type watchedIngester struct {
	export.Ingester
	w *watched
}

func (in *watchedIngester) Load(ctx context.Context, span export.Span) (export.Loader, error) {
	in.w.calls("load")
	l, err := in.Ingester.Load(ctx, span)
	if err != nil {
		return nil, err
	}
	return &watchedLoader{l, in.w}, nil
}

func (in *watchedIngester) Commit(ctx context.Context) error {
	in.w.calls("commit")
	return in.Ingester.Commit(ctx)
}

type watchedLoader struct {
	export.Loader
	w *watched
}

func (l *watchedLoader) Add(e *export.Entry) error {
	l.w.calls("add")
	return l.Loader.Add(e)
}

func (l *watchedLoader) Finish() error {
	l.w.calls("finish")
	return l.Loader.Finish()
}
