package varve

import (
	"context"
	"fmt"

	"github.com/varvekv/varve/export"
)

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
