package varve

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// defaultMaxPause is how long a job may be paused.
const defaultMaxPause = 24 * time.Hour

// lastWord is how long a job that ends may take to say so.
const lastWord = 30 * time.Second

// ErrPaused is returned by Job.Wait where the collection was closed, which pauses its jobs:
// go on with the job by Collection.ResumeJob.
var ErrPaused = errors.New("the job is paused")

var (
	errPause  = errors.New("the job is paused") // why the context of a run ended
	errCancel = errors.New("the job is canceled")
	errLost   = errors.New("the job is somebody else's by now")
)

// Job is a backup or restore that goes on by itself: until it ends, somebody pauses or
// cancels it, or its collection is closed. It is safe for concurrent use.
type Job struct {
	c    *Collection
	id   string
	turn *semaphore.Weighted // Pause, Resume and Cancel come one at a time

	mu     sync.Mutex
	state  JobState
	work   work
	stop   context.CancelCauseFunc // ends the run that goes on
	idle   chan struct{}           // closed when none goes on
	ended  chan struct{}           // closed in the last state, or when the collection is
	shut   bool                    // the collection is closed
	status JobStatus               // when the last run ended
	timer  *time.Timer             // of a pause
	after  func() error            // when it has ended; may be nil
}

// JobStatus is how a job stands. Of one that goes on in another process, or did, it is
// what that has written down.
type JobStatus struct {
	ID       string
	State    JobState
	Fraction float64       // by bytes
	ETA      time.Duration // 0: not known
	Phase    string
	Stats    Stats
	Layer    *Layer    // of a backup that succeeded; from a listing without Manifest
	Restored *Restored // of a restore that succeeded, in this process
	Err      error

	Kind      JobKind
	Scheduled bool   // by a Schedule
	LayerID   string // that it writes, or restores
	Path      string
	Begun     time.Time
	// LastSeen is when the job last said anything, by the bucket's clock, and Orphaned
	// that it runs and has not for long: its process has died, or is about to say so.
	LastSeen time.Time
	Orphaned bool
	// PinnedBytes are what the snapshot of a job that is paused held when it was, and
	// PinnedUntil is when it is released.
	PinnedBytes int64
	PinnedUntil time.Time
	// Left is what a job that was canceled has left in the bucket; nil: nothing.
	Left *Leftovers
}

// work is what a job does. One goroutine at a time uses it, but for fill.
type work interface {
	id() string
	kind() JobKind
	verb() string // for errors
	meant() (layer, path string)
	since() time.Time
	maxPause() time.Duration
	records() *journal

	// proceed does all that is left to do.
	proceed(ctx context.Context) error
	// park lets go of what the work holds but for what it needs to be gone on with, and is
	// how much the store keeps for it.
	park(ctx context.Context) (pinned int64, err error)
	// leave lets go of what a parked work still holds in this process.
	leave() error
	// end gives back everything, once the work is done or never will be.
	end(ctx context.Context, err error) error
	// undo removes what was written, once it never will be; nil if nothing is left.
	undo(ctx context.Context) *Leftovers
	// overdue is why a work that was parked for too long cannot be gone on with.
	overdue() error
	// again is the same work, to be gone on with.
	again(ctx context.Context) (work, error)
	// fill says how far it is.
	fill(s *JobStatus)
}

// launch makes a job of work that has begun.
func (c *Collection) launch(life context.Context, w work) *Job {
	j := &Job{
		c: c, id: w.id(), turn: semaphore.NewWeighted(1), ended: make(chan struct{}), state: JobPending,
		status: JobStatus{ID: w.id(), State: JobPending},
	}
	c.jobs.add(j)
	j.start(life, w)
	return j
}

// start begins a run.
func (j *Job) start(life context.Context, w work) {
	ctx, stop := context.WithCancelCause(life)
	idle := make(chan struct{})
	j.mu.Lock()
	j.to(JobRunning)
	j.work, j.stop, j.idle = w, stop, idle
	j.mu.Unlock()
	go func() {
		defer close(idle)
		defer stop(nil)
		j.run(ctx, w)
	}()
}

// to changes the state. It needs j.mu.
func (j *Job) to(s JobState) {
	if !j.state.canBecome(s) {
		panic(fmt.Sprintf("job %s: %s cannot become %s", j.id, j.state, s))
	}
	j.state = s
}

// run does the work, and says how it ended. What is to be said is said also when the
// caller has left.
func (j *Job) run(ctx context.Context, w work) {
	err := w.proceed(ctx)
	why := context.Cause(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
	defer cancel()
	switch {
	case err == nil:
		j.end(last, w, JobSucceeded, nil)
	case errors.Is(err, errLost):
		j.end(last, w, JobFailed, err)
	case errors.Is(why, errPause) && j.State() != JobCanceling:
		j.park(last, w)
	case errors.Is(why, errPause), errors.Is(why, errCancel):
		j.end(context.WithoutCancel(ctx), w, JobCanceled, context.Canceled)
	case ctx.Err() != nil:
		j.end(last, w, JobCanceled, err)
	default:
		j.end(last, w, JobFailed, err)
	}
}

// park makes a job that was stopped a paused one.
func (j *Job) park(ctx context.Context, w work) {
	pinned, err := w.park(ctx)
	var s JobStatus
	w.fill(&s)
	detail := jobDetail{Stats: s.Stats, Fraction: s.Fraction, Phase: Phase(s.Phase), Pinned: pinned}
	if err = errors.Join(err, w.records().append(ctx, JobPaused, w.maxPause(), detail)); errors.Is(err, errLost) {
		j.end(ctx, w, JobFailed, err)
		return
	}
	if err != nil {
		// It can be resumed here all the same, and elsewhere as if its process had died.
		j.c.opts.Logger.WarnContext(ctx, "pause is not written down", "collection", j.c.name, "job", j.id, "error", err)
	}
	s.PinnedBytes, s.PinnedUntil, s.ETA = pinned, j.c.opts.Now().Add(w.maxPause()), 0
	if !j.pausedAs(s) {
		j.end(context.WithoutCancel(ctx), w, JobCanceled, context.Canceled)
		return
	}
	j.c.opts.Logger.InfoContext(ctx, "job paused", "collection", j.c.name, "job", j.id, "pinned_bytes", pinned)
}

// pausedAs makes the state that of a pause; false, if somebody has canceled meanwhile.
func (j *Job) pausedAs(s JobStatus) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state == JobCanceling {
		return false
	}
	j.to(JobPaused)
	j.status = s
	j.timer = time.AfterFunc(j.work.maxPause(), j.expire)
	return true
}

// expire ends a job that was paused for too long.
func (j *Job) expire() {
	ctx := context.Background()
	if j.turn.Acquire(ctx, 1) != nil {
		return
	}
	defer j.turn.Release(1)
	j.mu.Lock()
	w, due := j.work, j.state == JobPaused && !j.shut
	j.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lastWord)
	defer cancel()
	j.end(ctx, w, JobFailed, fmt.Errorf("it was paused for longer than %s: %w", w.maxPause(), w.overdue()))
}

// end gives back what the work holds and makes the state the last one.
func (j *Job) end(ctx context.Context, w work, state JobState, err error) {
	lost := errors.Is(err, errLost)
	if lost {
		err = errors.Join(err, w.leave()) // the rest is the winner's
	} else {
		err = w.end(ctx, err)
	}
	var s JobStatus
	w.fill(&s)
	if state == JobCanceled && errors.Is(err, context.Canceled) && j.State() == JobCanceling {
		s.Left = w.undo(ctx)
	}
	if err != nil {
		s.Err = fmt.Errorf("%s: %w", w.verb(), err)
	}
	if state == JobSucceeded {
		s.Fraction = 1
	}
	s.ETA = 0
	if !lost {
		j.record(ctx, w, state, &s, err)
	}
	j.c.jobs.remove(j)
	j.mu.Lock()
	after := j.after
	j.after = nil
	j.to(state)
	j.status = s
	j.mu.Unlock()
	if after != nil {
		if err := after(); err != nil {
			j.mu.Lock()
			j.status.Err = errors.Join(j.status.Err, err)
			j.mu.Unlock()
		}
	}
	close(j.ended)
}

// record writes down how the job ended. What it did stays done if that fails: a listing
// looks for the manifest.
func (j *Job) record(ctx context.Context, w work, state JobState, s *JobStatus, err error) {
	detail := jobDetail{Stats: s.Stats, Fraction: s.Fraction, Phase: Phase(s.Phase), Left: s.Left}
	if err != nil {
		detail.Error = err.Error()
	}
	if err := w.records().append(ctx, state, 0, detail); err != nil {
		j.c.opts.Logger.WarnContext(ctx, "end of a job is not written down", "collection", j.c.name, "job", j.id, "state", state.String(), "error", err)
	}
}

// closeWhenEnded lets a job close its collection, which was opened for it.
func (j *Job) closeWhenEnded() {
	j.mu.Lock()
	ended := j.state.Ended()
	if !ended {
		j.after = j.c.Close
	}
	j.mu.Unlock()
	if ended {
		if err := j.c.Close(); err != nil {
			j.c.opts.Logger.Warn("collection of a job is not closed", "collection", j.c.name, "job", j.id, "error", err)
		}
	}
}

// ID is the name under which the job is listed, and resumed by other processes.
func (j *Job) ID() string { return j.id }

// State is how the job stands.
func (j *Job) State() JobState {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state
}

// Status is how the job stands, without asking storage.
func (j *Job) Status() JobStatus {
	j.mu.Lock()
	w, s, state := j.work, j.status, j.state
	j.mu.Unlock()
	if state == JobRunning || state == JobCanceling {
		w.fill(&s)
	}
	s.ID, s.State, s.Kind, s.Begun = j.id, state, w.kind(), w.since()
	s.LayerID, s.Path = w.meant()
	s.LastSeen = j.c.opts.Now()
	return s
}

// Wait returns when the job has ended, with its error, or when ctx has, which ends the wait
// and not the job. It waits for a job that is paused, too, unless its collection is closed:
// then that is [ErrPaused].
func (j *Job) Wait(ctx context.Context) (JobStatus, error) {
	select {
	case <-j.ended:
	case <-ctx.Done():
		return j.Status(), ctx.Err()
	}
	s := j.Status()
	if !s.State.Ended() {
		return s, fmt.Errorf("job %s: %w", j.id, ErrPaused)
	}
	return s, s.Err
}

// Pause stops the job and returns when nothing of it goes on. What it has stored is written
// down, and its snapshot stays in the store, so that it, or another process, can go on with
// the same moment; see BackupOptions.MaxPause. If ctx ends before, the job will be paused all
// the same. A job that is paused stays so; of one that has ended it is a *JobStateError.
func (j *Job) Pause(ctx context.Context) error {
	if err := j.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer j.turn.Release(1)
	idle := j.halt(errPause)
	if idle == nil {
		return j.mustBe(JobPaused)
	}
	select {
	case <-idle:
		return j.mustBe(JobPaused)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// halt stops the run that goes on, and is closed when it has stopped; nil: none goes on.
func (j *Job) halt(why error) chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state != JobRunning && j.state != JobCanceling {
		return nil
	}
	if j.state == JobRunning && errors.Is(why, errCancel) {
		j.to(JobCanceling)
	}
	j.stop(why)
	return j.idle
}

func (j *Job) mustBe(state JobState) error {
	if s := j.State(); s != state {
		return &JobStateError{ID: j.id, State: s}
	}
	return nil
}

// Resume goes on with a job that is paused, unless another process has: that is
// [ErrConflict]. Ctx ends the call, not the job. A job that runs goes on; of one that has ended
// it is a *JobStateError.
func (j *Job) Resume(ctx context.Context) error {
	if err := j.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer j.turn.Release(1)
	j.mu.Lock()
	if j.state != JobPaused || j.shut {
		defer j.mu.Unlock()
		if j.state == JobRunning {
			return nil
		}
		return &JobStateError{ID: j.id, State: j.state}
	}
	j.to(JobPending)
	j.timer.Stop()
	w := j.work
	j.mu.Unlock()
	next, err := w.again(ctx)
	if err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.to(JobPaused)
		j.timer.Reset(max(j.status.PinnedUntil.Sub(j.c.opts.Now()), time.Second))
		return fmt.Errorf("resume %s: %w", w.verb(), err)
	}
	j.start(context.WithoutCancel(ctx), next)
	return nil
}

// Cancel stops the job and removes what it wrote, and returns when that is done. If ctx ends
// before, the job will be canceled all the same. What cannot be removed, for there is no
// right to, is in JobStatus.Left and in the error, and is a matter for [Collection.Expire]: the
// job is canceled. One that has ended otherwise is a *JobStateError.
func (j *Job) Cancel(ctx context.Context) error {
	if err := j.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer j.turn.Release(1)
	idle := j.halt(errCancel)
	if idle == nil {
		if err := j.cancelPaused(ctx); err != nil {
			return err
		}
		return j.canceled()
	}
	select {
	case <-idle:
		return j.canceled()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cancelPaused ends a job of which nothing goes on. Another process may go on with it,
// which is known when it cannot be written down that it is canceled.
func (j *Job) cancelPaused(ctx context.Context) error {
	j.mu.Lock()
	w := j.work
	if j.state != JobPaused || j.shut {
		j.mu.Unlock()
		return nil
	}
	j.to(JobCanceling)
	j.timer.Stop()
	j.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	if err := w.records().append(ctx, JobCanceling, 0, jobDetail{}); errors.Is(err, errLost) {
		j.end(ctx, w, JobFailed, err)
		return nil
	}
	j.end(ctx, w, JobCanceled, context.Canceled)
	return nil
}

// canceled says whether the job was, and what it left.
func (j *Job) canceled() error {
	if err := j.mustBe(JobCanceled); err != nil {
		return err
	}
	if left := j.Status().Left; left != nil {
		return fmt.Errorf("job %s is canceled: %w", j.id, left)
	}
	return nil
}

// close pauses the job for its collection is being closed, and ends who waits for it.
func (j *Job) close() error {
	ctx := context.Background()
	if err := j.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer j.turn.Release(1)
	if idle := j.halt(errPause); idle != nil {
		<-idle
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state.Ended() || j.shut {
		return nil
	}
	j.shut = true
	j.timer.Stop()
	close(j.ended)
	return j.work.leave()
}
