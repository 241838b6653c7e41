package varve

import (
	"cmp"
	"context"
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
		var failed int
		if failed, delay = e.patience.next(); failed == 0 {
			return err
		}
		e.report.retry(RetryInfo{Op: "export", Span: rest.span, Failed: failed, After: delay, Err: err})
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
