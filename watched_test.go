package varve_test

import (
	"context"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
)

// watched is a store that tells of each call before it is made, and that may lie
// about what it holds.
type watched struct {
	*memkv.Store
	call func(op string)                                              // nil: nobody listens
	edit func(span varve.Span, entries []export.Entry) []export.Entry // nil: it tells the truth
}

func (w *watched) calls(op string) {
	if w.call != nil {
		w.call(op)
	}
}

func (w *watched) Info(ctx context.Context) (export.Info, error) {
	w.calls("info")
	return w.Store.Info(ctx)
}

func (w *watched) Snapshots(ctx context.Context) ([]export.SnapshotInfo, error) {
	w.calls("snapshots")
	return w.Store.Snapshots(ctx)
}

func (w *watched) Release(ctx context.Context, name string) error {
	w.calls("release")
	return w.Store.Release(ctx, name)
}

func (w *watched) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	w.calls("snapshot")
	s, err := w.Store.Snapshot(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &watchedSnapshot{s, w}, nil
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

func (s *watchedSnapshot) Partition(ctx context.Context, span export.Span, since export.Timestamp) ([]export.Partition, error) {
	s.w.calls("partition")
	return s.Snapshot.Partition(ctx, span, since)
}

func (s *watchedSnapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	s.w.calls("export")
	if s.w.edit != nil {
		entries, err := kvtest.Collect(ctx, s.Snapshot, req)
		return &listed{entries: s.w.edit(req.Span, entries)}, err
	}
	c, err := s.Snapshot.Export(ctx, req)
	if err != nil {
		return nil, err
	}
	return &watchedCursor{c, s.w}, nil
}

func (s *watchedSnapshot) Close() error {
	s.w.calls("close snapshot")
	return s.Snapshot.Close()
}

type watchedCursor struct {
	export.Cursor
	w *watched
}

func (c *watchedCursor) Next() bool {
	c.w.calls("next")
	return c.Cursor.Next()
}

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
