package varve

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// ScheduleOptions say when a schedule takes backups, and how. Only Cron is required.
type ScheduleOptions struct {
	// Cron is when backups are due, in UTC, as robfig/cron reads it: "30 2 * * *" with minute,
	// hour, day of the month, month and day of the week; "@hourly"; "@every 10m". What comes
	// around while a backup is being taken, or nobody runs the schedule, is made up for once.
	Cron string
	// FullCron is when fulls are due. "": each day where Cron comes as close as an hour, each
	// week where it comes as close as a day, and else always. What is due in between is an
	// incremental, or a full where there is none to extend.
	FullCron string
	// FirstRun is before when none is taken. Zero: at once where the collection has no backup of
	// the store, else when the next one is due.
	FirstRun time.Time
	// OnFailure says what follows a backup that failed.
	OnFailure FailurePolicy
	// OnRunning says what becomes of a backup that is due while another is being taken.
	OnRunning OverlapPolicy
	// Existing lets the schedule use a collection that has backups of another store: its
	// own then begin with a full, and stay apart from those. Else Run refuses it.
	Existing bool
	// Backup says how each is taken. Into, Name, FullEvery, AsOf and Collection are not for
	// schedules.
	Backup BackupOptions
	// Changed is told what Status would say each time that something changed. Calls come one at a
	// time, and the schedule waits for them. nil: nobody is.
	Changed func(ScheduleStatus)
	// Clock is what time it is for the schedule. nil: the system's.
	Clock Clock
}

// Clock is time for a schedule.
type Clock interface {
	Now() time.Time
	// Sleep returns after d, or with the error of ctx when that is over.
	Sleep(ctx context.Context, d time.Duration) error
}

// FailurePolicy is what a schedule does after a backup that failed.
type FailurePolicy int

const (
	// Reschedule leaves it at that, until the next one is due.
	Reschedule FailurePolicy = iota
	// Retry tries again after a minute, and then after twice as long each time, up to an hour,
	// or as soon as the next one is due.
	Retry
	// PauseSchedule takes no more until [Schedule.Resume].
	PauseSchedule
)

// OverlapPolicy is what a schedule does about a backup that is due while another is taken, be it
// by another process.
type OverlapPolicy int

const (
	// WaitForRunning takes it after that.
	WaitForRunning OverlapPolicy = iota
	// SkipOverlap leaves it out.
	SkipOverlap
)

// ScheduleStatus is how a schedule stands.
type ScheduleStatus struct {
	Running bool      // a backup is being taken
	Paused  bool      // none is until Resume
	Next    time.Time // when the next one is due; zero: it is not known yet, or Paused
	Full    bool      // and whether it is to be a full
	// Last is the newest layer of the store in the collection, whoever took it; zero: none.
	Last LayerInfo
	// LastSuccess is when the run that made it began, by the clock of its process.
	LastSuccess time.Time
	// RecoveryPointAge is how old the newest moment is that can be restored: what is lost if
	// the store is lost now. It is by the store's timestamps and the schedule's clock. 0: none.
	RecoveryPointAge time.Duration
	// Job is how the job stands that the schedule takes, or has taken last, in this process.
	Job JobStatus
	// Failures counts those since the last success, and Err is of the last one. nil: none.
	Failures int
	Err      error
}

// Schedule takes backups when they are due. It keeps nothing: what was taken when, the
// collection says, so that it goes on from there after a restart, also in another process. All
// methods may be called by several goroutines at once.
type Schedule struct {
	c       *Collection
	targets Targets
	opts    ScheduleOptions
	backups cadence
	fulls   cadence
	running sync.Mutex // held by Run
	seen    outlook    // for Run alone, like what follows
	tried   time.Time  // when the last attempt began; zero: there was none
	again   time.Time  // when one that failed is tried again; zero: as if nothing had happened
	left    string     // ID of a job to go on with; "": there is none
	quiet   quiet      // what is known of a job of another process

	mu      sync.Mutex
	status  ScheduleStatus
	job     *Job          // the last one; nil: there was none
	resumed chan struct{} // closed by Resume
}

// NewSchedule makes a schedule of backups of the targets into the collection, for Run to
// carry out. A collection is for one schedule: two would extend each other's chains. It
// does no I/O.
func (c *Collection) NewSchedule(targets Targets, opts ScheduleOptions) (*Schedule, error) {
	s := &Schedule{c: c, targets: targets, opts: opts, resumed: make(chan struct{})}
	if err := s.complete(); err != nil {
		return nil, fmt.Errorf("schedule for %s: %w", c.name, err)
	}
	return s, nil
}

func (s *Schedule) complete() (err error) {
	if err := s.targets.check(); err != nil {
		return err
	}
	o := &s.opts
	switch b := o.Backup; {
	case o.Cron == "":
		return &OptionError{Field: "Cron", Reason: "is missing"}
	case b.Into != "":
		return &OptionError{Field: "Backup.Into", Reason: "is what the schedule decides"}
	case b.Name != "":
		return &OptionError{Field: "Backup.Name", Reason: "would be the same for each full"}
	case b.FullEvery != 0:
		return &OptionError{Field: "Backup.FullEvery", Reason: "is FullCron of a schedule"}
	case !b.AsOf.IsZero():
		return &OptionError{Field: "Backup.AsOf", Reason: "would be the same for each backup"}
	case o.OnFailure < Reschedule || o.OnFailure > PauseSchedule:
		return &OptionError{Field: "OnFailure", Reason: fmt.Sprintf("%d is not known", o.OnFailure)}
	case o.OnRunning < WaitForRunning || o.OnRunning > SkipOverlap:
		return &OptionError{Field: "OnRunning", Reason: fmt.Sprintf("%d is not known", o.OnRunning)}
	}
	for _, full := range []bool{true, false} {
		b := s.backup(full)
		if err := b.complete(); err != nil {
			return err
		}
	}
	if s.backups, err = parseCadence("Cron", o.Cron); err != nil {
		return err
	}
	if o.FullCron == "" {
		s.fulls, err = fullsFor(s.backups)
	} else {
		s.fulls, err = parseCadence("FullCron", o.FullCron)
	}
	if o.Clock == nil {
		o.Clock = systemClock{now: s.c.opts.Now}
	}
	return err
}

// backup is how one is taken, without what an incremental extends.
func (s *Schedule) backup(full bool) BackupOptions {
	o := s.opts.Backup
	o.scheduled = true
	if full {
		o.Adopt, o.MaxChain = false, 0
	} else {
		o.Into, o.Synthetic = Latest, false
	}
	return o
}

// Status says how the schedule stands.
func (s *Schedule) Status() ScheduleStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.status
	if s.job != nil {
		out.Job = s.job.Status()
	}
	if !out.Last.End.IsZero() {
		out.RecoveryPointAge = max(0, s.opts.Clock.Now().Sub(out.Last.End.Time()))
	}
	return out
}

// Resume ends a pause. What became due meanwhile is made up for.
func (s *Schedule) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Paused = false
	close(s.resumed)
	s.resumed = make(chan struct{})
}

// change changes the status and tells of it.
func (s *Schedule) change(with func(*ScheduleStatus)) {
	s.mu.Lock()
	with(&s.status)
	s.mu.Unlock()
	if s.opts.Changed != nil {
		s.opts.Changed(s.Status())
	}
}

// systemClock sleeps by the system's clock.
type systemClock struct{ now func() time.Time }

func (c systemClock) Now() time.Time { return c.now() }

func (c systemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
