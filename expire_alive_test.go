package varve_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// slow is a store that needs days for one call, in which a collection is expired again and
// again.
type slow struct {
	*testing.T
	bucket *faultblob.Bucket
	store  *memkv.Store
	during string // call that takes so long; "": none does
	policy varve.Policy
}

func newSlow(t *testing.T) *slow {
	s := &slow{T: t, policy: varve.Policy{KeepWithin: time.Minute, Force: true}}
	s.bucket = faultblob.New(t, &faultblob.Options{Now: time.Now})
	s.store = newStore(t, &memkv.Options{SingleRevision: true, Now: time.Now})
	fill(s.store, 100, 1)
	return s
}

func (s *slow) collection() *varve.Collection {
	return collectionIn(s, s.bucket, &varve.CollectionOptions{Now: time.Now})
}

func (s *slow) watched() *watched {
	return &watched{Store: s.store, call: func(op string) {
		if op != s.during {
			return
		}
		s.during = ""
		for range 12 {
			time.Sleep(5 * time.Hour)
			s.expire()
		}
	}}
}

func (s *slow) expire() {
	plan, err := s.collection().PlanExpire(s.Context(), s.policy)
	require.NoError(s, err)
	_, err = s.collection().Expire(s.Context(), plan)
	require.NoError(s, err)
}

// TestSilentBackup: one that reads for days and writes nothing says that it lives.
func TestSilentBackup(t *testing.T) {
	t.Parallel()
	for _, opts := range []varve.BackupOptions{{}, {Into: varve.Latest}, {Into: varve.Latest, NoBase: true}} {
		synctest.Test(t, func(t *testing.T) {
			s := newSlow(t)
			backup := func(o varve.BackupOptions) *varve.Layer {
				layer, err := s.collection().Backup(t.Context(), varve.Cluster(s.watched()), &o)
				require.NoError(t, err)
				return layer
			}
			backup(varve.BackupOptions{NoBase: opts.NoBase})
			s.store.Set([]byte("key-000001"), []byte("new"))
			s.during = "partition"
			layer := backup(opts)
			require.Empty(t, s.during, "it was slow")
			_, err := s.collection().Verify(t.Context(), layer.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
			require.NoError(t, err)
			require.NotContains(t, strings.Join(s.bucket.Keys(), " "), "refs/"+layer.ID)
		})
	}
}

// TestSilentReader: a restore that takes days keeps what it reads, also where it is
// retired meanwhile.
func TestSilentReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlow(t)
		for _, into := range []string{"", varve.Latest} {
			_, err := s.collection().Backup(t.Context(), varve.Cluster(s.watched()), &varve.BackupOptions{Into: into})
			require.NoError(t, err)
			s.store.Set([]byte("key-000001"), []byte("new"))
		}
		time.Sleep(time.Hour)
		s.expire() // from now on plans know that it is later
		to := &slow{T: t, bucket: s.bucket, policy: s.policy, during: "ingest"}
		to.store = newStore(t, &memkv.Options{SingleRevision: true, Now: time.Now})
		_, err := s.collection().Restore(t.Context(), varve.Cluster(to.watched()), nil)
		require.NoError(t, err)
		require.Empty(t, to.during)
		require.Contains(t, strings.Join(s.bucket.Keys(), " "), "retired/")
		time.Sleep(30 * time.Hour)
		s.expire()
		require.NotContains(t, strings.Join(s.bucket.Keys(), " "), "BACKUP_MANIFEST", "and then it went")
	})
}

// TestReaderOfWhatIsHeld: who holds a retired layer may let go of it at any time. So whoever
// begins to read it says so at once.
func TestReaderOfWhatIsHeld(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(2)
	hold, err := a.collection().Hold(t.Context(), n[1].ID, "")
	require.NoError(t, err)
	a.bucket.Replace("retired/"+n[1].ID, []byte("{}"))
	a.wait(30 * time.Hour)
	said, released := 0, false
	a.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if !released && op.Kind == faultblob.Get && role(op.Key) == "data" {
			released = true
			a.bucket.Remove("refs/" + n[1].ID + "/" + hold.ID)
			for _, key := range a.bucket.Keys() {
				if strings.HasPrefix(key, "refs/"+n[1].ID+"/") {
					said++
				}
			}
		}
		return faultblob.Fault{}
	})
	require.NoError(t, a.restore(a.newStore(), n[1].ID))
	require.True(t, released)
	require.Equal(t, 1, said, "somebody reads it")
	require.NotContains(t, strings.Join(a.bucket.Keys(), " "), "refs/"+n[1].ID)
}

// TestHoldOfWhatIsGone: it was found, and went before it was held.
func TestHoldOfWhatIsGone(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(5)
	for _, marked := range []bool{true, false} {
		b := &archive{scene: &scene{TB: t, bucket: a.bucket.Clone(), store: a.store, now: a.now}, bucketN: a.bucketN}
		b.during(faultblob.Put, "refs", func(faultblob.Op) {
			if marked {
				b.retire(n[1].ID)
				return
			}
			b.bucket.Remove(n[1].Path + "/BACKUP_MANIFEST")
		})
		_, err := b.collection().Hold(t.Context(), n[1].ID, "")
		require.ErrorIs(t, err, varve.ErrConflict)
		require.Empty(t, refsTo(b, n[1]), "a hold that failed is none")
	}
}

// refsTo are the references to a layer, those of layers left out.
func refsTo(a *archive, l *varve.Layer) (out []string) {
	for _, key := range a.bucket.Keys() {
		if holder, ok := strings.CutPrefix(key, "refs/"+l.ID+"/"); ok && !strings.Contains(fmt.Sprint(a.bucket.Keys()), "-"+holder+"-") {
			out = append(out, key)
		}
	}
	return out
}

// TestJobKeepsItsLayer: what a job has begun is not dead as long as the job goes on.
func TestJobKeepsItsLayer(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(1)
	dead := a.deadRun(n[0])
	var claim struct {
		Body struct{ Job string }
	}
	for _, key := range a.bucket.Keys() {
		if strings.HasSuffix(key, "/progress/0") && strings.Contains(string(a.bucket.Read(key)), dead) {
			require.NoError(t, json.Unmarshal(a.bucket.Read(key), &claim))
		}
	}
	job := claim.Body.Job
	require.Len(t, job, 32)
	policy := varve.Policy{KeepLast: 9}
	for i := range 3 {
		a.bucket.Replace(fmt.Sprintf("jobs/%s/%d", job, i), []byte("{}"))
		a.wait(23 * time.Hour)
		report, err := a.expire(policy)
		require.NoError(t, err)
		require.Empty(t, report.Dead)
	}
	// A pause says how long it may take, by a clock of its own.
	pause := `{"kind": "varve.job.event", "body": {"state": "paused", "at": "1999-01-01T00:00:00Z", "pinned_until": "1999-01-11T00:00:00Z"}}`
	a.bucket.Replace("jobs/"+job+"/10", []byte(pause))
	a.wait(9 * 24 * time.Hour)
	report, err := a.expire(policy)
	require.NoError(t, err)
	require.Empty(t, report.Dead)
	a.wait(49 * time.Hour)
	report, err = a.expire(policy)
	require.NoError(t, err)
	require.Len(t, report.Dead, 1)
	require.Contains(t, a.bucket.Keys(), "jobs/"+job+"/0", "records are not expiry's")
}

// TestProbesAreSwept, when whoever tried the bucket is long gone.
func TestProbesAreSwept(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.nights(1)
	id := strings.Repeat("a", 32)
	a.bucket.Replace("probe/"+id+"/small-0", []byte("x"))
	a.bucket.Replace("probe/README", []byte("x"))
	a.wait(23 * time.Hour)
	policy := varve.Policy{KeepLast: 9}
	_, err := a.expire(policy)
	require.NoError(t, err)
	require.Contains(t, a.bucket.Keys(), "probe/"+id+"/small-0")
	a.wait(2 * time.Hour)
	_, err = a.expire(policy)
	require.NoError(t, err)
	require.NotContains(t, a.bucket.Keys(), "probe/"+id+"/small-0")
	require.Contains(t, a.bucket.Keys(), "probe/README", "nobody's")
}

// TestOldJobsAreForgotten: records of jobs that have ended go after 30 days, of others never.
func TestOldJobsAreForgotten(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.opts.MaxPause = 300 * 24 * time.Hour
	n := a.nights(1)
	c := a.collection()
	a.opts.Into = ""
	paused := a.paused(c).ID()
	require.NoError(t, c.Close())
	policy := varve.Policy{KeepLast: 9}
	jobs := func(id string) (n int) {
		for _, key := range a.bucket.Keys() {
			if strings.HasPrefix(key, "jobs/"+id+"/") {
				n++
			}
		}
		return n
	}
	for _, later := range []time.Duration{29 * 24 * time.Hour, 2 * 24 * time.Hour} {
		require.Equal(t, 2, jobs(n[0].Stats.JobID))
		a.wait(later)
		_, err := a.expire(policy)
		require.NoError(t, err)
		require.Equal(t, 2, jobs(paused))
	}
	require.Zero(t, jobs(n[0].Stats.JobID))
	j, err := a.collection().ResumeJob(t.Context(), paused, a.store)
	require.NoError(t, err)
	done, err := j.Wait(t.Context())
	require.NoError(t, err)
	a.wait(31 * 24 * time.Hour)
	_, err = a.expire(policy)
	require.NoError(t, err)
	require.Empty(t, jobsOf(t, a.collection()))
	_, err = a.collection().Verify(t.Context(), done.Layer.ID, nil)
	require.NoError(t, err)
}
