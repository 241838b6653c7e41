package varve_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
)

const (
	workerDir = "VARVE_WORKER_DIR" // tells the process that it does a job, and where
	workerJob = "VARVE_WORKER_JOB" // that it goes on with; none: it begins one
	workerInc = "VARVE_WORKER_INTO"
	jobKills  = 10
)

// TestWorker is not a test but the process that the next one kills: it begins a backup, or
// goes on with it.
func TestWorker(t *testing.T) {
	dir := os.Getenv(workerDir)
	if dir == "" {
		t.Skip("is run by TestKilledJob")
	}
	db, store, err := pebblekv.Open(filepath.Join(dir, "db"), &pebble.Options{Logger: quiet{}}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	c, err := varve.OpenCollection(t.Context(), "file://"+filepath.Join(dir, "collection"), nil)
	require.NoError(t, err)
	var j *varve.Job
	if id := os.Getenv(workerJob); id != "" {
		if j, err = c.ResumeJob(t.Context(), id, store); errors.As(err, new(*varve.JobStateError)) {
			for s, err := range c.Jobs(t.Context()) { // it was killed when all was done
				require.NoError(t, err)
				if s.ID == id {
					require.Equal(t, varve.JobSucceeded, s.State)
					fmt.Printf("job %s\ndone %s\n", id, s.LayerID)
				}
			}
			require.NoError(t, c.Close())
			return
		}
	} else {
		j, err = c.StartBackup(t.Context(), varve.Cluster(store), &varve.BackupOptions{
			Into: os.Getenv(workerInc), Concurrency: 1, TargetFileBytes: 16 << 10, CheckpointEvery: 1, BytesPerSecond: 160 << 10,
		})
	}
	require.NoError(t, err)
	fmt.Println("job", j.ID())
	s, err := j.Wait(t.Context())
	require.NoError(t, err)
	fmt.Println("done", s.Layer.ID)
	require.NoError(t, c.Close())
}

// jobKiller kills processes that are at one job.
type jobKiller struct {
	*testing.T
	dir string
	rng *rand.Rand
}

// TestKilledJob (I3): kill -9 at random points, ten times over one backup, a full and then an
// incremental: the same entries, counts and digests as without, and one file for each
// kill, at most, that was stored in vain.
func TestKilledJob(t *testing.T) {
	t.Parallel()
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("replay with: go test -run TestKilledJob . -args -crash.seed %d", seed)
	k := &jobKiller{T: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 3))}
	k.write(0, 2000)
	k.compact()
	k.write(2000, 4000)
	full := k.finish("")
	require.Positive(t, full.Stats.CopiedBytes, "some of it in whole tables")
	require.Less(t, full.Stats.CopiedBytes, full.Stats.StoredBytes)
	k.write(2000, 6000)
	inc := k.finish(varve.Latest)
	require.Equal(t, full.ID, inc.ParentID)
	require.Equal(t, varve.Checkpoints, inc.Stats.Changes, "the base was kept")
}

func (k *jobKiller) write(from, to int) {
	k.Helper()
	db, err := pebble.Open(filepath.Join(k.dir, "db"), &pebble.Options{Logger: quiet{}})
	require.NoError(k, err)
	b := db.NewBatch()
	for i := from; i < to; i++ {
		value := make([]byte, 200)
		for j := range value {
			value[j] = byte(k.rng.Uint32())
		}
		require.NoError(k, b.Set(fmt.Appendf(nil, "key-%06d", i), value, nil))
	}
	require.NoError(k, b.Commit(pebble.Sync))
	require.NoError(k, db.Close())
}

// compact makes small tables of what there is, which are copied as they are.
func (k *jobKiller) compact() {
	k.Helper()
	opts := &pebble.Options{Logger: quiet{}}
	for i := range opts.TargetFileSizes {
		opts.TargetFileSizes[i] = 8 << 10
	}
	db, err := pebble.Open(filepath.Join(k.dir, "db"), opts)
	require.NoError(k, err)
	require.NoError(k, db.Compact(k.Context(), []byte("k"), []byte("l"), false))
	require.NoError(k, db.Close())
}

// run runs a process that does the job, and kills it after a while; 0: it may end. It is the
// ID of the job and, if the backup was done, that of the layer.
func (k *jobKiller) run(job, into string, after time.Duration) (id, layer string) {
	k.Helper()
	self, err := os.Executable()
	require.NoError(k, err)
	cmd := exec.Command(self, "-test.run=^TestWorker$")
	cmd.Env = append(os.Environ(), workerDir+"="+k.dir, workerJob+"="+job, workerInc+"="+into)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(k, err)
	require.NoError(k, cmd.Start())
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
		if s, ok := strings.CutPrefix(lines.Text(), "job "); ok {
			id = s
			if after > 0 {
				timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended
				defer timer.Stop()
			}
		}
		if s, ok := strings.CutPrefix(lines.Text(), "done "); ok {
			layer = s
		}
	}
	err = cmd.Wait()
	if after == 0 || id == "" {
		require.NoError(k, err, "%s", strings.Join(said, "\n"))
	}
	return id, layer
}

// finish begins a backup, kills it ten times and looks at what became of it.
func (k *jobKiller) finish(into string) *varve.Layer {
	k.Helper()
	job, layer, kills := "", "", 0
	for ; kills < jobKills && layer == ""; kills++ {
		// The whole takes a second or so, and each time less is left.
		var id string
		id, layer = k.run(job, into, time.Duration(1+k.rng.IntN(150))*time.Millisecond)
		require.NotEmpty(k, id)
		require.True(k, job == "" || job == id)
		job = id
	}
	if layer == "" {
		var id string
		id, layer = k.run(job, into, 0)
		require.Equal(k, job, id)
	}
	c, err := varve.OpenCollection(k.Context(), k.url("collection"), nil)
	require.NoError(k, err)
	defer func() { require.NoError(k, c.Close()) }()
	got, err := c.Layer(k.Context(), layer)
	require.NoError(k, err)
	require.Equal(k, job, got.Stats.JobID)
	report, err := c.Verify(k.Context(), layer, &varve.VerifyOptions{Level: varve.VerifyDigest})
	require.NoError(k, err)
	require.Empty(k, report.Problems)

	db, store, err := pebblekv.Open(filepath.Join(k.dir, "db"), &pebble.Options{Logger: quiet{}}, nil)
	require.NoError(k, err)
	defer func() { require.NoError(k, db.Close()) }()
	undisturbed := varve.BackupOptions{Concurrency: 1, TargetFileBytes: 16 << 10, NoBase: true, Name: "undisturbed-" + layer}
	want, err := varve.Backup(k.Context(), varve.Cluster(store), k.url("undisturbed"), &undisturbed)
	require.NoError(k, err)
	require.Equal(k, want.Manifest.Digest.State, got.Manifest.Digest.State)
	require.Equal(k, want.Manifest.Digest.Keys, got.Manifest.Digest.Keys)
	if got.Full() {
		require.Equal(k, want.Manifest.Counts, got.Manifest.Counts)
		require.Equal(k, want.Stats.Files, got.Stats.Files)
	}
	states := map[string]any{}
	for id, place := range map[string]string{layer: "collection", want.ID: "undisturbed"} {
		dst := newStore(k, &memkv.Options{SingleRevision: true})
		_, err := varve.Restore(k.Context(), varve.Cluster(dst), k.url(place), &varve.RestoreOptions{From: id})
		require.NoError(k, err)
		states[id] = stateOf(dst)
	}
	require.Equal(k, states[want.ID], states[layer])

	stored, err := filepath.Glob(filepath.Join(k.dir, "collection", filepath.FromSlash(got.Path), "data", "*.sst"))
	require.NoError(k, err)
	vain := len(stored) - int(got.Stats.Files)
	k.Logf("%d files, %d kills, %d files in vain", got.Stats.Files, kills, vain)
	require.LessOrEqual(k, vain, kills)
	require.Greater(k, kills, 3, "it was killed on its way")
	return got
}

func (k *jobKiller) url(place string) string {
	return (&url.URL{Scheme: "file", Path: filepath.Join(k.dir, place)}).String()
}
