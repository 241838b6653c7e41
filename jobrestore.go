package varve

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/varvekv/varve/export"
)

// Nothing of a restore is to be seen before its Commit, after which all of it is. So a
// restore that was interrupted is done again from its beginning, for the same layer and
// moment, and takes nothing over from what was loaded before: a store clears that when it
// is loaded into under another name. Whether the Commit of a whole store has happened tells
// its lineage, which was drawn before.

// sayInterval is how often a restore says that it goes on.
const sayInterval = silence * checkpointInterval

// enter writes the first record of the job. Whoever may only read a bucket restores
// without: such a job is not listed, and no other process can go on with it.
func (r *restore) enter(ctx context.Context) error {
	holder, err := newID(r.c.opts.Rand)
	if err != nil {
		return err
	}
	r.journal = r.newJournal(jobRecord{Job: r.job, Kind: RestoreJob, Begun: r.begun.UTC(), Holder: holder})
	err = r.journal.append(ctx, JobRunning, 0, jobDetail{Spec: r.spec()})
	var access *AccessError
	if errors.As(err, &access) {
		r.c.opts.Logger.DebugContext(ctx, "restore without a record", "collection", r.c.name, "job", r.job, "error", err)
		r.journal.silent, err = true, nil
	}
	return err
}

func (r *restore) newJournal(record jobRecord) *journal {
	tip := r.chain.tip()
	record.Layer, record.Path = tip.ID, tip.Path
	if tip.Manifest.Sealing != nil {
		record.Keys = tip.Manifest.Sealing.Keys
	}
	return newJournal(r.bucket, r.c.opts.Now, record, tip.Manifest.key)
}

// proceed implements work.
func (r *restore) proceed(ctx context.Context) error {
	if r.made != nil {
		return nil
	}
	ctx, end := r.vigil.watch(ctx)
	defer end()
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	defer r.says(ctx, lost)()
	made, err := r.restore(ctx)
	r.mu.Lock()
	r.made = made
	r.mu.Unlock()
	return denied("read", "files", cause(ctx, err))
}

// says writes now and then that the job goes on, until the function that it returns is
// called.
func (r *restore) says(ctx context.Context, lost func(error)) (end func()) {
	stopping, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(sayInterval)
		defer ticker.Stop()
		for {
			select {
			case <-stopping.Done():
				return
			case <-ticker.C:
			}
			var s JobStatus
			r.fill(&s)
			err := r.journal.append(stopping, JobRunning, 0, jobDetail{Stats: s.Stats, Fraction: s.Fraction, Phase: Phase(s.Phase)})
			if errors.Is(err, errLost) {
				lost(err)
			}
		}
	})
	return func() {
		stop()
		wg.Wait()
	}
}

// park implements work: the layers stay for whoever goes on within a day.
func (r *restore) park(context.Context) (int64, error) { return 0, r.leave() }

// leave implements work.
func (r *restore) leave() error {
	if r.reading != nil {
		r.reading()
		r.reading = nil
	}
	if r.ingester == nil {
		return nil
	}
	return r.ingester.Abort()
}

// end implements work.
func (r *restore) end(_ context.Context, err error) error { return errors.Join(err, r.leave()) }

// undo implements work: what was loaded is gone.
func (r *restore) undo(context.Context) *Leftovers { return nil }

func (r *restore) id() string              { return r.job }
func (r *restore) kind() JobKind           { return RestoreJob }
func (r *restore) records() *journal       { return r.journal }
func (r *restore) maxPause() time.Duration { return r.opts.MaxPause }
func (r *restore) verb() string            { return "restore from " + r.c.name }
func (r *restore) since() time.Time        { return r.begun }
func (r *restore) overdue() error          { return context.DeadlineExceeded }

func (r *restore) meant() (id, path string) {
	tip := r.chain.tip()
	return tip.ID, tip.Path
}

func (r *restore) again(ctx context.Context) (work, error) {
	return r.c.reopenRestore(ctx, r.targets.store, r.job, r)
}

// fill implements work.
func (r *restore) fill(s *JobStatus) {
	r.report.fill(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made != nil {
		s.Restored, s.Stats = r.made, r.made.Stats
		return
	}
	s.Stats = Stats{
		JobID: r.job, Keys: r.counts.Sets, Deletions: r.counts.Deletes + r.counts.RangeDeletes, RangeKeys: r.counts.RangeKeys,
		LogicalBytes: r.counts.LogicalBytes, StoredBytes: r.stored, Files: int64(len(r.taken)),
		Requests: r.meter.Requests(), Retries: r.meter.Retries(), Duration: r.c.opts.Now().Sub(r.begun),
	}
}

// reopenRestore makes of the records of a job a restore that goes on with it. Of an earlier
// one in this process it has the caller's functions, and all else if nothing was written.
func (c *Collection) reopenRestore(ctx context.Context, store export.Store, id string, earlier *restore) (_ *restore, err error) {
	if earlier != nil && earlier.journal.silent {
		opts := earlier.spec().Restore.options(earlier.chain.tip().ID)
		opts.Events = earlier.opts.Events
		r, err := c.newRestore(earlier.targets, opts)
		if err == nil {
			r.job, r.lineage = earlier.job, earlier.lineage
			err = r.resolve(ctx)
		}
		if err != nil {
			return nil, err
		}
		r.journal = earlier.journal
		return r, r.prepare(ctx)
	}
	b, err := c.gate(ctx, c.bucket)
	if err != nil {
		return nil, err
	}
	h, err := b.jobHistory(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := c.rerestore(b, store, h, earlier)
	if err != nil {
		return nil, err
	}
	if err := r.resolve(ctx); err != nil {
		return nil, err
	}
	record := *h.first
	record.Detail = nil
	if record.Epoch, err = h.nextEpoch(); err != nil {
		return nil, err
	}
	if record.Holder, err = newID(c.opts.Rand); err != nil {
		return nil, err
	}
	r.journal = r.newJournal(record)
	r.journal.next.Store(int64(h.next))
	if err := r.journal.append(ctx, JobRunning, 0, jobDetail{}); err != nil {
		return nil, err
	}
	if r.lineage != "" && r.info.Lineage == r.lineage {
		r.made = &Restored{From: r.chain.tip().LayerInfo, AsOf: r.chain.AsOf, Spans: r.spans, Stats: Stats{JobID: r.job}}
		return r, nil
	}
	return r, r.prepare(ctx)
}

// rerestore is the restore of a job as its first record describes it.
func (c *Collection) rerestore(b *collectionBucket, store export.Store, h *jobHistory, earlier *restore) (*restore, error) {
	spec, err := h.spec(b.keys, RestoreJob)
	if err != nil {
		return nil, err
	}
	targets, err := spec.Targets.targets(store)
	if err != nil {
		return nil, h.corrupt(err)
	}
	opts := spec.Restore.options(h.first.Layer)
	if earlier != nil {
		opts.Events, opts.Authorize = earlier.opts.Events, earlier.opts.Authorize
	}
	r, err := c.newRestore(targets, opts)
	if err != nil {
		return nil, err
	}
	r.job, r.begun, r.lineage = h.first.Job, h.first.Begun, spec.Restore.Lineage
	return r, nil
}
