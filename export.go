package varve

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/sink"
)

// export writes the tasks' files, several at a time. The first error ends all.
//
// Concurrency bounds how many tasks read and encode. If it is not 1, as many again
// may wait for storage to take the end of their file, so that no processor does.
func (r *run) export(ctx context.Context, s export.Snapshot, tasks []task) (*contents, error) {
	var total int64
	for _, t := range tasks {
		total += t.bytes
	}
	r.report.begin(PhaseExport, total)
	results := make([]sink.Result, len(tasks))
	workers := max(min(r.opts.Concurrency, len(tasks)), 1)
	turns := make(chan struct{}, workers)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	if workers > 1 {
		g.SetLimit(2 * workers)
	}
	for i, t := range tasks {
		g.Go(func() (err error) {
			results[i], err = r.exportTask(gctx, s, i, t, turns)
			if err != nil {
				return fmt.Errorf("export %s: %w", t.span, denied("write", dataFolder+" of "+r.layer.Path, err))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	r.report.end()
	out := new(contents)
	for _, res := range results {
		out.files = append(out.files, res.Files...)
		out.rows = append(out.rows, res.Rows...)
	}
	return out, nil
}

func (r *run) exportTask(ctx context.Context, s export.Snapshot, n int, t task, turns chan struct{}) (sink.Result, error) {
	select {
	case turns <- struct{}{}:
	case <-ctx.Done():
		return sink.Result{}, ctx.Err()
	}
	w, err := r.encodeTask(ctx, s, n, t)
	<-turns
	if err != nil {
		return sink.Result{}, err
	}
	defer w.Abort()
	return w.Finish()
}

// encodeTask gives all entries of the task to a writer. After an error nothing is
// left of it.
func (r *run) encodeTask(ctx context.Context, s export.Snapshot, n int, t task) (_ *sink.Writer, err error) {
	w, err := sink.NewWriter(ctx, t.span, sink.Options{
		Bucket:      r.bucket.Bucket,
		Form:        sink.Form{Order: r.info.Order, Revisions: r.info.Revisions},
		Layer:       r.layer.ID,
		Compression: codecs[r.opts.Compression],
		TargetBytes: r.opts.TargetFileBytes,
		NoDigest:    r.opts.NoDigest,
		Name:        func(file int) string { return formatData(r.layer.Path, r.layer.ID, n, file) },
		Wrote:       r.wrote,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.Abort()
		}
	}()
	cursor, err := s.Export(ctx, export.Request{Span: t.span})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cursor.Close()) }()
	return w, r.copyState(w, guard(cursor, r.info.Order, t.span))
}

// progressBytes is how many bytes pass between two reports of a task.
const progressBytes = 1 << 20

func (r *run) copyState(w *sink.Writer, cursor export.Cursor) error {
	var unreported int64
	for cursor.Next() {
		e := cursor.Entry()
		if err := w.Add(e); err != nil {
			return err
		}
		if unreported += e.Size(); unreported >= progressBytes {
			r.report.add(unreported)
			unreported = 0
		}
	}
	r.report.add(unreported)
	return cursor.Err()
}

func (r *run) wrote(f sink.File) {
	r.c.opts.Logger.Debug("stored file", "path", f.Path, "bytes", f.Size)
	r.report.file(fileInfo(f))
}

func fileInfo(f sink.File) FileInfo {
	return FileInfo{Path: f.Path, Span: f.Span, StoredBytes: f.Size, LogicalBytes: f.Counts.LogicalBytes}
}
