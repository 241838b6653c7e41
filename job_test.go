package varve_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// jobsOf are the jobs of a collection, by ID.
func jobsOf(t testing.TB, c *varve.Collection) map[string]varve.JobStatus {
	t.Helper()
	all := map[string]varve.JobStatus{}
	for s, err := range c.Jobs(t.Context()) {
		require.NoError(t, err)
		all[s.ID] = s
	}
	return all
}

// TestStartBackup: the context of the call is not that of the job, which is listed like one
// that was waited for.
func TestStartBackup(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{})
	c := s.collection()
	ctx, cancel := context.WithCancel(t.Context())
	j, err := c.StartBackup(ctx, varve.Cluster(s.store), &s.opts)
	cancel()
	require.NoError(t, err)
	done, err := j.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, varve.JobSucceeded, done.State)
	require.Equal(t, j.ID(), done.Layer.Stats.JobID)
	require.Equal(t, done.Layer.ID, done.LayerID)
	require.InDelta(t, 1, done.Fraction, 0)
	var state *varve.JobStateError
	require.ErrorAs(t, j.Pause(t.Context()), &state)
	require.ErrorAs(t, j.Resume(t.Context()), &state)
	require.ErrorAs(t, j.Cancel(t.Context()), &state)

	dst := s.newStore()
	r, err := c.StartRestore(t.Context(), varve.Cluster(dst), nil)
	require.NoError(t, err)
	restored, err := r.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, done.Layer.ID, restored.Restored.From.ID)
	require.Equal(t, stateOf(s.store), stateOf(dst))

	_, err = c.StartRestore(t.Context(), varve.Cluster(dst), nil)
	var full *varve.NotEmptyError
	require.ErrorAs(t, err, &full, "and no record")
	_, err = c.StartBackup(t.Context(), varve.Cluster(s.store), &varve.BackupOptions{Into: "nothing"})
	require.ErrorIs(t, err, varve.ErrNoLayer)
	all := jobsOf(t, s.collection())
	require.Len(t, all, 2)
	require.Equal(t, varve.JobSucceeded, all[j.ID()].State)
	require.Equal(t, done.Stats.Keys, all[j.ID()].Stats.Keys)
	require.Equal(t, varve.RestoreJob, all[r.ID()].Kind)
	require.Equal(t, varve.JobSucceeded, all[r.ID()].State)
}

// TestStartByURL: the collection is closed when the job has ended.
func TestStartByURL(t *testing.T) {
	t.Parallel()
	store, place := pieced(t, 100, 1), "file://"+t.TempDir()
	j, err := varve.StartBackup(t.Context(), varve.Cluster(store), place, nil)
	require.NoError(t, err)
	_, err = j.Wait(t.Context())
	require.NoError(t, err)
	dst := newStore(t, &memkv.Options{SingleRevision: true})
	j, err = varve.StartRestore(t.Context(), varve.Cluster(dst), place, nil)
	require.NoError(t, err)
	_, err = j.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, stateOf(store), stateOf(dst))
}

// TestStatusFromEvents: whoever is told of progress may ask how the job stands.
func TestStatusFromEvents(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{})
	started := make(chan *varve.Job, 1)
	var seen []varve.JobStatus
	var j *varve.Job
	look := func() {
		if j == nil {
			j = <-started
		}
		seen = append(seen, j.Status())
	}
	s.opts.Events = &varve.Events{
		File: func(varve.FileInfo) { look() }, Progress: func(varve.ProgressInfo) { look() }, Layer: func(varve.LayerInfo) { look() },
	}
	job, err := s.collection().StartBackup(t.Context(), varve.Cluster(s.store), &s.opts)
	require.NoError(t, err)
	started <- job
	done, err := job.Wait(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, seen)
	for i, one := range seen {
		require.Equal(t, varve.JobRunning, one.State)
		if i > 0 {
			require.GreaterOrEqual(t, one.Fraction, seen[i-1].Fraction)
			require.GreaterOrEqual(t, one.Stats.Keys, seen[i-1].Stats.Keys)
		}
	}
	last := seen[len(seen)-1]
	require.Equal(t, done.Stats.Keys, last.Stats.Keys, "what is stored is counted at once")
	require.Positive(t, last.Stats.Requests)
}

// TestCancelSaysWhatItLeft: where there is no right to delete, a job that is canceled says
// what is left, in the same process and elsewhere; the store keeps nothing.
func TestCancelSaysWhatItLeft(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{CheckpointEvery: 1})
	c := s.collection()
	stored, parked := 0, make(chan struct{})
	s.bucket.Park(func(ctx context.Context, op faultblob.Op) {
		if op.Kind == faultblob.Put && role(op.Key) == "data" {
			if stored++; stored == 3 {
				s.bucket.Park(nil)
				close(parked)
				<-ctx.Done()
			}
		}
	})
	s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == faultblob.Delete {
			return faultblob.Fault{Kind: faultblob.Denied}
		}
		return faultblob.Fault{}
	})
	j, err := c.StartBackup(t.Context(), varve.Cluster(s.store), &s.opts)
	require.NoError(t, err)
	<-parked
	err = j.Cancel(t.Context())
	var left *varve.Leftovers
	require.ErrorAs(t, err, &left)
	var access *varve.AccessError
	require.ErrorAs(t, err, &access)
	require.Equal(t, "delete", access.Right)
	require.GreaterOrEqual(t, left.Objects, int64(2))
	require.Positive(t, left.Bytes)
	done := j.Status()
	require.Equal(t, varve.JobCanceled, done.State)
	require.Equal(t, left, done.Left)
	require.Empty(t, s.kept())
	s.bucket.Inject(nil)
	listed := jobsOf(t, s.collection())[j.ID()]
	require.Equal(t, varve.JobCanceled, listed.State)
	require.Equal(t, left.Objects, listed.Left.Objects)
	s.goOn()
}

// TestCancelOfAPausedJob removes what it wrote, and nobody can go on with it.
func TestCancelOfAPausedJob(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{CheckpointEvery: 1})
	j := s.pausedAfter(s.collection(), 2)
	require.Len(t, s.kept(), 1)
	require.Contains(t, strings.Join(s.bucket.Keys(), "\n"), "/data/")
	require.NoError(t, j.Cancel(t.Context()))
	require.NoError(t, j.Cancel(t.Context()), "again")
	require.Empty(t, s.kept())
	for _, key := range s.bucket.Keys() {
		require.NotContains(t, key, "/data/")
		require.NotContains(t, key, "/progress/1")
	}
	_, err := s.collection().ResumeJob(t.Context(), j.ID(), s.store)
	var state *varve.JobStateError
	require.ErrorAs(t, err, &state)
	s.goOn()
}

// TestPausedForTooLong: a job that is paused keeps its snapshot, says so, and gives it back
// after the time that it may; one whose process has died, too.
func TestPausedForTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, varve.BackupOptions{MaxPause: 3 * time.Hour})
		c := s.collection()
		j := s.paused(c)
		paused := j.Status()
		require.Equal(t, varve.JobPaused, paused.State)
		require.Equal(t, s.now.Add(3*time.Hour), paused.PinnedUntil)
		time.Sleep(2 * time.Hour)
		require.Len(t, s.kept(), 1)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Empty(t, s.kept())
		done, err := j.Wait(t.Context())
		require.Equal(t, varve.JobFailed, done.State)
		var gone *varve.SnapshotGoneError
		require.ErrorAs(t, err, &gone)
		require.Equal(t, varve.JobFailed, jobsOf(t, s.collection())[j.ID()].State)

		for _, max := range []time.Duration{3 * time.Hour, 40 * time.Hour} {
			s.opts.MaxPause = max
			c = s.collection()
			id := s.paused(c).ID()
			require.NoError(t, c.Close())
			snapshot := s.kept()
			require.Equal(t, varve.JobPaused, jobsOf(t, s.collection())[id].State)
			*s.now = s.now.Add(25 * time.Hour) // a snapshot has a day in any case
			other := s.opts
			other.MaxPause = 0
			_, err = s.collection().Backup(t.Context(), varve.Cluster(s.store), &other)
			require.NoError(t, err)
			require.Equal(t, max > 25*time.Hour, strings.Contains(fmt.Sprint(s.kept()), snapshot[len(snapshot)-1]), "after a pause of %s", max)
		}
	})
}

// TestCheckpointsMayFail: progress that cannot be written down is no failure of the job.
func TestCheckpointsMayFail(t *testing.T) {
	t.Parallel()
	for _, fault := range []faultblob.FaultKind{faultblob.Denied, faultblob.Lost, faultblob.Applied} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t, varve.BackupOptions{CheckpointEvery: 1})
			s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
				if op.Kind == faultblob.Put && strings.Contains(op.Key, "/progress/") && !strings.HasSuffix(op.Key, "/0") {
					return faultblob.Fault{Kind: fault}
				}
				return faultblob.Fault{}
			})
			require.NoError(t, s.backup())
			s.bucket.Inject(nil)
			s.requireWhole()
		})
	}
}

// stuck is a store whose exports give nothing from some key on until they are canceled.
type stuck struct{ *memkv.Store }

func (s stuck) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	snapshot, err := s.Store.Snapshot(ctx, opts)
	return stuckSnapshot{snapshot}, err
}

type stuckSnapshot struct{ export.Snapshot }

func (s stuckSnapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	c, err := s.Snapshot.Export(ctx, req)
	return &stuckCursor{Cursor: c, ctx: ctx}, err
}

type stuckCursor struct {
	export.Cursor
	ctx context.Context
	n   int
}

func (c *stuckCursor) Next() bool {
	if c.n++; c.n == 20 {
		<-c.ctx.Done()
	}
	return c.Cursor.Next()
}

// TestStall: what stands still is named, the span or the object, and the job fails.
func TestStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, varve.BackupOptions{StallAfter: time.Hour})
		s.store = newStore(t, &memkv.Options{SingleRevision: true})
		fill(s.store, 100, 1)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		_, err := s.collection().Backup(ctx, varve.Cluster(stuck{s.store}), &s.opts)
		var stall *varve.StallError
		require.ErrorAs(t, err, &stall)
		require.Equal(t, varve.PhaseExport, stall.Phase)
		require.Equal(t, time.Hour, time.Since(began).Round(time.Minute))
		require.Empty(t, s.kept())
		s.opts.Pace = func(ctx context.Context, _ int64) error { // who is asked to wait may take his time
			time.Sleep(2 * time.Hour)
			return nil
		}
		require.NoError(t, s.backup())

		s.opts.Pace, s.opts.StallAfter = nil, 3*time.Second
		s.change(1)
		s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
			if op.Kind == faultblob.Put && role(op.Key) == "data" {
				return faultblob.Fault{Kind: faultblob.Delayed}
			}
			return faultblob.Fault{}
		})
		err = s.backup()
		require.ErrorAs(t, err, &stall)
		require.Contains(t, stall.Object, "/data/")
		s.bucket.Inject(nil)
		require.NoError(t, s.backup())
		s.requireWhole()
	})
}

// TestStorageRecovers: an outage that the requests do not live through is lived through by
// the job, as long as it gets on in between; what is refused ends it at once.
func TestStorageRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, varve.BackupOptions{})
		failures := 0
		s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
			if op.Kind == faultblob.Put && role(op.Key) == "data" {
				if failures++; failures%20 != 0 { // more often than a request is made again
					return faultblob.Fault{Kind: faultblob.Lost}
				}
			}
			return faultblob.Fault{}
		})
		require.NoError(t, s.backup())
		require.Greater(t, failures, 40, "several files")
		s.bucket.Inject(nil)
		s.requireWhole()
	})
}

// TestJobsAreListed: hundreds of them, in few requests, the newest first; what a process has
// left without a word is orphaned, and so is one that was declared dead.
func TestJobsAreListed(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{NoBase: true})
	require.NoError(t, s.backup())
	template, id := "", ""
	for _, key := range s.bucket.Keys() {
		if strings.HasPrefix(key, "jobs/") && strings.HasSuffix(key, "/1") {
			template, id = string(s.bucket.Read(key)), strings.Split(key, "/")[1]
		}
	}
	const n = 400
	for i := range n {
		s.bucket.Replace(fmt.Sprintf("jobs/%032x/7", i), []byte(template))
	}
	s.bucket.Reset()
	corrupt, whole := 0, 0
	for j, err := range s.collection().Jobs(t.Context()) {
		require.NoError(t, err)
		if j.ID == id {
			whole++
			continue
		}
		var c *varve.CorruptError
		require.ErrorAs(t, j.Err, &c, "it is the record of another job")
		corrupt++
	}
	require.Equal(t, n, corrupt)
	require.Equal(t, 1, whole)
	require.Less(t, len(s.bucket.Trace()), n+10)
	for range s.collection().Jobs(t.Context()) {
		break // which releases everything
	}

	c := s.collection()
	j := s.paused(c)
	require.NoError(t, j.Resume(t.Context()))
	_, err := j.Wait(t.Context())
	require.NoError(t, err)
}

// TestOrphans: a job whose process says nothing any more is listed as orphaned, until
// somebody goes on with it.
func TestOrphans(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{CheckpointEvery: 1})
	parked, goOn := make(chan struct{}), make(chan struct{})
	s.bucket.Park(func(_ context.Context, op faultblob.Op) {
		if role(op.Key) == "data" {
			s.bucket.Park(nil)
			close(parked)
			<-goOn
		}
	})
	j, err := s.collection().StartBackup(t.Context(), varve.Cluster(s.store), &s.opts)
	require.NoError(t, err)
	<-parked
	elsewhere := collectionIn(t, s.bucket, nil)
	running := jobsOf(t, elsewhere)[j.ID()]
	require.Equal(t, varve.JobRunning, running.State)
	require.False(t, running.Orphaned)
	later := collectionIn(t, s.bucket, &varve.CollectionOptions{Now: func() time.Time { return time.Now().Add(time.Hour) }})
	require.True(t, jobsOf(t, later)[j.ID()].Orphaned)
	close(goOn)
	_, err = j.Wait(t.Context())
	require.NoError(t, err)
	require.False(t, jobsOf(t, later)[j.ID()].Orphaned)
}

// TestRestoreJob: a restore that is paused shows nothing, is gone on with here and elsewhere,
// and leaves nothing when it is canceled.
func TestRestoreJob(t *testing.T) {
	t.Parallel()
	for _, sealed := range []bool{false, true} {
		s := newScene(t, varve.BackupOptions{})
		if sealed {
			s.keys = []varve.Key{varve.Passphrase("of a test")}
		}
		require.NoError(t, s.backup())
		want := stateOf(s.store)
		park := func() chan struct{} {
			parked := make(chan struct{})
			s.bucket.Park(func(ctx context.Context, op faultblob.Op) {
				if op.Kind == faultblob.Get && role(op.Key) == "data" {
					s.bucket.Park(nil)
					close(parked)
					<-ctx.Done()
				}
			})
			return parked
		}
		for _, elsewhere := range []bool{false, true} {
			c, dst, parked := s.collection(), s.newStore(), park()
			j, err := c.StartRestore(t.Context(), varve.Cluster(dst), &varve.RestoreOptions{Concurrency: 1, Prove: true})
			require.NoError(t, err)
			<-parked
			require.NoError(t, j.Pause(t.Context()))
			require.Empty(t, stateOf(dst))
			s.change(3)
			require.NoError(t, s.backup()) // which it has nothing to do with
			if elsewhere {
				require.NoError(t, c.Close())
				other := s.collection()
				j, err = other.ResumeJob(t.Context(), j.ID(), dst)
				require.NoError(t, err)
			} else {
				require.NoError(t, j.Resume(t.Context()))
			}
			done, err := j.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, varve.JobSucceeded, done.State)
			require.Equal(t, want, stateOf(dst))
			want = stateOf(s.store)

			dst, parked = s.newStore(), park()
			j, err = s.collection().StartRestore(t.Context(), varve.Cluster(dst), nil)
			require.NoError(t, err)
			<-parked
			require.NoError(t, j.Cancel(t.Context()))
			require.Empty(t, stateOf(dst))
			_, err = j.Wait(t.Context())
			require.ErrorIs(t, err, context.Canceled)
			require.NoError(t, s.restore(dst, s.last.ID), "the same destination again")
		}
	}
}

// TestRestoreThatWasCommitted: its process dies when all is done but for the last record.
func TestRestoreThatWasCommitted(t *testing.T) {
	t.Parallel()
	s := backedUp(t)
	s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == faultblob.Put && lastRecord(op.Key) {
			return faultblob.Fault{Kind: faultblob.Denied}
		}
		return faultblob.Fault{}
	})
	dst := s.newStore()
	j, err := s.collection().StartRestore(t.Context(), varve.Cluster(dst), nil)
	require.NoError(t, err)
	_, err = j.Wait(t.Context())
	require.NoError(t, err)
	s.bucket.Inject(nil)
	again, err := s.collection().ResumeJob(t.Context(), j.ID(), dst)
	require.NoError(t, err)
	done, err := again.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, varve.JobSucceeded, done.State)
	require.Equal(t, stateOf(s.store), stateOf(dst))
}

// TestRecordInDoubt: an outage hides that a record was stored. It is not somebody else's.
func TestRecordInDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, varve.BackupOptions{})
		require.NoError(t, s.backup())
		begun, hidden := time.Now(), false
		s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
			switch {
			case !strings.HasPrefix(op.Key, "jobs/") || strings.HasSuffix(op.Key, "/0") || time.Since(begun) > 15*time.Minute:
				return faultblob.Fault{}
			case op.Kind == faultblob.Put && !hidden:
				hidden = true
				return faultblob.Fault{Kind: faultblob.Applied}
			}
			return faultblob.Fault{Kind: faultblob.Lost}
		})
		s.bucket.Park(func(_ context.Context, op faultblob.Op) {
			if op.Kind == faultblob.Get && role(op.Key) == "data" {
				s.bucket.Park(nil)
				time.Sleep(40 * time.Minute)
			}
		})
		c, dst := s.collection(), s.newStore()
		j, err := c.StartRestore(t.Context(), varve.Cluster(dst), &varve.RestoreOptions{StallAfter: time.Hour})
		require.NoError(t, err)
		_, err = j.Wait(t.Context())
		require.NoError(t, err)
		require.True(t, hidden)
		require.Equal(t, varve.JobSucceeded, jobsOf(t, c)[j.ID()].State)
		require.Equal(t, stateOf(s.store), stateOf(dst))
	})
}

// TestRestoreWithoutARecord: who may only read a bucket restores from it, and pauses and goes
// on as long as his process lives.
func TestRestoreWithoutARecord(t *testing.T) {
	t.Parallel()
	s := backedUp(t)
	before := s.bucket.Keys()
	s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == faultblob.Put {
			return faultblob.Fault{Kind: faultblob.Denied}
		}
		return faultblob.Fault{}
	})
	parked := make(chan struct{})
	s.bucket.Park(func(ctx context.Context, op faultblob.Op) {
		if op.Kind == faultblob.Get && role(op.Key) == "data" {
			s.bucket.Park(nil)
			close(parked)
			<-ctx.Done()
		}
	})
	dst := s.newStore()
	j, err := s.collection().StartRestore(t.Context(), varve.Cluster(dst), nil)
	require.NoError(t, err)
	<-parked
	require.NoError(t, j.Pause(t.Context()))
	require.NoError(t, j.Resume(t.Context()))
	_, err = j.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, stateOf(s.store), stateOf(dst))
	require.Equal(t, before, s.bucket.Keys())
}

// TestClockJumps: a clock that is set back or forward while a job runs, or is paused, changes
// neither what it stores nor whether it can be gone on with.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{-1000 * time.Hour, -time.Second, time.Second, 1000 * time.Hour} {
		s := newScene(t, varve.BackupOptions{CheckpointEvery: 1})
		state := stateOf(s.store)
		c := s.collection()
		j := s.paused(c)
		s.wrong.Store(int64(jump))
		require.NoError(t, c.Close())
		j, err := s.collection().ResumeJob(t.Context(), j.ID(), s.store)
		require.NoError(t, err, "%s", jump)
		s.wrong.Store(0)
		done, err := j.Wait(t.Context())
		require.NoError(t, err)
		s.states[done.Layer.ID], s.last = sceneState{entries: state}, done.Layer
		s.requireWhole()
		require.GreaterOrEqual(t, j.Status().ETA, time.Duration(0))
	}
}

// TestCloseLeavesNothing: a collection that is closed pauses its jobs; no goroutine and no
// snapshot that nobody could go on with stays. It counts goroutines: no other test may run
// meanwhile.
func TestCloseLeavesNothing(t *testing.T) {
	s := newScene(t, varve.BackupOptions{CheckpointEvery: 1})
	before := runtime.NumGoroutine()
	for n := range 20 {
		c := s.collection()
		count := 0
		s.bucket.Park(func(context.Context, faultblob.Op) {
			if count++; count == n {
				go func() { _ = c.Close() }()
			}
		})
		opts := s.opts
		opts.Name = fmt.Sprintf("backup-%d", n)
		j, err := c.StartBackup(t.Context(), varve.Cluster(s.store), &opts)
		require.NoError(t, err)
		time.Sleep(time.Millisecond)
		require.NoError(t, c.Close())
		s.bucket.Park(nil)
		if _, err = j.Wait(t.Context()); err == nil {
			continue
		}
		require.ErrorIs(t, err, varve.ErrPaused)
		j, err = s.collection().ResumeJob(t.Context(), j.ID(), s.store)
		require.NoError(t, err)
		_, err = j.Wait(t.Context())
		require.NoError(t, err)
	}
	requireGoroutines(t, before)
	require.Len(t, s.kept(), 1)
	for _, j := range jobsOf(t, s.collection()) {
		require.Equal(t, varve.JobSucceeded, j.State)
	}
}

// TestDamagedJobs: what is damaged of a job costs its resumption, or some work, and never the
// layer.
func TestDamagedJobs(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{CheckpointEvery: 1})
	state, stored, parked := stateOf(s.store), 0, make(chan struct{})
	c := s.collection()
	s.bucket.Park(func(ctx context.Context, op faultblob.Op) {
		if op.Kind == faultblob.Put && role(op.Key) == "data" {
			if stored++; stored == 3 {
				s.bucket.Park(nil)
				close(parked)
				<-ctx.Done()
			}
		}
	})
	j, err := c.StartBackup(t.Context(), varve.Cluster(s.store), &s.opts)
	require.NoError(t, err)
	<-parked
	require.NoError(t, j.Pause(t.Context()))
	require.NoError(t, c.Close())
	for _, key := range s.bucket.Keys() {
		body := s.bucket.Read(key)
		switch {
		case strings.HasPrefix(key, "jobs/"):
			s.bucket.Replace(key, append([]byte("x"), body[1:]...))
			_, err := s.collection().ResumeJob(t.Context(), j.ID(), s.store)
			var corrupt *varve.CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, key, corrupt.Object)
			s.bucket.Replace(key, body)
		case strings.HasSuffix(key, "/progress/1"):
			s.bucket.Replace(key, body[:len(body)/2])
		}
	}
	j, err = s.collection().ResumeJob(t.Context(), j.ID(), s.store)
	require.NoError(t, err)
	done, err := j.Wait(t.Context())
	require.NoError(t, err)
	require.Len(t, orphans(t, s.collection(), s.bucket, done.Layer), 1, "that of which it is not known any more")
	s.states[done.Layer.ID], s.last = sceneState{entries: state}, done.Layer
	s.requireWhole()
}

// TestFailedJob: an error that will not go away ends a job at once, is listed, and gives
// everything back.
func TestFailedJob(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{})
	no := errors.New("not today")
	s.opts.Pace = func(context.Context, int64) error { return no }
	j, err := s.collection().StartBackup(t.Context(), varve.Cluster(s.store), &s.opts)
	require.NoError(t, err)
	done, err := j.Wait(t.Context())
	require.ErrorIs(t, err, no)
	require.Equal(t, varve.JobFailed, done.State)
	require.Empty(t, s.kept())
	require.ErrorContains(t, jobsOf(t, s.collection())[j.ID()].Err, "not today")
	s.opts.Pace = nil
	s.goOn()
}
