package varve

import (
	"context"
	"time"
)

// jobsLooked is how many jobs a schedule looks at, those that said something last: a job that
// goes on says something every few minutes.
const jobsLooked = 16

// quiet is what a schedule remembers of a job that another process runs, so that no clock
// but its own decides that the process has died.
type quiet struct {
	job   string
	seen  time.Time // when it last said something, by the bucket's clock
	since time.Time // when that was first noticed
}

// unfinished finds the backup that an earlier run of the schedule has left, or "", and whether
// any backup goes on.
func (s *Schedule) unfinished(ctx context.Context) (left string, busy bool, err error) {
	err = s.c.do(ctx, "schedule", func(b *collectionBucket) error {
		if b.id == "" {
			return nil
		}
		all, err := b.listJobs(ctx)
		if err != nil {
			return err
		}
		statuses, err := s.c.jobStatuses(ctx, b, all[:min(len(all), jobsLooked)])
		for _, st := range statuses {
			switch {
			case st.Kind != BackupJob || st.State.Ended():
			case st.State == JobPaused || s.isDead(st):
				if st.Scheduled && left == "" {
					left = st.ID
				}
			default:
				busy = true
			}
		}
		return err
	})
	return left, busy, err
}

// isDead reports whether the process of a job that runs has died.
func (s *Schedule) isDead(st JobStatus) bool {
	if s.c.jobs.find(st.ID) != nil {
		return false
	}
	now := s.opts.Clock.Now()
	if s.quiet.job != st.ID || !s.quiet.seen.Equal(st.LastSeen) || now.Before(s.quiet.since) {
		s.quiet = quiet{job: st.ID, seen: st.LastSeen, since: now}
	}
	return st.Orphaned || now.Sub(s.quiet.since) > orphanAfter
}
