package varve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varvekv/varve/export"
)

// task is a piece of work that one worker does alone.
type task struct {
	number   int // names its files
	span     Span
	bytes    int64 // estimate
	by       method
	segments []segment      // of span, to compare
	tables   []export.Table // in span, to be copied as they are
	cuts     [][]byte       // where parts of span begin that have none of them
	pushes   bool           // locks in span are pushed
	pushing  time.Duration  // for how long they were, and stayed
}

// method is how what a task writes is found.
type method int

const (
	wholeState method = iota // everything, onto nothing or over tables
	introduced               // everything, in the place of whatever was there
	toldChange               // what the store says has changed
	comparison               // what differs from the chain
)

const (
	// minTaskBytes keeps tasks, and so files, from being tiny; those of changes are
	// dearer, byte for byte.
	minTaskBytes   = 16 << 20
	minChangeBytes = 1 << 20
	// tasksPerWorker is how finely work is cut, so that workers end together; changes,
	// of which there are few, make fewer files.
	tasksPerWorker   = 8
	changesPerWorker = 2
)

// plan cuts the work into tasks: what was introduced, and what changed of the rest.
func (r *run) plan(ctx context.Context, s export.Snapshot) ([]task, error) {
	if r.parent == nil {
		return r.planState(ctx, s, r.spans, wholeState)
	}
	tasks, err := r.planState(ctx, s, r.introduced, introduced)
	if err != nil {
		return nil, err
	}
	changes, err := r.planChanges(ctx, s)
	return append(tasks, changes...), err
}

// planState cuts the spans as the snapshot partitions them, and joins neighbours
// until a task is worth a file: an eighth of a worker's share, at least 16 MiB and
// at most twice what a file may hold.
func (r *run) planState(ctx context.Context, s export.Snapshot, spans []Span, by method) ([]task, error) {
	var pieces []task
	for _, span := range spans {
		var tables []export.Table
		if by == wholeState {
			var err error
			if tables, err = r.tables(ctx, s, span); err != nil {
				return nil, err
			}
		}
		part, err := r.around(ctx, s, span, tables)
		if err != nil {
			return nil, err
		}
		pieces, r.copies = append(pieces, part...), r.copies || len(tables) > 0
	}
	return r.join(pieces, tasksPerWorker, minTaskBytes, by), nil
}

// planChanges asks the store for what changed. One that cannot tell is compared
// with the chain; but a store that keeps revisions, and has not forgotten any, cannot
// tell where spans were loaded with revisions of before: those are introduced.
func (r *run) planChanges(ctx context.Context, s export.Snapshot) ([]task, error) {
	if r.info.Lineage != r.parent.Lineage {
		return r.planComparison(ctx, s)
	}
	loaded := r.info.Revisions && r.info.Oldest.Compare(r.parent.End) <= 0
	var pieces []task
	var again []Span
	for _, span := range r.kept {
		part, err := r.partition(ctx, s, span, r.parent.End)
		if errors.Is(err, export.ErrNoBase) && loaded {
			var unknown []Span
			part, unknown, err = r.partitionKnown(ctx, s, span)
			again = append(again, unknown...)
		}
		if errors.Is(err, export.ErrNoBase) {
			r.c.opts.Logger.Info("store is compared with the chain", "collection", r.c.name, "layer", r.layer.ID, "reason", err)
			return r.planComparison(ctx, s)
		}
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, part...)
	}
	r.changes = Checkpoints
	if r.info.Revisions {
		r.changes = Revisions
	}
	tasks, err := r.introduce(ctx, s, again)
	if err != nil {
		return nil, err
	}
	return append(tasks, r.join(pieces, changesPerWorker, minChangeBytes, toldChange)...), r.openLedger(ctx, s)
}

// partitionKnown cuts a span as the snapshot does, and finds the pieces of which the store
// cannot tell changes. If that is because it has forgotten them by now, it is ErrNoBase.
func (r *run) partitionKnown(ctx context.Context, s export.Snapshot, span Span) (known []task, unknown []Span, err error) {
	all, err := r.partition(ctx, s, span, Timestamp{})
	if err != nil {
		return nil, nil, err
	}
	for _, p := range all {
		part, err := r.partition(ctx, s, p.span, r.parent.End)
		switch {
		case errors.Is(err, export.ErrNoBase):
			unknown = append(unknown, p.span)
		case err != nil:
			return nil, nil, err
		}
		known = append(known, part...)
	}
	now, err := r.targets.store.Info(ctx)
	if err == nil && now.Oldest.Compare(r.parent.End) > 0 {
		err = fmt.Errorf("history at %s is gone: %w", r.parent.End, export.ErrNoBase)
	}
	return known, unknown, err
}

// introduce exports spans from the beginning that the parent has, too.
func (r *run) introduce(ctx context.Context, s export.Snapshot, spans []Span) ([]task, error) {
	if len(spans) == 0 {
		return nil, nil
	}
	order := r.info.Order
	r.kept = subtractSpans(order, r.kept, spans)
	r.introduced = uniteSpans(order, r.introduced, spans)
	r.c.opts.Logger.Info("spans were loaded with revisions of before", "collection", r.c.name, "layer", r.layer.ID, "spans", fmt.Sprint(spans))
	return r.planState(ctx, s, spans, introduced)
}

// partition cuts a span as the snapshot does.
func (r *run) partition(ctx context.Context, s export.Snapshot, span Span, since Timestamp) ([]task, error) {
	partitions, err := s.Partition(ctx, span, since)
	if err != nil {
		return nil, err
	}
	if err := checkPartitions(r.info.Order, span, partitions); err != nil {
		return nil, err
	}
	pieces := make([]task, len(partitions))
	for i, p := range partitions {
		pieces[i] = task{span: p.Span, bytes: p.Bytes}
	}
	return pieces, nil
}

func bytesOf(tasks []task) (total int64) {
	for _, t := range tasks {
		total += t.bytes
	}
	return total
}

// join makes tasks of pieces.
func (r *run) join(pieces []task, perWorker, least int64, by method) []task {
	limit := max(bytesOf(pieces)/int64(r.opts.Concurrency)/perWorker, least)
	limit += limit / 4 // pieces are about equal, and seldom exactly
	if r.opts.TargetFileBytes < limit/2 {
		limit = 2 * r.opts.TargetFileBytes
	}
	tasks := joinTasks(pieces, r.spans, r.info.Order, limit)
	for i := range tasks {
		tasks[i].by = by
	}
	return tasks
}

// checkPartitions says where partitions do not tile the span: a gap would lose what
// lies in it.
func checkPartitions(order *export.Order, span Span, partitions []export.Partition) error {
	cmp := order.WithDefaults().Compare
	at := span.Start
	for i, p := range partitions {
		switch {
		case i > 0 && len(at) == 0, cmp(p.Span.Start, at) != 0:
			return fmt.Errorf("store broke its contract: partition %s of %s does not begin at %q", p.Span, span, at)
		case p.Span.IsEmpty(order):
			return fmt.Errorf("store broke its contract: partition %s of %s is empty", p.Span, span)
		case !order.CutPoint(p.Span.Start), !order.CutPoint(p.Span.End):
			return fmt.Errorf("store broke its contract: partition %s of %s cuts a prefix", p.Span, span)
		}
		at = p.Span.End
	}
	if len(partitions) == 0 || order.CompareEnds(at, span.End) != 0 {
		return fmt.Errorf("store broke its contract: partitions of %s end at %q", span, at)
	}
	return nil
}

// joinTasks joins tasks whose spans touch as long as they stay below limit. What belongs
// to two target spans stays apart: a file lies in one of them, and so does a row.
func joinTasks(pieces []task, targets []Span, order *export.Order, limit int64) []task {
	var out []task
	for _, p := range pieces {
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.bytes+p.bytes <= limit && last.meets(p, targets, order) {
				last.span.End, last.bytes, last.tables = p.span.End, last.bytes+p.bytes, append(last.tables, p.tables...)
				if len(p.tables) == 0 {
					last.cuts = append(last.cuts, p.span.Start)
				}
				continue
			}
		}
		out = append(out, p)
	}
	return out
}

// meets reports whether next begins where t ends, in the same target span.
func (t *task) meets(next task, targets []Span, order *export.Order) bool {
	if len(t.span.End) == 0 || order.WithDefaults().Compare(t.span.End, next.span.Start) != 0 {
		return false
	}
	here := spansFrom(order, targets, t.span.Start)
	return len(here) > 0 && here[0].Contains(order, next.span.Start)
}
