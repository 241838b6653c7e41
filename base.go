package varve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/varvekv/varve/export"
)

// orphanGrace is how long the snapshot of a run that never ended is kept for
// whoever may resume it.
const orphanGrace = 24 * time.Hour

// note tells people, and later runs, who keeps a named snapshot.
func (r *run) note() string { return notePrefix(r.bucket.id) + r.c.name }

func notePrefix(collection string) string { return "varve collection " + collection + " at " }

// snapshot freezes the store and fixes the layer's end. On a store that can keep
// snapshots it has the layer's ID for a name and outlives this process.
func (r *run) snapshot(ctx context.Context) (export.Snapshot, error) {
	opts := export.SnapshotOptions{Spans: r.spans, AsOf: r.asOf}
	if keeper, ok := r.targets.store.(export.SnapshotKeeper); ok {
		if err := r.releaseOrphans(ctx, keeper); err != nil {
			return nil, err
		}
		opts.Name, opts.Note = r.layer.ID, r.note()
	}
	s, err := r.targets.store.Snapshot(ctx, opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("snapshot: %w", err), r.forget(ctx))
	}
	if err := r.sameLineage(ctx); err != nil {
		return nil, errors.Join(err, r.release(ctx, s))
	}
	r.layer.End = s.Timestamp()
	r.c.opts.Logger.Info("backup begins", "collection", r.c.name, "layer", r.layer.ID, "as_of", r.layer.End.String())
	return s, nil
}

// sameLineage refuses a store that was restored into between the first look at it
// and the snapshot.
func (r *run) sameLineage(ctx context.Context) error {
	now, err := r.targets.store.Info(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if now.Lineage != r.info.Lineage {
		return &LineageError{Want: r.info.Lineage, Got: now.Lineage}
	}
	return nil
}

// release closes the snapshot and gives back what it pinned, also when the run was
// cancelled.
func (r *run) release(ctx context.Context, s export.Snapshot) error {
	if err := errors.Join(s.Close(), r.forget(ctx)); err != nil {
		return fmt.Errorf("release snapshot %s: %w", r.layer.ID, err)
	}
	return nil
}

// forget releases the run's named snapshot, should there be one.
func (r *run) forget(ctx context.Context) error {
	keeper, ok := r.targets.store.(export.SnapshotKeeper)
	if !ok {
		return nil
	}
	err := keeper.Release(context.WithoutCancel(ctx), r.layer.ID)
	if errors.Is(err, export.ErrClosed) {
		return nil // whoever opens the store next finds it, and a run a day later releases it
	}
	return err
}

// released adds what went wrong with the release to the error of a run that
// failed. A committed layer stays committed: its snapshot is then an orphan, which
// a later run releases, and that is worth a warning only.
func (r *run) released(err, releaseErr error) error {
	if err == nil && releaseErr != nil {
		r.c.opts.Logger.Warn("snapshot kept", "collection", r.c.name, "layer", r.layer.ID, "error", releaseErr)
		return nil
	}
	return errors.Join(err, releaseErr)
}

// releaseOrphans releases this collection's snapshots whose runs ended without
// saying so, a day after they began. Other collections' are not ours to judge.
func (r *run) releaseOrphans(ctx context.Context, keeper export.SnapshotKeeper) error {
	kept, err := keeper.Snapshots(ctx)
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	for _, s := range kept {
		ours := strings.HasPrefix(s.Note, notePrefix(r.bucket.id))
		if !ours || s.InUse || r.begun.Sub(s.CreatedAt) < orphanGrace {
			continue
		}
		if err := keeper.Release(ctx, s.Name); err != nil {
			// It is no reason to go without a backup; the next run tries again.
			r.c.opts.Logger.Warn("orphaned snapshot kept", "collection", r.c.name, "snapshot", s.Name, "error", err)
		}
	}
	return nil
}
