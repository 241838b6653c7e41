package varve

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/objectio"
)

// orphanAfter is how long a job that runs may say nothing before a listing takes its
// process for dead. It says something every five minutes.
const orphanAfter = 15 * time.Minute

// liveJobs are those of one collection in this process.
type liveJobs struct {
	mu   sync.Mutex
	byID map[string]*Job
}

func (l *liveJobs) add(j *Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byID == nil {
		l.byID = map[string]*Job{}
	}
	l.byID[j.id] = j
}

// remove forgets a job that has ended.
func (l *liveJobs) remove(j *Job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byID, j.id)
}

func (l *liveJobs) find(id string) *Job {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byID[id]
}

// close pauses all of them, several at once.
func (l *liveJobs) close() error {
	l.mu.Lock()
	all := make([]*Job, 0, len(l.byID))
	for _, j := range l.byID {
		all = append(all, j)
	}
	l.byID = nil
	l.mu.Unlock()
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	for i, j := range all {
		wg.Go(func() { errs[i] = j.close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// jobsAtOnce is how many records a listing of jobs reads ahead.
const jobsAtOnce = 64

// listedJob is the last record of a job, as a listing shows it.
type listedJob struct {
	id   string
	n    int
	seen time.Time
}

// Jobs lists what runs, is paused or has ended, in any process, by when they last said
// something, the newest first: one listing, and one small read for each job, a few more for
// one that runs elsewhere. Of a job whose record is damaged the status has that as its Err.
// Jobs that have ended are forgotten by [Collection.Expire] in time. At most one error is
// yielded, last.
func (c *Collection) Jobs(ctx context.Context) iter.Seq2[JobStatus, error] {
	return func(yield func(JobStatus, error) bool) {
		err := c.do(ctx, "list jobs of", func(b *collectionBucket) error {
			all, err := b.listJobs(ctx)
			if err != nil {
				return err
			}
			for some := range slices.Chunk(all, jobsAtOnce) {
				statuses, err := c.jobStatuses(ctx, b, some)
				if err != nil {
					return err
				}
				for _, s := range statuses {
					if s.ID != "" && !yield(s, nil) {
						return errStopped
					}
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(JobStatus{}, err)
		}
	}
}

// listJobs are the last records of all jobs.
func (b *collectionBucket) listJobs(ctx context.Context) ([]listedJob, error) {
	last := map[string]listedJob{}
	for o, err := range b.List(ctx, jobsPrefix) {
		if err != nil {
			return nil, storageError("list", jobsPrefix, err)
		}
		id, n, err := parseJob(o.Key)
		if was, known := last[id]; err == nil && (!known || n > was.n) {
			last[id] = listedJob{id: id, n: n, seen: o.ModTime}
		}
	}
	all := make([]listedJob, 0, len(last))
	for _, id := range sortedKeys(last) {
		all = append(all, last[id])
	}
	slices.SortStableFunc(all, func(a, b listedJob) int { return b.seen.Compare(a.seen) })
	return all, nil
}

// jobStatuses reads records, several at once. One that has gone meanwhile has no ID.
func (c *Collection) jobStatuses(ctx context.Context, b *collectionBucket, jobs []listedJob) ([]JobStatus, error) {
	out := make([]JobStatus, len(jobs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for i, l := range jobs {
		if j := c.jobs.find(l.id); j != nil {
			out[i] = j.Status()
			continue
		}
		g.Go(func() (err error) {
			out[i], err = c.jobStatus(gctx, b, l)
			return err
		})
	}
	return out, g.Wait()
}

func (c *Collection) jobStatus(ctx context.Context, b *collectionBucket, l listedJob) (JobStatus, error) {
	object := formatJob(l.id, l.n)
	r, err := b.readJobRecord(ctx, l.id, object)
	switch {
	case errors.Is(err, objectio.ErrNotExist):
		return JobStatus{}, nil
	case isNoLayer(err):
		return JobStatus{ID: l.id, LastSeen: l.seen, Err: err}, nil
	case err != nil:
		return JobStatus{}, err
	}
	s := r.status()
	s.LastSeen = l.seen
	if r.State == JobRunning && r.Kind == BackupJob {
		if err := b.lookAfter(ctx, r, &s); err != nil {
			return s, err
		}
	}
	s.Orphaned = s.State == JobRunning && c.opts.Now().Sub(s.LastSeen) > orphanAfter
	return s, nil
}

// status is what a record says.
func (r *jobRecord) status() JobStatus {
	s := JobStatus{
		ID: r.Job, State: r.State, Kind: r.Kind, Scheduled: r.Scheduled, LayerID: r.Layer, Path: r.Path, Begun: r.Begun, PinnedUntil: r.PinnedUntil,
		Stats: Stats{JobID: r.Job},
	}
	d := r.Detail
	if d == nil {
		return s
	}
	s.Stats, s.Fraction, s.Phase, s.Left, s.PinnedBytes = d.Stats, d.Fraction, string(d.Phase), d.Left, d.Pinned
	s.Stats.JobID = r.Job
	if d.Error != "" {
		s.Err = errors.New(d.Error)
	}
	return s
}

// lookAfter finds out what became of a backup that runs, as its last record says: it may
// have been committed, or been declared dead, or have written down progress.
func (b *collectionBucket) lookAfter(ctx context.Context, r *jobRecord, s *JobStatus) error {
	object := manifestObject(r.Path)
	head, err := b.Peek(ctx, object, recordHead)
	switch {
	case errors.Is(err, objectio.ErrNotExist):
	case err != nil:
		return storageError("read", object, err)
	case isVoid(head):
		s.State, s.Err = JobFailed, fmt.Errorf("job %s was declared dead", r.Job)
		return nil
	default:
		m, err := b.manifest(ctx, r.Path)
		if isNoLayer(err) || err == nil && m.Layer != r.Layer {
			return nil // which the listing of layers says
		}
		if err != nil {
			return err
		}
		s.State, s.Fraction, s.Layer, s.Stats = JobSucceeded, 1, m.layer(), m.Stats
		return nil
	}
	prefix := r.Path + "/" + progressName
	for o, err := range b.List(ctx, prefix) {
		if err != nil {
			return storageError("list", prefix, err)
		}
		s.LastSeen = later(s.LastSeen, o.ModTime)
	}
	return nil
}

// ResumeJob goes on with a job that is paused, or whose process has died: a backup of the
// same moment, from the store that it was of; a restore into the store that it was into.
// Of a backup nothing is stored again that was written down as stored; a restore, of which
// nothing is to be seen until all of it is, is begun again for the same layer and moment. Of several
// processes that try one goes on and the others are told [ErrConflict], and so is whoever
// was at it until then. Events, Pace and Authorize are not known to another process.
//
// If the store does not keep the moment any more that is a *SnapshotGoneError, of a job that
// has ended a *JobStateError, and of one that nobody knows [ErrNoJob]. Of a job that was
// committed as its process died it is the job, which has succeeded.
func (c *Collection) ResumeJob(ctx context.Context, id string, store export.Store) (*Job, error) {
	if store == nil {
		return nil, &TargetError{Name: "store", Reason: "is nil"}
	}
	if j := c.jobs.find(id); j != nil {
		if j.State() != JobPaused {
			return nil, &JobStateError{ID: id, State: j.State()}
		}
		return j, j.Resume(ctx)
	}
	w, err := c.reopenJob(ctx, id, store)
	if err != nil {
		return nil, fmt.Errorf("resume job in %s: %w", c.name, err)
	}
	return c.launch(context.WithoutCancel(ctx), w), nil
}

// reopenJob is the work of a job that another process has left.
func (c *Collection) reopenJob(ctx context.Context, id string, store export.Store) (work, error) {
	b, err := c.gate(ctx, c.bucket)
	if err != nil {
		return nil, err
	}
	h, err := b.jobHistory(ctx, id)
	if err != nil {
		return nil, err
	}
	if h.last.State.Ended() || h.last.State == JobCanceling {
		return nil, &JobStateError{ID: id, State: h.last.State}
	}
	if h.first.Kind == RestoreJob {
		return c.reopenRestore(ctx, store, id, nil)
	}
	return c.reopenBackup(ctx, store, id, nil)
}

// jobWaits reports whether the snapshot of a job must stay: it is paused, and may be for
// some time, or it said something within a day. In doubt it stays.
func (c *Collection) jobWaits(ctx context.Context, b *collectionBucket, id string, now time.Time) bool {
	if id == "" {
		return false
	}
	if c.jobs.find(id) != nil {
		return true
	}
	h, err := b.jobHistory(ctx, id)
	switch {
	case errors.Is(err, ErrNoJob), isNoLayer(err):
		return false // it cannot be gone on with
	case err != nil:
		c.opts.Logger.WarnContext(ctx, "orphaned snapshot kept", "collection", c.name, "job", id, "error", err)
		return true
	case h.last.State.Ended():
		return false
	case h.last.State == JobPaused:
		return now.Sub(h.last.At) < min(h.last.PinnedUntil.Sub(h.last.At), maxPause)
	}
	return now.Sub(h.last.At) < orphanGrace
}
