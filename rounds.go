package varve

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// longestSleep is how long a schedule sleeps before it looks at the clock again, which
	// somebody may have set, or which went on while the machine stood still.
	longestSleep = time.Minute
	// A schedule tries again after firstRetry, then after twice as long each time, up to lastRetry.
	firstRetry, lastRetry = time.Minute, time.Hour
)

// Run takes backups when they are due, one at a time, until ctx is over, with whose error it
// returns. A backup that is being taken then is paused, and whoever runs the schedule next
// goes on with it, of the same moment. It fails at once where the collection has backups of another store (see
// ScheduleOptions.Existing), and where it runs already; what fails later is in Status, and
// the policy says what follows.
func (s *Schedule) Run(ctx context.Context) error {
	if !s.running.TryLock() {
		return fmt.Errorf("schedule for %s: %w", s.c.name, &OptionError{Field: "Schedule", Reason: "is being run already"})
	}
	defer s.running.Unlock()
	return fmt.Errorf("schedule for %s: %w", s.c.name, s.run(ctx))
}

func (s *Schedule) run(ctx context.Context) error {
	var foreign *foreignError
	err := s.see(ctx)
	if errors.As(err, &foreign) {
		return &OptionError{Field: "Existing", Reason: "is not set, and " + foreign.Error()}
	}
	if err == nil {
		s.left, _, _ = s.unfinished(ctx) // a round reports that storage does not answer
	}
	for ctx.Err() == nil {
		rest := s.round(ctx)
		if err := s.sleep(ctx, rest); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// sleep returns early when the schedule is resumed.
func (s *Schedule) sleep(ctx context.Context, d time.Duration) error {
	s.mu.Lock()
	resumed := s.resumed
	s.mu.Unlock()
	rest, wake := context.WithCancel(ctx)
	defer wake()
	go func() {
		select {
		case <-resumed:
			wake()
		case <-rest.Done():
		}
	}()
	_ = s.opts.Clock.Sleep(rest, d) // ctx says why it was cut short
	return ctx.Err()
}

// round takes a backup if one is due, and says how long there is nothing to do.
func (s *Schedule) round(ctx context.Context) time.Duration {
	now := s.opts.Clock.Now()
	s.forget(now)
	if s.Status().Paused {
		return longestSleep
	}
	due, full := s.due(now)
	if s.left == "" && due.After(now) {
		s.expect(due, full)
		return min(due.Sub(now), longestSleep)
	}
	before := s.seen.last
	err := s.see(ctx)
	if err == nil && s.seen.last != before {
		return 0 // somebody took one, and perhaps none is due any more
	}
	busy := false
	if err == nil {
		s.left, busy, err = s.unfinished(ctx)
	}
	switch {
	case err != nil:
		s.failed(ctx, now, err)
	case busy:
		if s.opts.OnRunning == SkipOverlap {
			s.tried = now
		}
		s.expect(due, full)
		return longestSleep // also where something is left to be gone on with, which is always due
	default:
		s.take(ctx, now, full)
	}
	return 0
}

// forget takes what happened later than now, for the clock was set back, for something that
// happened now: else nothing would be due for as long as the clock was wrong.
func (s *Schedule) forget(now time.Time) {
	for _, t := range []*time.Time{&s.seen.begun, &s.seen.full, &s.tried} {
		if t.After(now) {
			*t = now
		}
	}
	if s.again.Sub(now) > lastRetry {
		s.again = now
	}
}

// due is when the next backup is due, and whether it is a full.
func (s *Schedule) due(now time.Time) (at time.Time, full bool) {
	at = now
	if last := later(s.seen.begun, s.tried); !last.IsZero() {
		at = s.backups.Next(last.UTC())
		if next := s.fulls.Next(later(s.seen.full, s.tried).UTC()); next.Before(at) {
			at = next
		}
	}
	if !s.again.IsZero() && s.again.Before(at) {
		at = s.again
	}
	at = later(at, s.opts.FirstRun)
	return at, s.seen.full.IsZero() || !s.fulls.Next(s.seen.full.UTC()).After(later(at, now))
}

// take takes a backup, or goes on with one that was left.
func (s *Schedule) take(ctx context.Context, now time.Time, full bool) {
	s.tried, s.again = now, time.Time{}
	job, err := s.begin(ctx, full)
	if err == nil {
		s.change(func(st *ScheduleStatus) { st.Running, st.Next, st.Full, s.job = true, now, full, job })
		_, err = job.Wait(ctx)
		if ctx.Err() != nil {
			s.pause(ctx, job)
		}
	}
	if err != nil {
		s.failed(ctx, now, err)
		return
	}
	layer := job.Status().Layer
	s.seen.last, s.seen.begun = layer.LayerInfo, layer.Manifest.CreatedAt
	if layer.Full() {
		s.seen.full = s.seen.begun
	}
	if s.opts.OnRunning == SkipOverlap {
		s.tried = s.opts.Clock.Now()
	}
	s.change(func(st *ScheduleStatus) {
		st.Running, st.Failures, st.Err = false, 0, nil
		st.Last, st.LastSuccess = s.seen.last, s.seen.begun
	})
}

// begin begins a backup. One that was left and whose moment is gone is left for good.
func (s *Schedule) begin(ctx context.Context, full bool) (*Job, error) {
	if id := s.left; id != "" {
		s.left = ""
		job, err := s.resume(ctx, id)
		if err == nil || ctx.Err() != nil {
			return job, err
		}
		s.c.opts.Logger.WarnContext(ctx, "scheduled backup cannot be gone on with", "collection", s.c.name, "job", id, "err", err)
	}
	o := s.backup(full)
	if !full {
		o.Into = s.seen.last.ID
	}
	return s.c.StartBackup(ctx, s.targets, &o)
}

func (s *Schedule) resume(ctx context.Context, id string) (*Job, error) {
	if s.c.jobs.find(id) != nil {
		return s.c.ResumeJob(ctx, id, s.targets.store)
	}
	w, err := s.c.reopenBackup(ctx, s.targets.store, id, &run{opts: s.opts.Backup}) // whose functions are the caller's
	if err != nil {
		return nil, err
	}
	return s.c.launch(context.WithoutCancel(ctx), w), nil
}

// pause pauses the job as Run ends, for whoever runs the schedule next. One that cannot be
// paused has ended.
func (s *Schedule) pause(ctx context.Context, job *Job) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
	defer cancel()
	if err := job.Pause(ctx); err != nil {
		s.c.opts.Logger.WarnContext(ctx, "scheduled backup is not paused", "collection", s.c.name, "job", job.id, "err", err)
	}
}

// see looks at the collection.
func (s *Schedule) see(ctx context.Context) error {
	seen, err := s.look(ctx)
	if err != nil {
		return err
	}
	s.seen = seen
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Last, s.status.LastSuccess = seen.last, seen.begun
	return nil
}

// failed does what the policy says after a failure.
func (s *Schedule) failed(ctx context.Context, now time.Time, err error) {
	if ctx.Err() != nil { // it is Run that ends
		s.change(func(st *ScheduleStatus) { st.Running = false })
		return
	}
	s.tried, s.again = now, time.Time{}
	s.c.opts.Logger.Warn("scheduled backup failed", "collection", s.c.name, "err", err)
	s.change(func(st *ScheduleStatus) {
		st.Running, st.Failures, st.Err = false, st.Failures+1, err
		switch s.opts.OnFailure {
		case Retry:
			s.again = s.opts.Clock.Now().Add(min(firstRetry<<min(st.Failures-1, 10), lastRetry))
		case PauseSchedule:
			st.Paused, st.Next = true, time.Time{}
		}
	})
}

// expect says what comes next, if that has changed.
func (s *Schedule) expect(at time.Time, full bool) {
	if st := s.Status(); !st.Next.Equal(at) || st.Full != full {
		s.change(func(st *ScheduleStatus) { st.Next, st.Full = at, full })
	}
}
