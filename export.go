package varve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/sink"
)

// export writes the tasks' files, several at a time. The first error ends all.
//
// Concurrency bounds how many tasks read and encode. If it is not 1, as many again
// may wait for storage to take the end of their file, so that no processor does.
func (r *run) export(ctx context.Context, s export.Snapshot, tasks []task) (*contents, error) {
	r.report.begin(PhaseExport, bytesOf(tasks))
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
	order := r.info.Order.WithDefaults()
	slices.SortStableFunc(out.files, func(a, b sink.File) int {
		return cmp.Or(a.Tier-b.Tier, order.Compare(a.Span.Start, b.Span.Start))
	})
	slices.SortStableFunc(out.rows, func(a, b digest.Row) int { return order.Compare(a.Start, b.Start) })
	return out, nil
}

// exportAnew exports without the base, which could not be read to its end. What was
// written so far is named by nothing, and its names are not used again.
func (r *run) exportAnew(ctx context.Context, s export.Snapshot, tasks []task, cause error) (*contents, error) {
	if r.changes != Checkpoints {
		return nil, cause
	}
	r.c.opts.Logger.Warn("base cannot be read", "collection", r.c.name, "layer", r.layer.ID, "base", r.layer.ParentID, "error", cause)
	r.spent += len(tasks)
	r.told, r.segments, r.ledger = false, nil, nil
	again, err := r.planState(ctx, s, r.introduced, introduced)
	if err != nil {
		return nil, err
	}
	compared, err := r.planComparison(ctx, s)
	if err != nil {
		return nil, err
	}
	return r.export(ctx, s, append(again, compared...))
}

func (r *run) exportTask(ctx context.Context, s export.Snapshot, n int, t task, turns chan struct{}) (sink.Result, error) {
	select {
	case turns <- struct{}{}:
	case <-ctx.Done():
		return sink.Result{}, ctx.Err()
	}
	w, done, err := r.encodeTask(ctx, s, n, t)
	<-turns
	if err != nil {
		return sink.Result{}, err
	}
	defer w.Abort()
	result, err := w.Finish()
	result.Files = append(done.Files, result.Files...)
	if !t.digests() && !r.opts.NoDigest {
		result.Rows = done.Rows
	}
	return result, err
}

// digests reports whether what the task writes is all that its rows are of.
func (t *task) digests() bool {
	return (t.by == wholeState || t.by == introduced) && len(t.tables) == 0
}

// encodeTask gives all entries of the task to a writer. After an error nothing is left
// of it. What was stored and digested beside the writer is done.
func (r *run) encodeTask(ctx context.Context, s export.Snapshot, n int, t task) (_ *sink.Writer, done sink.Result, err error) {
	tier := 0
	if len(t.tables) > 0 {
		tier = 1
	}
	opts := r.fileOptions(tier)
	opts.NoDigest = opts.NoDigest || !t.digests()
	opts.Name = func(file int) string { return formatData(r.layer.Path, r.layer.ID, r.spent+n, len(t.tables)+file) }
	w, err := sink.NewWriter(ctx, t.span, opts)
	if err != nil {
		return nil, done, err
	}
	defer func() {
		if err != nil {
			w.Abort()
		}
	}()
	switch t.by {
	case toldChange:
		err = r.exportChanges(ctx, s, t.span, w)
	case comparison:
		done.Rows, err = r.compareTask(ctx, s, t, w)
	case introduced:
		if err = r.cutOlder(t.span, w); err == nil {
			err = r.exportState(ctx, s, t.span, w)
		}
	default:
		if len(t.tables) > 0 {
			done.Files, done.Rows, err = r.copyTables(ctx, s, n, t, w)
		} else {
			err = r.exportState(ctx, s, t.span, w)
		}
	}
	return w, done, err
}

// fileOptions are those of files of a tier.
func (r *run) fileOptions(tier int) sink.Options {
	overlay := sink.Bottom
	if r.parent != nil || tier > 0 {
		overlay = sink.Above
	}
	return sink.Options{
		Bucket: r.bucket.Bucket, Form: r.form(), Layer: r.layer.ID, Tier: tier, Overlay: overlay,
		Compression: codecs[r.opts.Compression], TargetBytes: r.opts.TargetFileBytes, NoDigest: r.opts.NoDigest,
		Wrote: r.wrote,
	}
}

// cutOlder hides what older layers have in a span that is introduced. Readers leave
// that out by themselves, and must where the span has no end to name; tables that are
// linked over others carry it with them. Revisions have no such form: their order is
// that of timestamps.
func (r *run) cutOlder(span Span, w *sink.Writer) error {
	if r.info.Revisions || len(span.End) == 0 {
		return nil
	}
	for _, kind := range []export.Kind{export.DeleteRange, export.RangeKeyDelete} {
		if err := w.Add(&export.Entry{Kind: kind, Key: span.Start, End: span.End}); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) exportState(ctx context.Context, s export.Snapshot, span Span, w *sink.Writer) (err error) {
	cursor, err := s.Export(ctx, export.Request{Span: span})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cursor.Close()) }()
	return r.copy(w, r.paced(ctx, guard(cursor, r.info.Order, span)), nil)
}

// exportChanges writes what the store says has changed, and counts it in the ledger
// if it says what was replaced.
func (r *run) exportChanges(ctx context.Context, s export.Snapshot, span Span, w *sink.Writer) (err error) {
	req := export.Request{Span: span, Since: r.parent.End}
	if !r.told {
		cursor, err := s.Export(ctx, req)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, cursor.Close()) }()
		return r.copy(w, r.paced(ctx, guardChanges(cursor, r.info.Order, span)), nil)
	}
	changes, err := s.(export.Differ).Changes(ctx, req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, changes.Close()) }()
	part := r.ledger.part()
	defer part.done()
	return r.copy(w, r.paced(ctx, guardChanges(changes, r.info.Order, span)), func(e *export.Entry) error {
		return count(part, e, changes.Former())
	})
}

// copy writes entries, each counted before. Deletes that a DeleteRange beside them
// covers are counted only.
func (r *run) copy(w *sink.Writer, entries export.Cursor, count func(*export.Entry) error) error {
	order := r.info.Order.WithDefaults()
	var gone []byte // end of the last DeleteRange
	for entries.Next() {
		e := entries.Entry()
		if count != nil {
			if err := count(e); err != nil {
				return err
			}
		}
		if e.Kind == export.DeleteRange && order.Compare(gone, e.End) < 0 {
			gone = append(gone[:0], e.End...)
		}
		if e.Kind != export.Delete || r.info.Revisions || order.Compare(e.Key, gone) >= 0 {
			if err := w.Add(e); err != nil {
				return err
			}
		}
	}
	return entries.Err()
}

// count accounts for a change: what it replaced is gone, and what it is is there.
func count(ledger *rowPart, e, former *export.Entry) error {
	if former != nil {
		if err := ledger.remove(former); err != nil {
			return err
		}
	}
	if e.Kind == export.Set || e.Kind == export.RangeKeySet {
		return ledger.add(e)
	}
	return nil
}

func (r *run) wrote(f sink.File) {
	r.c.opts.Logger.Debug("stored file", "path", f.Path, "bytes", f.Size)
	r.report.file(fileInfo(f))
}

func fileInfo(f sink.File) FileInfo {
	return FileInfo{Path: f.Path, Span: f.Span, StoredBytes: f.Size, LogicalBytes: f.Counts.LogicalBytes}
}
