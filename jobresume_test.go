package varve_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// resumeSettings are those of a commit, each file of which is written down, and some more.
func resumeSettings() map[string]setting {
	all := map[string]setting{}
	with := func(begin setting, change func(*scene)) setting {
		return func(t testing.TB) *scene {
			s := begin(t)
			s.opts.CheckpointEvery = 1
			if change != nil {
				change(s)
			}
			return s
		}
	}
	for name, begin := range commitSettings() {
		all[name] = with(begin, nil)
	}
	all["audited"] = with(commitSettings()["incremental"], func(s *scene) { s.opts.Audit = true })
	all["without digests"] = with(commitSettings()["incremental"], func(s *scene) { s.opts.NoDigest = true })
	all["sealed"] = with(func(t testing.TB) *scene {
		s := newScene(t, varve.BackupOptions{})
		s.keys = []varve.Key{varve.Passphrase("of a test")}
		return s
	}, nil)
	return all
}

// facts are what of a manifest must not depend on what a run went through.
func facts(m *varve.Manifest) string {
	text := fmt.Sprintf("%s..%s oldest %s, %d spans, introduced %v, %+v, %s", m.Start, m.End, m.Oldest, len(m.Spans), m.Introduced, m.Counts, m.Stats.Changes)
	if m.Digest != nil {
		text += fmt.Sprintf(", %+v", *m.Digest)
	}
	return text
}

// orphans are the tables of a layer that its list does not name.
func orphans(t testing.TB, c *varve.Collection, b *faultblob.Bucket, l *varve.Layer) (out []string) {
	t.Helper()
	named := map[string]bool{}
	report, err := c.Verify(t.Context(), l.ID, &varve.VerifyOptions{Level: varve.VerifyExists, Events: &varve.Events{
		File: func(f varve.FileInfo) { named[f.Path] = true },
	}})
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	for _, key := range b.Keys() {
		if strings.HasPrefix(key, l.Path+"/data/"+l.ID) && !named[key] {
			out = append(out, key)
		}
	}
	return out
}

// TestDeathBeforeEachOperation (I3): the process dies before each operation of a backup, and
// another one goes on with the job: same layer, same entries, counts and digests, and one
// file at most is stored in vain.
func TestDeathBeforeEachOperation(t *testing.T) {
	t.Parallel()
	for name, begin := range resumeSettings() {
		undisturbed := begin(t)
		undisturbed.bucket.Reset()
		require.NoError(t, undisturbed.backup())
		want := facts(undisturbed.last.Manifest)
		for i, op := range undisturbed.bucket.Trace() {
			bubble(t, fmt.Sprintf("%s/%d %s %s", name, i+1, op.Kind, role(op.Key)), func(t *testing.T) {
				s, n, died := begin(t), 0, false
				state := stateOf(s.store, s.spans...)
				s.bucket.Park(func(ctx context.Context, _ faultblob.Op) {
					if n++; n == i+1 {
						s.bucket.Park(nil)
						looked := make(chan struct{})
						go func() { // so that a complaint does not end the goroutine of an upload
							defer close(looked)
							died = s.goOnElsewhere(s.bucket.Clone(), state, want)
						}()
						<-looked
					}
				})
				_ = s.attempt(t.Context()) // which is dead, as far as the other bucket knows
				if role(op.Key) == "data" {
					require.True(t, died, "there is a job")
				}
			})
		}
	}
}

// goOnElsewhere resumes in another process what runs in a bucket as it is now.
func (s *scene) goOnElsewhere(bucket *faultblob.Bucket, state any, want string) bool {
	s.Helper()
	now := s.now
	c := collectionIn(s, bucket, &varve.CollectionOptions{Encryption: s.keys, Now: func() time.Time { return *now }})
	id := ""
	for j, err := range c.Jobs(s.Context()) {
		require.NoError(s, err)
		if j.State == varve.JobRunning {
			require.Empty(s, id, "one job runs")
			id = j.ID
		}
	}
	if id == "" {
		return false
	}
	j, err := c.ResumeJob(s.Context(), id, s.store)
	require.NoError(s, err)
	require.Equal(s, id, j.ID())
	done, err := j.Wait(s.Context())
	require.NoError(s, err)
	require.Equal(s, varve.JobSucceeded, done.State)
	require.Equal(s, want, facts(done.Layer.Manifest))
	require.Equal(s, id, done.Layer.Stats.JobID)
	vain := 1
	if s.opts.RevisionHistory {
		vain = 3 // files that a range goes across are kept together
	}
	require.LessOrEqual(s, len(orphans(s, c, bucket, done.Layer)), vain)
	level := varve.VerifyDigest
	if s.opts.NoDigest {
		level = varve.VerifyHash
	}
	_, err = c.Verify(s.Context(), done.Layer.ID, &varve.VerifyOptions{Level: level})
	require.NoError(s, err)
	dst := s.newStore()
	targets := varve.Cluster(dst)
	if s.spans != nil {
		targets = varve.Spans(dst, s.spans...)
	}
	_, err = c.Restore(s.Context(), targets, &varve.RestoreOptions{From: done.Layer.ID})
	require.NoError(s, err)
	require.Equal(s, state, any(stateOf(dst)))
	var ended *varve.JobStateError
	_, err = c.ResumeJob(s.Context(), id, s.store)
	require.ErrorAs(s, err, &ended)
	require.Equal(s, varve.JobSucceeded, ended.State)
	return true
}

// TestPauseResumeCancel pauses, resumes and cancels jobs at random points, from several
// goroutines: what succeeds is what an undisturbed run makes, and what does not leaves
// no snapshot and no layer.
func TestPauseResumeCancel(t *testing.T) {
	t.Parallel()
	settings := resumeSettings()
	names := slices.Sorted(maps.Keys(settings))
	for seed := range uint64(3 * len(names)) {
		name := names[int(seed)%len(names)]
		t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 7))
			undisturbed := settings[name](t)
			undisturbed.bucket.Reset()
			require.NoError(t, undisturbed.backup())
			want, ops := facts(undisturbed.last.Manifest), len(undisturbed.bucket.Trace())
			s := settings[name](t)
			s.torment(rng, want, ops)
		})
	}
}

func (s *scene) torment(rng *rand.Rand, want string, ops int) {
	s.Helper()
	kept, state := s.kept(), stateOf(s.store, s.spans...)
	*s.now = s.now.Add(time.Hour)
	c := s.collection()
	act := make(chan struct{}, 1)
	next := rng.IntN(ops)
	s.bucket.Park(func(ctx context.Context, _ faultblob.Op) {
		if next--; next == 0 {
			select {
			case act <- struct{}{}:
			default:
			}
			select { // somebody is about to do something
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	j, err := c.StartBackup(s.Context(), s.targets(s.store), &s.opts)
	require.NoError(s, err)
	canceled := false
	for round := 0; !j.State().Ended(); round++ {
		select {
		case <-act:
		case <-time.After(20 * time.Millisecond):
		}
		if rng.IntN(12) == 0 {
			err := j.Cancel(s.Context())
			var state *varve.JobStateError
			require.True(s, err == nil || errors.As(err, &state), "%v", err)
			canceled = err == nil
			break
		}
		err := j.Pause(s.Context())
		var ended *varve.JobStateError
		if errors.As(err, &ended) {
			require.Equal(s, varve.JobSucceeded, ended.State)
			break
		}
		require.NoError(s, err)
		require.Equal(s, varve.JobPaused, j.Status().State)
		if next = 1 + rng.IntN(ops); round > 6 {
			next = 0
		}
		if rng.IntN(2) == 0 {
			require.NoError(s, j.Resume(s.Context()))
			continue
		}
		require.NoError(s, c.Close())
		_, err = j.Wait(s.Context())
		require.ErrorIs(s, err, varve.ErrPaused)
		c = s.collection()
		j, err = c.ResumeJob(s.Context(), j.ID(), s.store)
		require.NoError(s, err)
	}
	s.bucket.Park(nil)
	done, err := j.Wait(s.Context())
	if canceled {
		require.ErrorIs(s, err, context.Canceled)
		require.Equal(s, varve.JobCanceled, done.State)
		require.Nil(s, done.Left)
		require.Equal(s, kept, s.kept())
		require.Len(s, s.listed(), len(s.states))
		for _, key := range s.bucket.Keys() {
			require.False(s, strings.HasPrefix(key, done.Path+"/data/"+done.LayerID), "canceled: %s", key)
		}
	} else {
		require.NoError(s, err)
		require.Equal(s, want, facts(done.Layer.Manifest))
		s.states[done.Layer.ID], s.last = sceneState{spans: s.spans, entries: state}, done.Layer
		s.opts.Name = ""
	}
	if s.opts.NoDigest {
		s.requireListed()
		require.NoError(s, s.restore(s.newStore(), s.last.ID))
		return
	}
	s.goOn()
}

// TestTwoResumers: of two processes that go on with one job one wins, and the other is told,
// be it when it tries or when it is far along.
func TestTwoResumers(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"put", "record", "checkpoint", "list", "manifest"} {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, varve.BackupOptions{CheckpointEvery: 1})
			s.bucket = faultblob.New(t, &faultblob.Options{Allow: faultblob.LateData}) // by who wakes up late
			state := stateOf(s.store)
			begun := s.collection()
			j, err := begun.StartBackup(t.Context(), varve.Cluster(s.store), &s.opts)
			require.NoError(t, err)
			_ = j.Pause(t.Context())
			require.NoError(t, begun.Close())
			if j.State() != varve.JobPaused {
				t.Skip("it was faster")
			}
			// The one comes to a halt somewhere, the other goes on meanwhile.
			halted, goOn := make(chan struct{}), make(chan struct{})
			halts := map[string]string{"put": "data", "record": "/2", "checkpoint": "progress", "list": "files.sst", "manifest": "BACKUP_MANIFEST"}
			s.bucket.Park(func(_ context.Context, op faultblob.Op) {
				if op.Kind == faultblob.Put && strings.Contains(op.Key, halts[first]) {
					s.bucket.Park(nil)
					close(halted)
					<-goOn
				}
			})
			one, two := s.collection(), s.collection()
			failed := make(chan error, 1)
			go func() {
				a, err := one.ResumeJob(context.WithoutCancel(t.Context()), j.ID(), s.store)
				if err == nil {
					_, err = a.Wait(context.WithoutCancel(t.Context()))
				}
				failed <- err
			}()
			<-halted
			b, err := two.ResumeJob(t.Context(), j.ID(), s.store)
			require.NoError(t, err)
			done, err := b.Wait(t.Context())
			require.NoError(t, err)
			close(goOn)
			require.ErrorIs(t, <-failed, varve.ErrConflict)
			s.states[done.Layer.ID], s.last = sceneState{entries: state}, done.Layer
			s.requireOneBase()
			s.requireWhole()
		})
	}
}

// TestSnapshotGone: a job whose moment is gone cannot be gone on with, and says so.
func TestSnapshotGone(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{})
	c := s.collection()
	j := s.paused(c)
	require.NoError(t, c.Close())
	for _, name := range s.kept() {
		require.NoError(t, s.store.Release(t.Context(), name))
	}
	_, err := s.collection().ResumeJob(t.Context(), j.ID(), s.store)
	var gone *varve.SnapshotGoneError
	require.ErrorAs(t, err, &gone)
	_, err = s.collection().ResumeJob(t.Context(), j.ID(), newStore(t, &memkv.Options{SingleRevision: true}))
	var lineage *varve.LineageError
	require.ErrorAs(t, err, &lineage)
	_, err = s.collection().ResumeJob(t.Context(), strings.Repeat("ab", 16), s.store)
	require.ErrorIs(t, err, varve.ErrNoJob)
	s.goOn()
}

// paused is a job that was paused before it stored its first file.
func (s *scene) paused(c *varve.Collection) *varve.Job {
	s.Helper()
	return s.pausedAfter(c, 0)
}

// pausedAfter is a job that was paused when it had stored some files.
func (s *scene) pausedAfter(c *varve.Collection, files int) *varve.Job {
	s.Helper()
	parked := make(chan struct{})
	s.bucket.Park(func(ctx context.Context, op faultblob.Op) {
		if op.Kind == faultblob.Put && role(op.Key) == "data" {
			if files--; files >= 0 {
				return
			}
			s.bucket.Park(nil)
			close(parked)
			<-ctx.Done()
		}
	})
	j, err := c.StartBackup(s.Context(), s.targets(s.store), &s.opts)
	require.NoError(s, err)
	<-parked
	require.NoError(s, j.Pause(s.Context()))
	return j
}

// TestPausedMomentStays: what is written while a job is paused is not in its layer.
func TestPausedMomentStays(t *testing.T) {
	t.Parallel()
	for _, here := range []bool{true, false} {
		s := newScene(t, varve.BackupOptions{})
		state := stateOf(s.store)
		c := s.collection()
		j := s.paused(c)
		s.change(5)
		require.Positive(t, len(s.kept()))
		if here {
			require.NoError(t, j.Resume(t.Context()))
		} else {
			require.NoError(t, c.Close())
			var err error
			j, err = s.collection().ResumeJob(t.Context(), j.ID(), s.store)
			require.NoError(t, err)
		}
		done, err := j.Wait(t.Context())
		require.NoError(t, err)
		s.states[done.Layer.ID], s.last = sceneState{entries: state}, done.Layer
		s.requireOneBase()
		s.opts.Into = varve.Latest
		require.NoError(t, s.backup())
		s.requireWhole()
	}
}

// TestLostFilesAreStoredAgain: what a job has written down, and is not there any more as it
// was, is stored again.
func TestLostFilesAreStoredAgain(t *testing.T) {
	t.Parallel()
	for _, lose := range []func(*faultblob.Bucket, string){
		func(b *faultblob.Bucket, key string) { b.Remove(key) },
		func(b *faultblob.Bucket, key string) { b.Replace(key, append(b.Read(key), 'x')) },
	} {
		s := newScene(t, varve.BackupOptions{CheckpointEvery: 1})
		state, stored, parked := stateOf(s.store), 0, make(chan struct{})
		s.bucket.Park(func(ctx context.Context, op faultblob.Op) {
			if op.Kind == faultblob.Put && role(op.Key) == "data" {
				if stored++; stored == 3 {
					s.bucket.Park(nil)
					close(parked)
					<-ctx.Done()
				}
			}
		})
		c := s.collection()
		j, err := c.StartBackup(t.Context(), varve.Cluster(s.store), &s.opts)
		require.NoError(t, err)
		<-parked
		require.NoError(t, j.Pause(t.Context()))
		require.NoError(t, c.Close())
		for _, key := range s.bucket.Keys() {
			if role(key) == "data" {
				lose(s.bucket, key)
				break
			}
		}
		j, err = s.collection().ResumeJob(t.Context(), j.ID(), s.store)
		require.NoError(t, err)
		done, err := j.Wait(t.Context())
		require.NoError(t, err)
		s.states[done.Layer.ID], s.last = sceneState{entries: state}, done.Layer
		s.requireWhole()
	}
}
