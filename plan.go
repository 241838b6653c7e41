package varve

import (
	"context"
	"fmt"

	"github.com/varvekv/varve/export"
)

// task is a piece of work that one worker does alone.
type task struct {
	span  Span
	bytes int64 // estimate
}

const (
	// minTaskBytes keeps tasks, and so files, from being tiny.
	minTaskBytes = 16 << 20
	// tasksPerWorker is how finely work is cut, so that workers end together.
	tasksPerWorker = 8
)

// planExport cuts the spans as the snapshot partitions them, and joins neighbours
// until a task is worth a file: an eighth of a worker's share, at least 16 MiB and
// at most twice what a file may hold.
func planExport(ctx context.Context, s export.Snapshot, order *export.Order, spans []Span, workers int, targetFileBytes int64) ([]task, error) {
	var pieces []task
	var total int64
	for _, span := range spans {
		partitions, err := s.Partition(ctx, span, Timestamp{})
		if err != nil {
			return nil, err
		}
		if err := checkPartitions(order, span, partitions); err != nil {
			return nil, err
		}
		for _, p := range partitions {
			pieces = append(pieces, task{span: p.Span, bytes: p.Bytes})
			total += p.Bytes
		}
	}
	limit := max(total/int64(workers)/tasksPerWorker, minTaskBytes)
	if targetFileBytes < limit/2 {
		limit = 2 * targetFileBytes
	}
	return joinTasks(pieces, order, limit), nil
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

// joinTasks joins tasks whose spans touch as long as they stay below limit.
func joinTasks(pieces []task, order *export.Order, limit int64) []task {
	var out []task
	for _, p := range pieces {
		if n := len(out); n > 0 {
			last := &out[n-1]
			touch := len(last.span.End) > 0 && order.WithDefaults().Compare(last.span.End, p.span.Start) == 0
			if touch && last.bytes+p.bytes <= limit {
				last.span.End, last.bytes = p.span.End, last.bytes+p.bytes
				continue
			}
		}
		out = append(out, p)
	}
	return out
}
