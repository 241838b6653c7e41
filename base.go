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
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	r.layer.End = s.Timestamp()
	r.c.opts.Logger.Info("backup begins", "collection", r.c.name, "layer", r.layer.ID, "as_of", r.layer.End.String())
	return s, nil
}

// release closes the snapshot and gives back what it pinned, also when the run was
// cancelled.
func (r *run) release(ctx context.Context, s export.Snapshot) error {
	ctx = context.WithoutCancel(ctx)
	err := s.Close()
	if keeper, ok := r.targets.store.(export.SnapshotKeeper); ok {
		err = errors.Join(err, keeper.Release(ctx, r.layer.ID))
	}
	if err != nil {
		return fmt.Errorf("release snapshot %s: %w", r.layer.ID, err)
	}
	return nil
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
			return fmt.Errorf("release orphaned snapshot %s: %w", s.Name, err)
		}
	}
	return nil
}
