package varve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/internal/seal"
)

// SnapshotGoneError says that a backup cannot be gone on with: the store does not have the
// moment any more that it is of, because it was released after a pause or a day without a
// sign of life, or was never kept. Start again.
type SnapshotGoneError struct {
	Job string
	End Timestamp
}

func (e *SnapshotGoneError) Error() string {
	return fmt.Sprintf("job %s: the store does not keep its snapshot of %s: start another backup", e.Job, e.End)
}

// enter writes the first record of the job.
func (r *run) enter(ctx context.Context) error {
	holder, err := newID(r.c.opts.Rand)
	if err != nil {
		return err
	}
	r.journal = newJournal(r.bucket, r.c.opts.Now, jobRecord{
		Job: r.job, Kind: BackupJob, Begun: r.begun.UTC(), Holder: holder, Layer: r.layer.ID, Path: r.layer.Path, Keys: r.wrapped,
		Scheduled: r.opts.scheduled,
	}, r.key)
	return r.journal.append(ctx, JobRunning, 0, jobDetail{Spec: r.spec()})
}

// proceed implements work.
func (r *run) proceed(ctx context.Context) error {
	if r.made.Load() != nil {
		return nil // when its process died all was done
	}
	ctx, end := r.vigil.watch(ctx)
	defer end()
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	r.saver.lost = lost
	defer r.saver.saves(ctx)()
	_, err := r.backup(ctx)
	return cause(ctx, err)
}

// park implements work: all that is stored is written down, and a snapshot with a name
// closed.
func (r *run) park(ctx context.Context) (pinned int64, _ error) {
	r.saver.save(ctx, false)
	keeper := r.keeper()
	if keeper == nil {
		return 0, nil
	}
	err := r.closeSnapshot()
	kept, listErr := r.own(ctx, keeper)
	for _, s := range kept {
		if s.Name == r.layer.ID {
			pinned = s.PinnedBytes
		}
	}
	return pinned, errors.Join(err, listErr)
}

// leave implements work.
func (r *run) leave() error { return r.closeSnapshot() }

func (r *run) id() string               { return r.job }
func (r *run) kind() JobKind            { return BackupJob }
func (r *run) records() *journal        { return r.journal }
func (r *run) maxPause() time.Duration  { return r.opts.MaxPause }
func (r *run) verb() string             { return "backup to " + r.c.name }
func (r *run) meant() (id, path string) { return r.layer.ID, r.layer.Path }
func (r *run) overdue() error           { return &SnapshotGoneError{Job: r.job, End: r.layer.End} }
func (r *run) since() time.Time         { return r.begun }
func (r *run) again(ctx context.Context) (work, error) {
	return r.c.reopenBackup(ctx, r.targets.store, r.job, r)
}

// fill implements work.
func (r *run) fill(s *JobStatus) {
	r.report.fill(s)
	s.Scheduled = r.opts.scheduled
	s.Stats.JobID, s.Stats.Requests, s.Stats.Retries = r.job, r.earlier.Requests+r.meter.Requests(), r.earlier.Retries+r.meter.Retries()
	s.Stats.Duration = r.c.opts.Now().Sub(r.begun)
	if made := r.made.Load(); made != nil {
		s.Layer, s.Stats = made, made.Stats
	}
}

// reopenBackup makes of the records of a job a run that goes on with it: of the same
// moment, for the same layer. Nothing is written before it is known that the store still
// has the moment. Of an earlier run in this process it has the callers' functions, and the
// snapshot if the store keeps none.
func (c *Collection) reopenBackup(ctx context.Context, store export.Store, id string, earlier *run) (_ *run, err error) {
	b, err := c.gate(ctx, c.bucket)
	if err != nil {
		return nil, err
	}
	h, err := b.jobHistory(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := c.rerun(b, store, h, earlier)
	if err != nil {
		return nil, err
	}
	b.Bucket = c.bucket.With(r.meter)
	r.bucket = b
	if r.key, err = r.unwrap(ctx, h.first.Keys); err != nil {
		return nil, err
	}
	r.wrapped = h.first.Keys
	if done, err := r.wasCommitted(ctx); done || err != nil {
		r.journal = r.journalAfter(h, h.last.Epoch)
		return r, err
	}
	if err := r.checkReopen(ctx, h.first.Detail.Spec.Backup); err != nil {
		return nil, err
	}
	epoch, err := h.nextEpoch()
	if err != nil {
		return nil, err
	}
	r.journal = r.journalAfter(h, epoch)
	if r.journal.record.Holder, err = newID(c.opts.Rand); err != nil {
		return nil, err
	}
	if err := r.journal.append(ctx, JobRunning, 0, jobDetail{}); err != nil {
		return nil, err
	}
	if err := r.reenter(ctx); err != nil {
		return nil, errors.Join(err, r.closeSnapshot())
	}
	return r, nil
}

// rerun is the run of a job as its first record describes it.
func (c *Collection) rerun(b *collectionBucket, store export.Store, h *jobHistory, earlier *run) (*run, error) {
	spec, err := h.spec(b.keys, BackupJob)
	if err != nil {
		return nil, err
	}
	targets, targetsErr := spec.Targets.targets(store)
	opts, err := spec.Backup.options()
	if err := errors.Join(targetsErr, err); err != nil {
		return nil, h.corrupt(err)
	}
	opts.scheduled = h.first.Scheduled
	if earlier != nil {
		opts.Events, opts.Pace, opts.Authorize = earlier.opts.Events, earlier.opts.Pace, earlier.opts.Authorize
	}
	r, err := c.newRun(targets, opts)
	if err != nil {
		return nil, err
	}
	r.job, r.begun = h.first.Job, h.first.Begun
	r.layer = LayerInfo{
		ID: h.first.Layer, ParentID: spec.Backup.Parent, ChainID: spec.Backup.Chain, Path: h.first.Path,
		Start: spec.Backup.Start, End: spec.Backup.End,
	}
	if err := r.layer.validate(); err != nil {
		return nil, h.corrupt(err)
	}
	r.asOf, r.spans, r.excluded, r.missing = spec.Backup.AsOf, spec.Backup.Spans, spec.Backup.Excluded, spec.Backup.Missing
	if earlier != nil && !spec.Backup.Named {
		r.frozen, earlier.frozen = earlier.frozen, nil
	}
	return r, nil
}

func (r *run) journalAfter(h *jobHistory, epoch int) *journal {
	record := *h.first
	record.Detail, record.Epoch = nil, epoch
	j := newJournal(r.bucket, r.c.opts.Now, record, r.key)
	j.next.Store(int64(h.next))
	return j
}

// wasCommitted finds out whether the layer is there already, or can never be.
func (r *run) wasCommitted(ctx context.Context) (bool, error) {
	object := manifestObject(r.layer.Path)
	head, err := r.bucket.Peek(ctx, object, recordHead)
	switch {
	case errors.Is(err, objectio.ErrNotExist):
		return false, nil
	case err != nil:
		return false, storageError("read", object, err)
	case isVoid(head):
		return false, fmt.Errorf("job %s was declared dead: %w", r.job, ErrConflict)
	}
	m, err := r.bucket.manifest(ctx, r.layer.Path)
	if err != nil {
		return false, err
	}
	if m.Layer != r.layer.ID {
		return false, fmt.Errorf("job %s: another layer is at %s: %w", r.job, r.layer.Path, ErrConflict)
	}
	r.made.Store(m.layer())
	return true, nil
}

// checkReopen says why the store cannot be gone on with.
func (r *run) checkReopen(ctx context.Context, spec *backupSpec) (err error) {
	if r.info, err = r.targets.store.Info(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if r.info.Lineage != spec.Lineage {
		return &LineageError{Want: spec.Lineage, Got: r.info.Lineage}
	}
	keeper := r.keeper()
	switch {
	case r.frozen != nil:
		return nil
	case keeper == nil || !spec.Named:
		if r.info.Revisions && r.info.Oldest.Compare(r.layer.End) <= 0 {
			return nil
		}
		return &SnapshotGoneError{Job: r.job, End: r.layer.End}
	}
	kept, err := r.own(ctx, keeper)
	if err != nil {
		return err
	}
	for _, s := range kept {
		if s.Name == r.layer.ID {
			return nil
		}
	}
	return &SnapshotGoneError{Job: r.job, End: r.layer.End}
}

// unwrap is the data key of a layer that was begun, nil if it is not sealed.
func (r *run) unwrap(ctx context.Context, wrapped []seal.Wrapped) (*seal.DataKey, error) {
	if len(wrapped) == 0 {
		return nil, nil
	}
	key, err := seal.UnwrapAny(ctx, r.bucket.keys, wrapped, seal.Scope{Collection: r.bucket.id, Layer: r.layer.ID})
	if errors.Is(err, seal.ErrOtherKey) {
		err = fmt.Errorf("job %s: %w", r.job, ErrWrongKey)
	}
	return key, err
}

// reenter is begin for a run whose moment is fixed.
func (r *run) reenter(ctx context.Context) (err error) {
	r.tasks.Store(int64(r.journal.epoch) * tasksPerEpoch)
	if r.layer.ParentID != "" {
		parent, err := r.bucket.named(ctx, r.layer.ParentID)
		if err != nil {
			return err
		}
		if r.parent, err = r.bucket.manifestOf(ctx, parent); err != nil {
			return err
		}
	}
	if err := r.extend(ctx); err != nil {
		return err
	}
	if err := r.synthesize(ctx); err != nil {
		return err
	}
	if err := r.reopenSnapshot(ctx); err != nil {
		return err
	}
	if r.seen, err = r.see(ctx, r.frozen); err != nil {
		return err
	}
	if r.parts, r.saver.next, err = r.readCheckpoints(ctx); err != nil {
		return err
	}
	if n := len(r.parts); n > 0 {
		r.course = r.parts[n-1].Course
	}
	for _, p := range r.parts {
		r.earlier.Requests, r.earlier.Retries = max(r.earlier.Requests, p.Requests), max(r.earlier.Retries, p.Retries)
	}
	return nil
}

// reopenSnapshot opens the moment that the job is of, and no other.
func (r *run) reopenSnapshot(ctx context.Context) (err error) {
	if r.base, err = r.baseName(ctx, r.keeper()); err != nil {
		return err
	}
	if r.frozen == nil {
		if err := r.holdBase(ctx); err != nil {
			return err
		}
		opts := export.SnapshotOptions{Spans: r.spans, AsOf: r.asOf, After: r.layer.Start, Base: r.base}
		if r.keeper() != nil {
			opts.Name, opts.Note = r.layer.ID, r.note()
		} else {
			opts.AsOf = r.layer.End
		}
		if r.frozen, err = r.targets.store.Snapshot(ctx, opts); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
	}
	if r.frozen.Timestamp() != r.layer.End {
		return &SnapshotGoneError{Job: r.job, End: r.layer.End}
	}
	r.schedulePush()
	return nil
}
