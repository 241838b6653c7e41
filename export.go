package varve

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/queue"
	"github.com/varvekv/varve/sink"
)

// export writes the tasks' files, several at a time. The first error ends all.
//
// Concurrency bounds how many tasks read and encode. If it is not 1, as many again
// may wait for storage to take the end of their file, so that no processor does. What is
// behind a lock goes to the tail, and is tried again later.
func (r *run) export(ctx context.Context, s export.Snapshot, tasks []task) (*contents, error) {
	r.report.begin(PhaseExport, bytesOf(tasks))
	workers := max(min(r.opts.Concurrency, len(tasks)), 1)
	e := &exporting{run: r, snapshot: s, queue: queue.New(r.number(tasks)), turns: make(chan struct{}, workers), tally: r.seen.tally(r.info.Order)}
	defer e.queue.Close()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	if workers > 1 {
		g.SetLimit(2 * workers)
	}
	var ended error // of the queue, whose context is that of the group
	for {
		t, ok, err := e.queue.Next(gctx)
		if ended = err; !ok {
			break
		}
		g.Go(func() error {
			if err := e.task(gctx, t); err != nil {
				return fmt.Errorf("export %s: %w", t.span, denied("write", dataFolder+" of "+r.layer.Path, err))
			}
			return nil
		})
	}
	if err := cmp.Or(g.Wait(), ended); err != nil {
		return nil, err
	}
	r.report.end()
	order := r.info.Order.WithDefaults()
	slices.SortStableFunc(e.out.files, func(a, b sink.File) int {
		return cmp.Or(a.Tier-b.Tier, order.Compare(a.Span.Start, b.Span.Start))
	})
	slices.SortStableFunc(e.out.rows, func(a, b digest.Row) int { return order.Compare(a.Start, b.Start) })
	e.out.objects = r.seen.counted(e.tally)
	return &e.out, nil
}

// number gives tasks numbers, which name their files and are never used again.
func (r *run) number(tasks []task) []task {
	for i := range tasks {
		tasks[i].number = int(r.tasks.Add(1)) - 1
	}
	return tasks
}

// exporting is a run while it exports.
type exporting struct {
	*run
	snapshot export.Snapshot
	queue    *queue.Queue[task]
	turns    chan struct{}

	mu    sync.Mutex
	out   contents
	tally *tally
}

// task exports one task of the queue, or the part of it that comes before a lock.
func (e *exporting) task(ctx context.Context, t task) error {
	part := e.tally.part()
	result, rest, err := e.exportTask(ctx, e.snapshot, t, e.turns, part)
	if err == nil {
		e.mu.Lock()
		e.out.files = append(e.out.files, result.Files...)
		e.out.rows = append(e.out.rows, result.Rows...)
		e.tally.join(part)
		e.mu.Unlock()
	}
	switch {
	case err == nil && rest == nil:
		e.queue.Done()
		return nil
	case err != nil && locked(err) == nil:
		return err
	case rest == nil:
		rest = &behind{task: t, lock: err}
	}
	if err := e.postpone(&rest.task, rest.lock); err != nil {
		return err
	}
	e.queue.Retry(e.number([]task{rest.task})[0], e.opts.Locks.RetryDelay)
	return nil
}

// behind is what is left of a task because of a lock.
type behind struct {
	task task
	lock error
}

// exportAnew exports without what the store knew of changes, which it could not tell to
// the end. What was written so far is named by nothing.
func (r *run) exportAnew(ctx context.Context, s export.Snapshot, cause error) (*contents, error) {
	if r.changes != Checkpoints && r.changes != Revisions {
		return nil, cause
	}
	r.c.opts.Logger.Warn("base cannot be read", "collection", r.c.name, "layer", r.layer.ID, "base", r.layer.ParentID, "error", cause)
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

// exportAll exports everything from the beginning. Nothing older counts then.
func (r *run) exportAll(ctx context.Context, s export.Snapshot) (*contents, error) {
	r.c.opts.Logger.Warn("store was written to in its past", "collection", r.c.name, "layer", r.layer.ID)
	r.introduced, r.kept, r.changes, r.chain = r.spans, nil, Everything, nil
	tasks, err := r.planState(ctx, s, r.introduced, introduced)
	if err != nil {
		return nil, err
	}
	return r.export(ctx, s, tasks)
}

func (r *run) exportTask(ctx context.Context, s export.Snapshot, t task, turns chan struct{}, count *tally) (_ sink.Result, rest *behind, _ error) {
	select {
	case turns <- struct{}{}:
	case <-ctx.Done():
		return sink.Result{}, nil, ctx.Err()
	}
	w, done, rest, err := r.encodeTask(ctx, s, t, count)
	<-turns
	if err != nil {
		return sink.Result{}, nil, err
	}
	defer w.Abort()
	result, err := w.Finish()
	result.Files = append(done.Files, result.Files...)
	if !r.digests(t) && !r.opts.NoDigest {
		result.Rows = done.Rows
	}
	return result, rest, err
}

// ofState reports whether the task writes all that is in its span.
func (t *task) ofState() bool { return t.by == wholeState || t.by == introduced }

// digests reports whether what the task writes is all that its rows are of.
func (r *run) digests(t task) bool {
	return t.ofState() && len(t.tables) == 0 && !r.opts.RevisionHistory
}

// encodeTask gives all entries of the task to a writer, or those before a lock. After an
// error nothing is left of it. What was stored and digested beside the writer is done.
func (r *run) encodeTask(ctx context.Context, s export.Snapshot, t task, count *tally) (_ *tallyWriter, done sink.Result, rest *behind, err error) {
	tier := 0
	if len(t.tables) > 0 {
		tier = 1
	}
	opts := r.fileOptions(tier)
	opts.NoDigest = opts.NoDigest || !r.digests(t)
	opts.Name = func(file int) string { return formatData(r.layer.Path, r.layer.ID, t.number, len(t.tables)+file) }
	writer, err := sink.NewWriter(ctx, t.span, opts)
	if err != nil {
		return nil, done, nil, err
	}
	w := &tallyWriter{Writer: writer, tally: count}
	defer func() {
		if err != nil {
			w.Abort()
		}
	}()
	switch {
	case t.by == toldChange:
		rest, err = r.exportChanges(ctx, s, t, w)
	case t.by == comparison:
		done.Rows, err = r.compareTask(ctx, s, t, w)
	case len(t.tables) > 0:
		done.Files, done.Rows, err = r.copyTables(ctx, s, t, w)
	default:
		done.Rows, rest, err = r.exportState(ctx, s, t, w)
	}
	return w, done, rest, err
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
		Key: r.key, Wrote: r.wrote,
	}
}

// cutOlder hides what older layers have in a span that is introduced. Readers leave
// that out by themselves, and must where the span has no end to name; tables that are
// linked over others carry it with them. Revisions have no such form: their order is
// that of timestamps.
func (r *run) cutOlder(span Span, w *tallyWriter) error {
	if r.info.Revisions || len(span.End) == 0 {
		return nil
	}
	for _, kind := range []export.Kind{export.DeleteRange, export.RangeKeyDelete} {
		if err := w.Writer.Add(&export.Entry{Kind: kind, Key: span.Start, End: span.End}); err != nil { // not counted: it is no change
			return err
		}
	}
	return nil
}

// exportState writes what is in the span of a task, and is the rows of it where they are
// not the writer's.
func (r *run) exportState(ctx context.Context, s export.Snapshot, t task, w *tallyWriter) (_ []digest.Row, rest *behind, err error) {
	if t.by == introduced {
		if err := r.cutOlder(t.span, w); err != nil {
			return nil, nil, err
		}
	}
	req := export.Request{Span: t.span, Revisions: r.opts.RevisionHistory, Locks: t.policy()}
	cursor, err := r.read(ctx, s, req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, cursor.Close()) }()
	live := newLiveRows(r.info, t.span.Start, min(digest.RowBytes, r.opts.TargetFileBytes))
	var count func(e *export.Entry) error
	if req.Revisions && !r.opts.NoDigest {
		count = func(e *export.Entry) error {
			live.add(e)
			return nil
		}
	}
	err = r.copy(w, r.paced(ctx, r.guard(cursor, req)), count)
	if rest = r.split(&t, w, err); rest != nil {
		err = nil
	}
	return live.rows(t.span.End), rest, err
}

// split makes the task end before the lock that it has met, and is what comes after; nil
// if there is no lock or nothing comes before it, or if it is not known what.
func (r *run) split(t *task, w *tallyWriter, err error) *behind {
	l := locked(err)
	if l == nil {
		return nil
	}
	rest := &behind{task: *t, lock: err}
	rest.task.span.Start = slices.Clone(l.Key[:r.info.Order.WithDefaults().Split(l.Key)])
	if !w.EndAt(rest.task.span.Start) {
		return nil
	}
	t.span.End, rest.task.pushing = rest.task.span.Start, 0
	return rest
}

// exportChanges writes what the store says has changed, and counts it in the ledger
// if it says what was replaced.
func (r *run) exportChanges(ctx context.Context, s export.Snapshot, t task, w *tallyWriter) (rest *behind, err error) {
	req := export.Request{Span: t.span, Since: r.parent.End, Revisions: r.opts.RevisionHistory, Locks: t.policy()}
	if r.told {
		return r.exportTold(ctx, s, t, req, w)
	}
	cursor, err := r.read(ctx, s, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cursor.Close()) }()
	err = r.copy(w, r.paced(ctx, r.guard(cursor, req)), nil)
	if rest = r.split(&t, w, err); rest != nil {
		err = nil
	}
	return rest, err
}

// exportTold writes changes and counts them. Of a key with several revisions the newest
// one counts. Where a range reaches beyond a lock nothing was counted, for the whole task
// is tried again.
func (r *run) exportTold(ctx context.Context, s export.Snapshot, t task, req export.Request, w *tallyWriter) (rest *behind, err error) {
	changes, err := r.readChanges(ctx, s, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, changes.Close()) }()
	part, order := r.ledger.part(), r.info.Order.WithDefaults()
	var last, reach []byte // key of the point before, and farthest end of a range
	err = r.copy(w, r.paced(ctx, r.guard(changes, req)), func(e *export.Entry) error {
		if req.Revisions && !e.Kind.IsRange() {
			if last != nil && bytes.Equal(last, e.Key) {
				return nil
			}
			last = append(last[:0], e.Key...)
		}
		if e.Kind.IsRange() && order.Compare(reach, e.End) < 0 {
			reach = append(reach[:0], e.End...)
		}
		return count(part, e, changes.Former())
	})
	if l := locked(err); l != nil && order.Compare(reach, l.Key[:order.Split(l.Key)]) <= 0 {
		if rest = r.split(&t, w, err); rest != nil {
			err = nil
		}
	}
	if err == nil {
		part.done()
	}
	return rest, err
}

// copy writes entries, each counted before. Deletes that a DeleteRange beside them
// covers are counted only.
func (r *run) copy(w *tallyWriter, entries export.Cursor, count func(*export.Entry) error) error {
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

func (d *draft) wrote(f sink.File) {
	d.c.opts.Logger.Debug("stored file", "path", f.Path, "bytes", f.Size)
	d.report.file(fileInfo(f))
}

func fileInfo(f sink.File) FileInfo {
	return FileInfo{Path: f.Path, Span: f.Span, StoredBytes: f.Size, LogicalBytes: f.Counts.LogicalBytes}
}
