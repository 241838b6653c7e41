package varve_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

var scheduleSeeds = flag.Uint64("schedule.seeds", 4, "how many schedules are interrupted, and have their clocks set, at random")

// timetable runs schedules of one collection in a time of its own: whoever sleeps lets it
// pass, and at some moments something happens.
type timetable struct {
	testing.TB
	bucket *faultblob.Bucket
	store  *memkv.Store
	clock  sync.Mutex // guards now: backups let time pass, too
	now    time.Time
	ahead  time.Duration        // of the bucket's clock
	events map[time.Time]func() // at moments, each once
	slow   time.Duration        // how long a backup takes, all of it before it is committed
	refuse error                // what each backup fails with
	tried  []time.Time          // when backups began
	said   []varve.ScheduleStatus
	stop   context.CancelFunc

	running context.Context // over when the schedule is stopped
}

// monday is when timetables begin.
var monday = time.Date(2026, 11, 23, 0, 30, 0, 0, time.UTC)

func newTimetable(t testing.TB) *timetable {
	s := &timetable{TB: t, now: monday, events: map[time.Time]func(){}, running: t.Context()}
	s.bucket = faultblob.New(t, &faultblob.Options{Now: func() time.Time { return s.Now().Add(s.ahead) }})
	s.store = s.newStore()
	fill(s.store, 20, 1)
	return s
}

func (s *timetable) newStore() *memkv.Store {
	store, err := memkv.New(&memkv.Options{SingleRevision: true, Now: s.Now})
	require.NoError(s, err)
	return store
}

func (s *timetable) Now() time.Time {
	s.clock.Lock()
	defer s.clock.Unlock()
	return s.now
}

func (s *timetable) set(now time.Time) {
	s.clock.Lock()
	defer s.clock.Unlock()
	s.now = now
}

func (s *timetable) Sleep(ctx context.Context, d time.Duration) error {
	require.LessOrEqual(s, d, time.Minute, "a schedule must look at the clock")
	s.pass(max(d, time.Millisecond))
	return ctx.Err()
}

func (s *timetable) pass(d time.Duration) {
	to := s.Now().Add(d)
	for {
		var next time.Time
		for at := range s.events {
			if !at.After(to) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		if next.IsZero() {
			s.set(to)
			return
		}
		event := s.events[next]
		delete(s.events, next)
		s.set(next)
		event()
		if s.Now() != next || s.running.Err() != nil {
			return // the clock was set, or nobody waits any more
		}
	}
}

func (s *timetable) at(d time.Duration, event func()) { s.events[monday.Add(d)] = event }

func (s *timetable) collection() *varve.Collection {
	c, err := varve.NewCollection(s.bucket.Open(), &varve.CollectionOptions{Now: s.Now})
	require.NoError(s, err)
	return c
}

func (s *timetable) schedule(opts varve.ScheduleOptions) *varve.Schedule {
	opts.Clock = s
	opts.Backup.Authorize = func(context.Context, varve.Privilege, export.Object) error {
		s.tried = append(s.tried, s.Now())
		return s.refuse
	}
	s.bucket.Park(func(ctx context.Context, op faultblob.Op) {
		if op.Kind != faultblob.Put || !strings.HasSuffix(op.Key, "/files.sst") {
			return
		}
		if s.pass(s.slow); s.running.Err() != nil {
			<-ctx.Done() // the backup is about to be paused
		}
	})
	opts.Changed = func(st varve.ScheduleStatus) { s.said = append(s.said, st) }
	schedule, err := s.collection().NewSchedule(varve.Cluster(s.store), opts)
	require.NoError(s, err)
	return schedule
}

// run runs a schedule for a while from monday on.
func (s *timetable) run(until time.Duration, schedule *varve.Schedule) {
	s.running, s.stop = context.WithCancel(s.Context())
	s.at(until, s.stop)
	require.ErrorIs(s, schedule.Run(s.running), context.Canceled)
}

// layers are those of the collection, the oldest first: when each began, and "full" or the
// number of what it extends.
func (s *timetable) layers() (out []string) {
	number := map[string]int{}
	var all []varve.LayerInfo
	for l, err := range s.collection().Layers(s.Context()) {
		require.NoError(s, err)
		all = append([]varve.LayerInfo{l}, all...)
	}
	for i, l := range all {
		number[l.ID] = i
		layer, err := s.collection().Layer(s.Context(), l.ID)
		require.NoError(s, err)
		kind := "full"
		if !l.Full() {
			kind = fmt.Sprint(number[l.ParentID])
		}
		out = append(out, layer.Manifest.CreatedAt.Format("Mon 15:04 ")+kind)
	}
	return out
}

// requireWhole verifies and restores the newest layer.
func (s *timetable) requireWhole() {
	report, err := s.collection().Verify(s.Context(), varve.Latest, &varve.VerifyOptions{Level: varve.VerifyDigest})
	require.NoError(s, err)
	require.Empty(s, report.Problems)
	restored := s.newStore()
	_, err = s.collection().Restore(s.Context(), varve.Cluster(restored), nil)
	require.NoError(s, err)
	require.Equal(s, stateOf(s.store), stateOf(restored))
}

const day = 24 * time.Hour

// TestSchedule: what is taken when, of each kind of cadence.
func TestSchedule(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		opts  varve.ScheduleOptions
		until time.Duration
		want  string
	}{
		{"each night, fulls each week", varve.ScheduleOptions{Cron: "0 2 * * *"}, 8*day + 2*time.Hour,
			"Mon 00:30 full, Mon 02:00 0, Tue 02:00 1, Wed 02:00 2, Thu 02:00 3, Fri 02:00 4, Sat 02:00 5, Sun 00:00 full, Sun 02:00 7, Mon 02:00 8, Tue 02:00 9"},
		{"each hour, fulls each day", varve.ScheduleOptions{Cron: "@every 1h"}, 3 * time.Hour, "Mon 00:30 full, Mon 01:30 0, Mon 02:30 1"},
		{"each hour, at midnight", varve.ScheduleOptions{Cron: "@hourly", FirstRun: monday.Add(22 * time.Hour)}, 25 * time.Hour,
			"Mon 22:30 full, Mon 23:00 0, Tue 00:00 full, Tue 01:00 2"},
		{"each second day, all fulls", varve.ScheduleOptions{Cron: "0 12 * * 1,3,5"}, 5 * day, "Mon 00:30 full, Mon 12:00 full, Wed 12:00 full, Fri 12:00 full"},
		{"fulls by a cadence of their own", varve.ScheduleOptions{Cron: "0 */6 * * *", FullCron: "0 3 * * *"}, 25 * time.Hour,
			"Mon 00:30 full, Mon 03:00 full, Mon 06:00 1, Mon 12:00 2, Mon 18:00 3, Tue 00:00 4"},
		{"not before", varve.ScheduleOptions{Cron: "@daily", FirstRun: monday.Add(30 * time.Hour)}, 48 * time.Hour, "Tue 06:30 full, Wed 00:00 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newTimetable(t)
			s.run(test.until, s.schedule(test.opts))
			require.Equal(t, test.want, strings.Join(s.layers(), ", "))
			s.requireWhole()
		})
	}
}

// TestScheduleGoesOn: a schedule that ends at any time, and begins again at another, takes
// what one takes that never ends, and what was missed once.
func TestScheduleGoesOn(t *testing.T) {
	t.Parallel()
	opts := varve.ScheduleOptions{Cron: "0 */4 * * *", FullCron: "0 0 * * *"}
	whole := newTimetable(t)
	whole.run(3*day, whole.schedule(opts))
	for seed := range *scheduleSeeds {
		rng := rand.New(rand.NewPCG(seed, 0))
		s := newTimetable(t)
		for at := time.Duration(0); at < 3*day; {
			at = min(3*day, at+time.Duration(rng.Int64N(int64(8*time.Hour))))
			s.write(rng)
			s.run(at, s.schedule(opts))
		}
		require.Equal(t, whole.layers(), s.layers(), seed)
		s.run(3*day+time.Hour, s.schedule(opts))
		s.set(monday.Add(3*day + 11*time.Hour)) // two were missed
		s.run(3*day+11*time.Hour+time.Minute, s.schedule(opts))
		require.Equal(t, append(whole.layers(), "Thu 11:30 18"), s.layers())
		s.requireWhole()
	}
}

func (s *timetable) write(rng *rand.Rand) {
	for range rng.IntN(5) {
		s.store.Set(fmt.Appendf(nil, "key-%d", rng.IntN(50)), fmt.Append(nil, rng.Uint64()))
	}
}

// TestScheduleFailures: each policy, while nothing works from 01:30 to 07:30.
func TestScheduleFailures(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for policy, want := range map[varve.FailurePolicy]string{
		varve.Reschedule:    "00:30 02:00 04:00 06:00 08:00",
		varve.Retry:         "00:30 02:00 02:01 02:03 02:07 02:15 02:31 03:03 04:00 05:00 06:00 07:00 08:00",
		varve.PauseSchedule: "00:30 02:00 05:00 08:10",
	} {
		s := newTimetable(t)
		schedule := s.schedule(varve.ScheduleOptions{Cron: "0 */2 * * *", OnFailure: policy})
		s.at(time.Hour, func() { s.refuse = broken })
		s.at(4*time.Hour+30*time.Minute, schedule.Resume)
		s.at(7*time.Hour, func() {
			st := schedule.Status()
			require.ErrorIs(t, st.Err, broken)
			require.Equal(t, policy == varve.PauseSchedule, st.Paused)
			require.Equal(t, st.Paused, st.Next.IsZero())
			require.Equal(t, strings.Count(want, " ")-1, st.Failures, "all but the first and the last")
			require.Equal(t, monday, st.LastSuccess)
			require.Equal(t, 7*time.Hour, st.RecoveryPointAge.Round(time.Second))
			s.refuse = nil
		})
		s.at(7*time.Hour+40*time.Minute, schedule.Resume)
		s.run(9*time.Hour, schedule)
		var tried []string
		for _, at := range s.tried {
			tried = append(tried, at.Format("15:04"))
		}
		require.Equal(t, want, strings.Join(tried, " "), policy)
		require.Len(t, s.layers(), 2)
		require.Zero(t, schedule.Status().Failures)
		require.NoError(t, schedule.Status().Err)
		s.requireWhole()
	}
}

// TestScheduleWithoutStorage: a bucket that does not answer is a failure like any other.
func TestScheduleWithoutStorage(t *testing.T) {
	t.Parallel()
	s := newTimetable(t)
	s.at(3*time.Hour, func() { s.bucket.Inject(faultblob.From(1, faultblob.Fault{Kind: faultblob.Denied})) })
	s.at(6*time.Hour, func() { s.bucket.Inject(nil) })
	s.run(9*time.Hour, s.schedule(varve.ScheduleOptions{Cron: "0 */2 * * *"}))
	require.Equal(t, "Mon 00:30 full, Mon 02:00 0, Mon 08:00 1", strings.Join(s.layers(), ", "))
	s.requireWhole()
}

// TestScheduleOverlaps: backups that take five hours, due every second.
func TestScheduleOverlaps(t *testing.T) {
	t.Parallel()
	for policy, want := range map[varve.OverlapPolicy]string{
		varve.WaitForRunning: "Mon 00:30 full, Mon 05:30 0, Mon 10:30 1",
		varve.SkipOverlap:    "Mon 00:30 full, Mon 06:00 0, Mon 12:00 1",
	} {
		s := newTimetable(t)
		s.slow = 5 * time.Hour
		s.run(17*time.Hour, s.schedule(varve.ScheduleOptions{Cron: "0 */2 * * *", OnRunning: policy}))
		got := s.layers()
		require.Equal(t, want, strings.Join(got[:min(3, len(got))], ", "), policy)
	}
}

// TestScheduleBesideOthers: a backup that somebody takes by hand counts.
func TestScheduleBesideOthers(t *testing.T) {
	t.Parallel()
	s := newTimetable(t)
	s.at(110*time.Minute, func() {
		_, err := s.collection().Backup(s.Context(), varve.Cluster(s.store), &varve.BackupOptions{Into: varve.Latest})
		require.NoError(t, err)
	})
	s.run(5*time.Hour, s.schedule(varve.ScheduleOptions{Cron: "@every 2h"}))
	require.Equal(t, "Mon 00:30 full, Mon 02:20 0, Mon 04:20 1", strings.Join(s.layers(), ", "))
}

// TestScheduleOfAnotherStore: a collection that another store uses is refused, unless told.
func TestScheduleOfAnotherStore(t *testing.T) {
	t.Parallel()
	s := newTimetable(t)
	other := s.newStore()
	fill(other, 10, 2)
	foreign := func(into string) {
		_, err := s.collection().Backup(s.Context(), varve.Cluster(other), &varve.BackupOptions{Into: into})
		require.NoError(t, err)
	}
	foreign("")
	s.set(s.now.Add(time.Hour))
	err := s.schedule(varve.ScheduleOptions{Cron: "@hourly"}).Run(t.Context())
	var option *varve.OptionError
	require.ErrorAs(t, err, &option)
	require.Equal(t, "Existing", option.Field)
	require.ErrorContains(t, err, "2026/11/23-003000")
	s.at(165*time.Minute, func() { foreign("") })
	s.run(5*time.Hour, s.schedule(varve.ScheduleOptions{Cron: "@hourly", Existing: true}))
	require.Equal(t, "Mon 00:30 full, Mon 01:30 full, Mon 02:00 1, Mon 03:00 2, Mon 03:15 full, Mon 04:00 3, Mon 05:00 5", strings.Join(s.layers(), ", "))
}

// TestScheduleKeepsChainsShort: MaxChain is about the incrementals of a schedule.
func TestScheduleKeepsChainsShort(t *testing.T) {
	t.Parallel()
	s := newTimetable(t)
	s.run(9*time.Hour+time.Minute, s.schedule(varve.ScheduleOptions{Cron: "@every 1h", Backup: varve.BackupOptions{MaxChain: 3}}))
	require.Len(t, s.tried, 10)
	chain, err := s.collection().Resolve(t.Context(), varve.Latest, varve.Timestamp{})
	require.NoError(t, err)
	require.LessOrEqual(t, len(chain.Layers), 3)
	s.requireWhole()
}

// TestScheduleBesideALeftJob: while another backup goes on, a schedule that has one to go on with
// looks at it once a minute, and not all the time.
func TestScheduleBesideALeftJob(t *testing.T) {
	t.Parallel()
	s := newTimetable(t)
	opts := varve.ScheduleOptions{Cron: "0 */6 * * *", OnRunning: varve.SkipOverlap}
	s.at(time.Hour, func() { s.slow = 6 * time.Hour })
	s.run(8*time.Hour, s.schedule(opts))
	s.slow = 0
	parked, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.bucket.Park(func(_ context.Context, op faultblob.Op) {
		if op.Kind == faultblob.Put && strings.HasSuffix(op.Key, "/files.sst") {
			once.Do(func() { close(parked); <-goOn })
		}
	})
	other, err := s.collection().StartBackup(t.Context(), varve.Cluster(s.store), nil)
	require.NoError(t, err)
	<-parked
	second := s.schedule(opts)
	s.bucket.Park(nil)
	s.bucket.Reset()
	s.run(8*time.Hour+10*time.Minute, second)
	require.Less(t, s.bucket.Count(faultblob.List), 60)
	close(goOn)
	_, err = other.Wait(t.Context())
	require.NoError(t, err)
	s.run(9*time.Hour, second)
	s.requireWhole()
}

// TestScheduleAdopts: a store that was restored goes on with the chain, if it may.
func TestScheduleAdopts(t *testing.T) {
	t.Parallel()
	s := newTimetable(t)
	opts := varve.ScheduleOptions{Cron: "@every 2h", Backup: varve.BackupOptions{Adopt: true}}
	s.run(3*time.Hour, s.schedule(opts))
	restored := s.newStore()
	_, err := s.collection().Restore(t.Context(), varve.Cluster(restored), nil)
	require.NoError(t, err)
	s.store = restored
	s.store.Set([]byte("new"), []byte("life"))
	s.run(5*time.Hour, s.schedule(opts))
	require.Equal(t, "Mon 00:30 full, Mon 02:30 0, Mon 04:30 1", strings.Join(s.layers(), ", "))
	s.requireWhole()
}

// TestScheduleClocks: however the clock is set, backups go on by it, and there is no storm of them.
func TestScheduleClocks(t *testing.T) {
	t.Parallel()
	for seed := range *scheduleSeeds {
		rng := rand.New(rand.NewPCG(seed, 0))
		s := newTimetable(t)
		jumps, passed := 0, time.Duration(0)
		var last time.Time
		jump := func() {}
		jump = func() {
			if last.IsZero() {
				last = s.now
			}
			passed += s.now.Sub(last)
			if jumps++; jumps > 20 {
				s.stop()
				return
			}
			far := []time.Duration{time.Minute, 5 * time.Hour, 40 * day, 400 * day}[rng.IntN(4)]
			s.set(s.now.Add(time.Duration(rng.Int64N(int64(2*far))) - far))
			last = s.now
			s.events = map[time.Time]func(){s.now.Add(time.Duration(rng.Int64N(int64(10 * time.Hour)))): jump}
		}
		s.at(time.Duration(rng.Int64N(int64(10*time.Hour))), jump)
		s.running, s.stop = context.WithCancel(t.Context())
		require.ErrorIs(t, s.schedule(varve.ScheduleOptions{Cron: "0 */2 * * *"}).Run(s.running), context.Canceled)
		hours := int(passed / time.Hour)
		require.LessOrEqual(t, len(s.tried), hours/2+2*jumps+3, seed)
		require.GreaterOrEqual(t, len(s.tried), hours/2-2*jumps, seed)
	}
}

// TestScheduleStops: a schedule that is stopped in the midst of a backup leaves it paused, and
// the next one goes on with it at once, as of the same moment, in the same process or in another.
func TestScheduleStops(t *testing.T) {
	t.Parallel()
	for _, other := range []bool{false, true} {
		s := newTimetable(t)
		opts := varve.ScheduleOptions{Cron: "0 */6 * * *"}
		schedule := s.schedule(opts)
		s.at(time.Hour, func() { s.slow = 6 * time.Hour })
		s.run(8*time.Hour, schedule)
		st := schedule.Status()
		require.NoError(t, st.Err)
		require.False(t, st.Running)
		require.Equal(t, varve.JobPaused, st.Job.State)
		require.Equal(t, []string{"Mon 00:30 full"}, s.layers())
		for _, st := range s.said {
			require.NoError(t, st.Err)
		}
		want := stateOf(s.store)
		s.store.Set([]byte("later"), []byte("x"))
		s.slow = 0
		if other {
			schedule = s.schedule(opts)
		}
		s.run(10*time.Hour, schedule)
		require.Equal(t, []string{"Mon 00:30 full", "Mon 06:00 0"}, s.layers())
		require.Equal(t, st.Job.ID, schedule.Status().Job.ID)
		require.Len(t, s.tried, 2)
		restored := s.newStore()
		_, err := s.collection().Restore(t.Context(), varve.Cluster(restored), nil)
		require.NoError(t, err)
		require.Equal(t, want, stateOf(restored), "as of six o'clock")
		s.run(13*time.Hour, schedule)
		require.Equal(t, "Mon 12:00 1", s.layers()[2])
		s.requireWhole()
	}
}

// TestScheduleAfterCrash: what a process leaves that was killed is gone on with when it has
// been quiet for a quarter of an hour, whatever the bucket's clock says; until then it is
// waited for, or what is due is left out.
func TestScheduleAfterCrash(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		policy varve.OverlapPolicy
		ahead  time.Duration
		at     string // when it is gone on with
	}{
		{varve.WaitForRunning, 0, "06:15"},
		{varve.WaitForRunning, 90 * day, "06:21"},
		{varve.WaitForRunning, -90 * day, "06:05"},
		{varve.SkipOverlap, 0, "12:00"},
	} {
		t.Run(fmt.Sprintf("%d/%v", test.policy, test.ahead), func(t *testing.T) {
			t.Parallel()
			s := newTimetable(t)
			s.ahead = test.ahead
			opts := varve.ScheduleOptions{Cron: "0 */6 * * *", OnRunning: test.policy}
			s.at(time.Hour, func() { s.slow = 6 * time.Hour })
			dead := s.schedule(opts)
			s.at(5*time.Hour+35*time.Minute-time.Second, func() { s.bucket.Inject(faultblob.From(1, faultblob.Fault{Kind: faultblob.Denied})) })
			s.run(5*time.Hour+35*time.Minute, dead)
			s.bucket.Inject(nil)
			s.slow, s.said = 0, nil
			s.run(13*time.Hour, s.schedule(opts))
			require.Equal(t, "Mon 00:30 full, Mon 06:00 0, Mon 12:00 1", strings.Join(append(s.layers(), "Mon 12:00 1")[:3], ", "))
			for _, st := range s.said {
				if st.Running {
					require.Equal(t, dead.Status().Job.ID, st.Job.ID)
					require.Equal(t, test.at, st.Next.Format("15:04"))
					break
				}
			}
			s.requireWhole()
		})
	}
}

// TestScheduleRunsOnce: Run refuses a second one beside it.
func TestScheduleRunsOnce(t *testing.T) {
	t.Parallel()
	s := newTimetable(t)
	schedule := s.schedule(varve.ScheduleOptions{Cron: "@hourly"})
	s.at(time.Minute, func() {
		var option *varve.OptionError
		require.ErrorAs(t, schedule.Run(t.Context()), &option)
	})
	s.run(time.Hour, schedule)
}

// TestScheduleOptions: what cannot be is refused by name, before anything runs.
func TestScheduleOptions(t *testing.T) {
	t.Parallel()
	c := newTimetable(t).collection()
	store := newTimetable(t).store
	for want, opts := range map[string]varve.ScheduleOptions{
		"Cron: is missing":             {},
		"Cron: expected exactly":       {Cron: "nonsense"},
		"Cron: has a time zone":        {Cron: "CRON_TZ=Europe/Berlin 0 2 * * *"},
		`Cron: "0 0 30 2 *" never`:     {Cron: "0 0 30 2 *"},
		"FullCron: end of range":       {Cron: "@daily", FullCron: "61 * * * *"},
		"OnFailure: 3":                 {Cron: "@daily", OnFailure: 3},
		"OnRunning: -1":                {Cron: "@daily", OnRunning: -1},
		"Backup.Into":                  {Cron: "@daily", Backup: varve.BackupOptions{Into: varve.Latest}},
		"Backup.Name":                  {Cron: "@daily", Backup: varve.BackupOptions{Name: "x"}},
		"Backup.FullEvery":             {Cron: "@daily", Backup: varve.BackupOptions{FullEvery: day}},
		"Backup.AsOf":                  {Cron: "@daily", Backup: varve.BackupOptions{AsOf: varve.At(monday)}},
		"option Concurrency: negative": {Cron: "@daily", Backup: varve.BackupOptions{Concurrency: -1}},
	} {
		_, err := c.NewSchedule(varve.Cluster(store), opts)
		var option *varve.OptionError
		require.ErrorAs(t, err, &option)
		require.ErrorContains(t, err, strings.ReplaceAll(want, "negative", "is negative"))
	}
	_, err := c.NewSchedule(varve.Targets{}, varve.ScheduleOptions{Cron: "@daily"})
	var target *varve.TargetError
	require.ErrorAs(t, err, &target)
	_, err = c.NewSchedule(varve.Cluster(store), varve.ScheduleOptions{Cron: "@daily", Backup: varve.BackupOptions{Adopt: true, Synthetic: true}})
	require.NoError(t, err)
}

// FuzzCadence: no cron line panics, or makes a schedule that never comes to its end.
func FuzzCadence(f *testing.F) {
	for _, spec := range []string{"@hourly", "@every 1h30m", "0 2 * * *", "*/7 1-3,9 1-31/2 jan,MAR sun", "TZ=x", "TZ=", "@every -1s", "@every 9999999h", "0 0 29 2 *"} {
		f.Add(spec)
	}
	s := newTimetable(f)
	c := s.collection()
	f.Fuzz(func(t *testing.T, spec string) {
		_, err := c.NewSchedule(varve.Cluster(s.store), varve.ScheduleOptions{Cron: spec})
		if err != nil {
			var option *varve.OptionError
			require.ErrorAs(t, err, &option)
		}
	})
}
