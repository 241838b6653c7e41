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
	"github.com/varvekv/varve/internal/objectio"
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
	r.report.forget()
	workers := max(min(r.opts.Concurrency, len(tasks)), 1)
	e := &exporting{run: r, snapshot: s, queue: queue.New(r.number(tasks)), turns: make(chan struct{}, workers), tally: r.seen.tally(r.info.Order)}
	defer e.queue.Close()
	for _, p := range r.stock {
		e.take(p)
	}
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

// task exports one task of the queue, or what of it can be now.
func (e *exporting) task(ctx context.Context, t task) error {
	rest, err := e.exportTask(ctx, t)
	if err == nil {
		e.queue.Done()
		return nil
	}
	delay := e.opts.Locks.RetryDelay
	switch {
	case rest == nil:
		return err
	case locked(err) != nil:
		if err := e.postpone(rest, err); err != nil {
			return err
		}
	default:
		var again bool
		if delay, again = e.patience.next(); !again {
			return err
		}
		e.c.opts.Logger.Warn("export is tried again", "collection", e.c.name, "layer", e.layer.ID, "span", rest.span.String(), "in", delay, "error", err)
	}
	e.queue.Retry(e.number([]task{*rest})[0], delay)
	return nil
}

// keep notes what is stored.
func (e *exporting) keep(ctx context.Context, p portion) {
	e.patience.progress()
	e.take(p)
	e.saver.keep(ctx, p)
}

// take puts what is stored, by this process or another, with the rest.
func (e *exporting) take(p portion) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.report.stored(p.stats(e.layer.ID))
	e.out.files = append(e.out.files, p.files...)
	e.out.rows = append(e.out.rows, p.rows...)
	if e.tally != nil {
		e.tally.join(&tally{counts: p.counts})
	}
	if e.ledger != nil {
		e.ledger.join(p.sums)
	}
}

// behind is what is left of a task because of a lock.
type behind struct {
	task task
	lock error
}

// course is how a run finds out what it must write.
type course string

const (
	planned          course = ""          // as the store tells it
	comparedAnew     course = "chain"     // by comparison, for the store could not tell to the end
	fromTheBeginning course = "beginning" // all of it, for the store's past was changed
)

// exportOn takes a course, and exports what is not stored yet. What was written on another
// is named by nothing.
func (r *run) exportOn(ctx context.Context, by course) (*contents, error) {
	r.course = by
	tasks, err := r.planOn(ctx, by)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if tasks, err = r.resume(ctx, tasks); err != nil {
		return nil, err
	}
	return r.export(ctx, r.frozen, tasks)
}

func (r *run) planOn(ctx context.Context, by course) ([]task, error) {
	switch by {
	case comparedAnew:
		return r.planAnew(ctx, r.frozen)
	case fromTheBeginning:
		return r.planAll(ctx, r.frozen)
	}
	return r.plan(ctx, r.frozen)
}

// exportAnew exports without what the store knew of changes, which it could not tell to
// the end.
func (r *run) exportAnew(ctx context.Context, cause error) (*contents, error) {
	if r.changes != Checkpoints && r.changes != Revisions {
		return nil, cause
	}
	r.c.opts.Logger.Warn("base cannot be read", "collection", r.c.name, "layer", r.layer.ID, "base", r.layer.ParentID, "error", cause)
	return r.exportOn(ctx, comparedAnew)
}

func (r *run) planAnew(ctx context.Context, s export.Snapshot) ([]task, error) {
	r.told, r.segments, r.ledger = false, nil, nil
	again, err := r.planState(ctx, s, r.introduced, introduced)
	if err != nil {
		return nil, err
	}
	compared, err := r.planComparison(ctx, s)
	return append(again, compared...), err
}

// planAll plans everything from the beginning. Nothing older counts then.
func (r *run) planAll(ctx context.Context, s export.Snapshot) ([]task, error) {
	r.c.opts.Logger.Warn("store was written to in its past", "collection", r.c.name, "layer", r.layer.ID)
	r.introduced, r.kept, r.changes, r.chain = r.spans, nil, Everything, nil
	return r.planState(ctx, s, r.introduced, introduced)
}

// exportTask exports a task and keeps what is stored of it. If the rest may be exported later
// it is that, and why.
func (e *exporting) exportTask(ctx context.Context, t task) (rest *task, _ error) {
	select {
	case e.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	effort, done := e.vigil.working(PhaseExport, t.span)
	defer done()
	st := &stint{exporting: e, task: t, effort: effort, count: e.tally.part(), at: t.span.Start}
	behind, err := st.encode(ctx)
	<-e.turns
	if err == nil {
		defer st.writer.Abort()
		err = st.finish(ctx, behind)
	}
	switch {
	case err == nil && behind == nil:
		return nil, nil
	case err == nil:
		return &behind.task, behind.lock
	case locked(err) == nil && !objectio.Transient(err) || st.all:
		return nil, err
	}
	t.span.Start = st.at
	return &t, err
}

// ofState reports whether the task writes all that is in its span.
func (t *task) ofState() bool { return t.by == wholeState || t.by == introduced }

// digests reports whether what the task writes is all that its rows are of.
func (r *run) digests(t task) bool {
	return t.ofState() && len(t.tables) == 0 && !r.opts.RevisionHistory
}

// stint is the work on a task at one time.
type stint struct {
	*exporting
	task   task
	effort *effort
	writer *tallyWriter
	count  *tally // of what is not kept yet

	at    []byte      // where what is not kept begins
	all   bool        // there is nothing
	files []sink.File // of it, that are stored
	rows  int         // that are kept

	done sink.Result // what was stored and digested beside the writer
}

// encode gives all entries of the task to a writer, or those before a lock.
func (st *stint) encode(ctx context.Context) (rest *behind, err error) {
	r, s, t := st.run, st.snapshot, st.task
	tier := 0
	if len(t.tables) > 0 {
		tier = 1
	}
	opts := r.fileOptions(tier)
	opts.NoDigest = opts.NoDigest || !r.digests(t)
	opts.Name = func(file int) string {
		name := formatData(r.layer.Path, r.layer.ID, t.number, len(t.tables)+file)
		r.vigil.storing(st.effort, name)
		return name
	}
	if st.piecewise() {
		opts.Wrote = func(f sink.File) {
			r.wrote(f)
			st.stored(ctx, f)
		}
	}
	writer, err := sink.NewWriter(ctx, t.span, opts)
	if err != nil {
		return nil, err
	}
	w := &tallyWriter{Writer: writer, tally: st.count}
	st.writer = w
	defer func() {
		if err != nil {
			w.Abort()
		}
	}()
	switch {
	case t.by == toldChange:
		rest, err = r.exportChanges(ctx, s, t, w)
	case t.by == comparison:
		st.done.Rows, err = r.compareTask(ctx, s, t, w)
	case len(t.tables) > 0:
		st.done.Files, st.done.Rows, err = r.copyTables(ctx, s, t, w)
	default:
		rest, err = r.exportState(ctx, s, t, w)
	}
	return rest, err
}

// piecewise reports whether each file of the task can be kept by itself, for the rest can be
// exported by itself.
func (st *stint) piecewise() bool { return st.task.by != comparison && len(st.task.tables) == 0 }

// stored keeps what is stored up to the end of a file, unless something that was counted
// goes on behind it.
func (st *stint) stored(ctx context.Context, f sink.File) {
	st.files = append(st.files, f)
	at := f.Span.End
	if len(at) > 0 && !st.digests(st.task) && st.writer.Crosses(at) {
		return
	}
	st.keepUpTo(ctx, at)
}

func (st *stint) keepUpTo(ctx context.Context, at []byte) {
	p := portion{span: Span{Start: st.at, End: at}, by: st.task.by, files: st.files, rows: st.newRows(at), counts: st.count.flush()}
	if st.writer.part != nil {
		p.sums = st.writer.part.take()
	}
	st.at, st.all, st.files = at, len(at) == 0, nil
	st.keep(ctx, p)
}

// newRows are those before at that are not kept yet.
func (st *stint) newRows(at []byte) []digest.Row {
	var all []digest.Row
	switch {
	case st.writer.live != nil:
		st.writer.live.cut(at)
		all = st.writer.live.rower.Rows()
	case st.digests(st.task):
		all = st.writer.Rows()
	}
	rows := all[st.rows:]
	st.rows = len(all)
	return rows
}

// finish ends the last file and keeps what is not kept yet, up to a lock.
func (st *stint) finish(ctx context.Context, rest *behind) error {
	result, err := st.writer.Finish()
	if err != nil {
		return err
	}
	end := st.task.span.End
	if rest != nil {
		end = rest.task.span.Start
	}
	if !st.piecewise() {
		p := portion{span: Span{Start: st.at, End: end}, by: st.task.by, files: append(st.done.Files, result.Files...), counts: st.count.flush()}
		if !st.opts.NoDigest {
			p.rows = st.done.Rows
		}
		st.keep(ctx, p)
		return nil
	}
	if left := (Span{Start: st.at, End: end}); !st.all && !left.IsEmpty(st.info.Order) {
		st.keepUpTo(ctx, end)
	}
	return nil
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

// exportState writes what is in the span of a task.
func (r *run) exportState(ctx context.Context, s export.Snapshot, t task, w *tallyWriter) (rest *behind, err error) {
	if t.by == introduced {
		if err := r.cutOlder(t.span, w); err != nil {
			return nil, err
		}
	}
	req := export.Request{Span: t.span, Revisions: r.opts.RevisionHistory, Locks: t.policy()}
	cursor, err := r.read(ctx, s, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cursor.Close()) }()
	var count func(e *export.Entry) error
	if req.Revisions && !r.opts.NoDigest {
		w.live = newLiveRows(r.info, t.span.Start, min(digest.RowBytes, r.opts.TargetFileBytes))
		count = func(e *export.Entry) error {
			w.live.add(e)
			return nil
		}
	}
	err = r.copy(w, r.paced(ctx, r.guard(cursor, req)), count)
	if rest = r.split(&t, w, err); rest != nil {
		err = nil
	}
	return rest, err
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

// exportTold writes changes and counts them, for the ledger once they are stored. Of a key with several revisions the newest
// one counts. Where a range reaches beyond a lock nothing was counted, for the whole task
// is tried again.
func (r *run) exportTold(ctx context.Context, s export.Snapshot, t task, req export.Request, w *tallyWriter) (rest *behind, err error) {
	changes, err := r.readChanges(ctx, s, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, changes.Close()) }()
	w.part = r.ledger.part()
	order := r.info.Order.WithDefaults()
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
		return count(w.part, e, changes.Former())
	})
	if l := locked(err); l != nil && order.Compare(reach, l.Key[:order.Split(l.Key)]) <= 0 {
		if rest = r.split(&t, w, err); rest != nil {
			err = nil
		}
	}
	return rest, err
}

// copy writes entries, and counts each once it is written: a file that it ends has what was
// counted before. Deletes that a DeleteRange beside them
// covers are counted only.
func (r *run) copy(w *tallyWriter, entries export.Cursor, count func(*export.Entry) error) error {
	order := r.info.Order.WithDefaults()
	var gone []byte // end of the last DeleteRange
	for entries.Next() {
		e := entries.Entry()
		if e.Kind == export.DeleteRange && order.Compare(gone, e.End) < 0 {
			gone = append(gone[:0], e.End...)
		}
		if e.Kind != export.Delete || r.info.Revisions || order.Compare(e.Key, gone) >= 0 {
			if err := w.Add(e); err != nil {
				return err
			}
		}
		if count != nil {
			if err := count(e); err != nil {
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

func (r *run) wrote(f sink.File) {
	r.vigil.progress()
	r.draft.wrote(f)
}

func fileInfo(f sink.File) FileInfo {
	return FileInfo{Path: f.Path, Span: f.Span, StoredBytes: f.Size, LogicalBytes: f.Counts.LogicalBytes}
}
