package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/varvekv/varve/export"
)

// A named snapshot has the ID of the layer that it becomes. While the run goes on it
// is what is exported; once the layer is committed, it is the base with which the next
// incremental compares, as long as that one extends this very layer. A collection
// keeps one base at most of the same targets: that of their newest layer.

// orphanGrace is how long the snapshot of a run that never ended is kept for
// whoever may resume it.
const orphanGrace = 24 * time.Hour

// note tells people, and later runs, who keeps a named snapshot.
func (r *run) note() string { return notePrefix(r.bucket.id) + r.c.name + noteJob + r.job }

func notePrefix(collection string) string { return "varve collection " + collection + " at " }

// noteJob stands before the ID of the job that a snapshot was taken by.
const noteJob = ", job "

// jobOfNote is that ID, "" if there is none.
func jobOfNote(note string) string {
	if i := strings.LastIndex(note, noteJob); i >= 0 && checkID(note[i+len(noteJob):]) == nil {
		return note[i+len(noteJob):]
	}
	return ""
}

// keeper is the store's ability to keep snapshots, nil if it has none.
func (r *run) keeper() export.SnapshotKeeper {
	k, _ := r.targets.store.(export.SnapshotKeeper)
	return k
}

// snapshot freezes the store and fixes the layer's end. On a store that can keep
// snapshots it has the layer's ID for a name and outlives this process.
func (r *run) snapshot(ctx context.Context) error {
	after, err := r.after(ctx)
	if err != nil {
		return err
	}
	keeper := r.keeper()
	if r.base, err = r.baseName(ctx, keeper); err != nil {
		return err
	}
	opts := export.SnapshotOptions{Spans: r.spans, AsOf: r.asOf, After: after, Base: r.base}
	if keeper != nil {
		if err := r.releaseOrphans(ctx, keeper); err != nil {
			return err
		}
		opts.Name, opts.Note = r.layer.ID, r.note()
	}
	if err := r.holdBase(ctx); err != nil {
		return err
	}
	s, err := r.targets.store.Snapshot(ctx, opts)
	if err != nil {
		return errors.Join(fmt.Errorf("snapshot: %w", err), r.forget(ctx))
	}
	r.frozen = s
	if err := r.checkSnapshot(ctx, s, after); err != nil {
		return r.end(ctx, err)
	}
	r.layer.End = s.Timestamp()
	r.schedulePush()
	r.c.opts.Logger.Info("backup begins", "collection", r.c.name, "layer", r.layer.ID, "parent", r.layer.ParentID, "as_of", r.layer.End.String())
	return nil
}

// holdBase makes a store that keeps revisions hold on to those after the parent's end
// until the run is done. Most often the base that was left there does so; where it was
// released, it is taken again, as long as the history is there. A store that will not do
// so is compared with the chain if it forgets.
func (r *run) holdBase(ctx context.Context) error {
	keeper := r.keeper()
	if keeper == nil || r.parent == nil || !r.info.Revisions || r.info.Lineage != r.parent.Lineage {
		return nil
	}
	kept, err := r.own(ctx, keeper)
	if err != nil || slices.ContainsFunc(kept, func(s export.SnapshotInfo) bool { return s.Name == r.base }) {
		return err
	}
	s, err := r.targets.store.Snapshot(ctx, export.SnapshotOptions{
		Name: r.parent.Layer, Note: r.note(), AsOf: r.parent.End, Spans: r.kept,
	})
	if err == nil {
		r.retaken = true
		return s.Close()
	}
	if ctx.Err() != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	r.c.opts.Logger.Info("history is not held", "collection", r.c.name, "layer", r.layer.ID, "since", r.parent.End.String(), "reason", err)
	return nil
}

// checkSnapshot refuses a store that was restored into between the first look at it
// and the snapshot.
func (r *run) checkSnapshot(ctx context.Context, s export.Snapshot, after Timestamp) error {
	if s.Timestamp().Compare(after) <= 0 {
		return fmt.Errorf("store broke its contract: snapshot at %s, which is not after %s", s.Timestamp(), after)
	}
	now, err := r.targets.store.Info(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if now.Lineage != r.info.Lineage {
		return &LineageError{Want: r.info.Lineage, Got: now.Lineage}
	}
	return nil
}

// end closes the snapshot. A run that failed gives back what it pinned, also when
// it was cancelled. A committed layer stays committed: what then goes wrong is worth a
// warning only, for a later run puts it right.
func (r *run) end(ctx context.Context, err error) error {
	ctx = context.WithoutCancel(ctx)
	if r.made.Load() != nil && r.frozen == nil {
		return err // it was done when its process died; the next run settles what is kept
	}
	closeErr := r.closeSnapshot()
	if r.made.Load() == nil {
		if giveBack := errors.Join(closeErr, r.forget(ctx)); giveBack != nil {
			err = errors.Join(err, fmt.Errorf("release snapshot %s: %w", r.layer.ID, giveBack))
		}
		return err
	}
	if err := errors.Join(closeErr, r.keepNewest(ctx)); err != nil {
		r.c.opts.Logger.Warn("snapshots kept", "collection", r.c.name, "layer", r.layer.ID, "error", err)
	}
	return err
}

// closeSnapshot ends what is read of the store. One with a name stays there.
func (r *run) closeSnapshot() error {
	if r.pushTimer != nil {
		r.pushTimer.Stop()
	}
	if r.frozen == nil {
		return nil
	}
	err := r.frozen.Close()
	r.frozen = nil
	return err
}

// forget releases the run's named snapshot, should there be one, and the parent's if it
// was not there before.
func (r *run) forget(ctx context.Context) error {
	keeper := r.keeper()
	if keeper == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	err := keeper.Release(ctx, r.layer.ID)
	if err == nil && r.retaken {
		err = keeper.Release(ctx, r.parent.Layer)
	}
	if errors.Is(err, export.ErrClosed) {
		return nil // whoever opens the store next finds it, and a run a day later releases it
	}
	return err
}

// own are the snapshots that this collection keeps in the store. Other collections'
// are not ours to judge.
func (r *run) own(ctx context.Context, keeper export.SnapshotKeeper) ([]export.SnapshotInfo, error) {
	kept, err := keeper.Snapshots(ctx)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	return slices.DeleteFunc(kept, func(s export.SnapshotInfo) bool { return !strings.HasPrefix(s.Note, notePrefix(r.bucket.id)) }), nil
}

// pinned is what the base of the layer that is about to be committed holds by now.
func (r *run) pinned(ctx context.Context) int64 {
	keeper := r.keeper()
	if keeper == nil || r.opts.NoBase {
		return 0
	}
	kept, err := r.own(ctx, keeper)
	if err != nil {
		r.c.opts.Logger.Warn("pinned bytes not known", "collection", r.c.name, "layer", r.layer.ID, "error", err)
		return 0
	}
	for _, s := range kept {
		if s.Name == r.layer.ID {
			return s.PinnedBytes
		}
	}
	return 0
}

// releaseOrphans releases this collection's snapshots whose runs ended without
// saying so, a day after they last said anything; of a job that is paused, when it has been
// for as long as it may.
func (r *run) releaseOrphans(ctx context.Context, keeper export.SnapshotKeeper) error {
	kept, err := r.own(ctx, keeper)
	if err != nil {
		return err
	}
	for _, s := range kept {
		if s.InUse || r.begun.Sub(s.CreatedAt) < orphanGrace || s.Name == r.base {
			continue
		}
		l, err := r.committedLayer(ctx, s.Name)
		if err != nil {
			return err
		}
		if l != nil {
			continue // a base
		}
		if r.c.jobWaits(ctx, r.bucket, jobOfNote(s.Note), r.begun) {
			continue
		}
		if err := keeper.Release(ctx, s.Name); err != nil {
			// It is no reason to go without a backup; the next run tries again.
			r.c.opts.Logger.Warn("orphaned snapshot kept", "collection", r.c.name, "snapshot", s.Name, "error", err)
		}
	}
	return nil
}

// committedLayer is the layer of an ID as the index had it when the run began, nil
// if it was not committed then.
func (r *run) committedLayer(ctx context.Context, id string) (*LayerInfo, error) {
	x, err := r.bucket.index(ctx)
	if err != nil {
		return nil, err
	}
	l, known := x.byID[id]
	if !known {
		return nil, nil
	}
	ok, err := x.accept(ctx, id)
	if err != nil || !ok {
		return nil, err
	}
	return &l, nil
}

// keepNewest releases, once the layer is committed, what no incremental will be
// compared with any more: the parent's base, that of an older layer of the same
// targets, and those that hold too much.
func (r *run) keepNewest(ctx context.Context) error {
	keeper := r.keeper()
	if keeper == nil {
		return nil
	}
	kept, err := r.own(ctx, keeper)
	if err != nil {
		return err
	}
	var errs []error
	keepOwn := !r.opts.NoBase
	for _, s := range kept {
		if s.Name == r.layer.ID {
			keepOwn = keepOwn && !r.holdsTooMuch(s)
			continue
		}
		is, err := r.judge(ctx, s)
		if err == nil && is == superseded {
			err = keeper.Release(ctx, s.Name)
		}
		keepOwn = keepOwn && is != superseding
		errs = append(errs, err)
	}
	if !keepOwn {
		errs = append(errs, keeper.Release(ctx, r.layer.ID))
	}
	return errors.Join(errs...)
}

// holdsTooMuch reports whether a base pins more, or is older, than it may.
func (r *run) holdsTooMuch(s export.SnapshotInfo) bool {
	return r.opts.BaseLimit > 0 && s.PinnedBytes > r.opts.BaseLimit ||
		r.opts.BaseAge > 0 && r.c.opts.Now().Sub(s.CreatedAt) > r.opts.BaseAge
}

// verdict is what a kept snapshot is beside the one of the run's layer.
type verdict int

const (
	needed      verdict = iota // by other targets, or a run that has not ended
	superseded                 // by a younger layer
	superseding                // the base of a younger layer of the same targets
)

func (r *run) judge(ctx context.Context, s export.SnapshotInfo) (verdict, error) {
	if s.Name == r.layer.ParentID || s.Name == r.base {
		return superseded, nil
	}
	l, err := r.committedLayer(ctx, s.Name)
	if err != nil || l == nil {
		return needed, err // a run that goes on, or an orphan, which has a day
	}
	x, err := r.bucket.index(ctx)
	if err != nil {
		return needed, err
	}
	if children, err := x.successors(ctx, *l); err != nil || len(children) > 0 {
		return superseded, err
	}
	m, err := r.bucket.manifest(ctx, l.Path)
	if err != nil {
		return needed, err
	}
	same := m.Complete == r.targets.cluster() && equalSpans(m.Spans, r.spans)
	switch {
	case m.locked != nil:
		same = m.Sealing.Targets == r.targetsHash()
	case r.targets.named():
		same = m.Targets.equal(r.targets.manifest(r.seen)) // whose spans change
	}
	switch {
	case same && m.End.Compare(r.layer.End) > 0:
		return superseding, nil
	case same, r.holdsTooMuch(s):
		return superseded, nil
	}
	return needed, nil
}
