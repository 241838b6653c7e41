package varve_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
)

var (
	crashSeed   = flag.Uint64("crash.seed", 0, "the kills of this seed; 0: others each time")
	crashRounds = flag.Int("crash.rounds", 12, "processes to kill, in a second each")
)

const crashDir = "VARVE_CRASH_DIR" // tells the process that it is the victim

// batch is the n-th change of the victim's database: always the same one, and it
// says which it is.
func batch(n int) []write {
	rng := rand.New(rand.NewPCG(uint64(n), 0))
	out := []write{{Entry: export.Entry{Kind: export.Set, Key: []byte("number"), Value: strconv.AppendInt(nil, int64(n), 10)}}}
	for range 8 {
		from := rng.IntN(400)
		w := write{Entry: export.Entry{Kind: export.Set, Key: fmt.Appendf(nil, "key-%04d", from), Value: make([]byte, rng.IntN(100))}}
		for i := range w.Value {
			w.Value[i] = byte(rng.Uint32())
		}
		switch end := fmt.Appendf(nil, "key-%04d", from+1+rng.IntN(20)); rng.IntN(10) {
		case 0:
			w.Kind = export.Delete
		case 1:
			w.Kind, w.End = export.DeleteRange, end
		case 2:
			w.Kind, w.End, w.Suffix = export.RangeKeySet, end, []byte("@1")
		case 3:
			w.Kind, w.End = export.RangeKeyDelete, end
		}
		out = append(out, w)
	}
	return out
}

// TestVictim is not a test but the process that the next one kills. It writes batch
// after batch, and takes backup after backup meanwhile.
func TestVictim(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("is run by TestKilledBackup")
	}
	db, store, err := pebblekv.Open(filepath.Join(dir, "db"), &pebble.Options{Logger: quiet{}}, nil)
	require.NoError(t, err)
	go func() {
		for n := lastBatch(t, db) + 1; ; n++ {
			b := db.NewBatch()
			for _, w := range batch(n) {
				require.NoError(t, apply(b, w))
			}
			require.NoError(t, b.Commit(pebble.NoSync))
			time.Sleep(time.Millisecond) // the other process needs the machine, too
		}
	}()
	fmt.Println("ready")
	for {
		layer, err := varve.Backup(t.Context(), varve.Cluster(store), "file://"+filepath.Join(dir, "collection"), &varve.BackupOptions{
			TargetFileBytes: 4 << 10, Into: varve.Latest, FullEvery: 2 * time.Second, NoBase: rand.IntN(4) == 0,
		})
		require.NoError(t, err)
		fmt.Println("done", layer.ID)
	}
}

// lastBatch is the number of the newest one that is there.
func lastBatch(t *testing.T, db *pebble.DB) int {
	value, closer, err := db.Get([]byte("number"))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0
	}
	require.NoError(t, err)
	n, err := strconv.Atoi(string(value))
	require.NoError(t, errors.Join(err, closer.Close()))
	return n
}

func apply(b *pebble.Batch, w write) error {
	switch w.Kind {
	case export.Set:
		return b.Set(w.Key, w.Value, nil)
	case export.Delete:
		return b.Delete(w.Key, nil)
	case export.DeleteRange:
		return b.DeleteRange(w.Key, w.End, nil)
	case export.RangeKeySet:
		return b.RangeKeySet(w.Key, w.End, w.Suffix, w.Value, nil)
	}
	return b.RangeKeyDelete(w.Key, w.End, nil)
}

// TestKilledBackup kills a process at random moments of its backups, and looks each
// time at what it left.
func TestKilledBackup(t *testing.T) {
	t.Parallel()
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("replay with: go test -run TestKilledBackup . -args -crash.seed %d", seed)
	k := &killer{T: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 0)), reported: map[string]bool{}, states: map[string][]string{}, typical: 100 * time.Millisecond}
	k.model.store = newStore(t, nil)
	deadline := time.Now().Add(time.Duration(*crashRounds) * time.Second)
	for round := 0; round < *crashRounds && time.Now().Before(deadline); round++ {
		k.kill()
		k.inspect()
	}
	t.Logf("%d layers, %d of them incremental, %d reported; a backup takes %s", len(k.states), k.incrementals, len(k.reported), k.typical)
	k.goOn()
	require.Greater(t, k.incrementals, 2)
	require.NotEmpty(t, k.reported, "some backups ended before the kill")
}

// killer knows what its victims did.
type killer struct {
	*testing.T
	dir      string
	rng      *rand.Rand
	reported map[string]bool     // layers whose ends the victims reported
	states   map[string][]string // of the layers, as they were first seen
	model    crashModel
	typical  time.Duration // of a backup, to aim at the next one

	incrementals int // layers that are one
}

// kill runs a victim for a moment.
func (k *killer) kill() {
	k.Helper()
	k.typical = killOne(k.T, k.rng, "TestVictim", crashDir+"="+k.dir, k.typical, k.report)
}

// killOne runs a test as a process of its own, which says "ready", and then a line of each
// thing done, those that begin with "done" about once in typical. It kills the process
// somewhere on its way to a "done", and is how long the last one took.
func killOne(t *testing.T, rng *rand.Rand, test, env string, typical time.Duration, report func(line string)) time.Duration {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), env)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "ready", lines.Text(), "the victim lives")
	begun, reports := time.Now(), rng.IntN(3)
	for reports > 0 && lines.Scan() {
		report(lines.Text())
		if strings.HasPrefix(lines.Text(), "done") {
			typical, begun = time.Since(begun), time.Now()
			reports--
		}
	}
	timer := time.AfterFunc(time.Duration(rng.Float64()*float64(typical)), func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("kill: %v", err)
		}
	})
	defer timer.Stop()
	for lines.Scan() {
		report(lines.Text())
	}
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	require.Equal(t, -1, exit.ExitCode(), "it was killed")
	return typical
}

func (k *killer) report(line string) {
	k.Helper()
	id, ok := strings.CutPrefix(line, "done ")
	require.True(k, ok, line)
	k.reported[id] = true
}

func (k *killer) open(opts *varve.CollectionOptions) *varve.Collection {
	k.Helper()
	c, err := varve.OpenCollection(k.Context(), "file://"+filepath.Join(k.dir, "collection"), opts)
	require.NoError(k, err)
	k.Cleanup(func() { require.NoError(k, c.Close()) })
	return c
}

// inspect wants every layer whole: those that were there before, those that the
// victim reported, and one that it may have committed with its last breath.
func (k *killer) inspect() {
	k.Helper()
	c := k.open(nil)
	missing := maps.Clone(k.reported)
	k.incrementals = 0
	for l, err := range c.Layers(k.Context()) {
		require.NoError(k, err)
		delete(missing, l.ID)
		if !l.Full() {
			k.incrementals++
		}
		if k.states[l.ID] == nil {
			k.states[l.ID] = k.restored(c, l.ID)
			continue
		}
		_, err := c.Verify(k.Context(), l.ID, &varve.VerifyOptions{Level: varve.VerifyHash})
		require.NoError(k, err)
	}
	require.Empty(k, missing, "layers that were reported")
	for id := range k.states {
		if k.rng.IntN(4) == 0 {
			k.states[id] = k.restored(c, id)
		}
	}
}

// restored is a layer's state, which is that after some batch.
func (k *killer) restored(c *varve.Collection, id string) []string {
	k.Helper()
	_, err := c.Verify(k.Context(), id, &varve.VerifyOptions{Level: varve.VerifyDigest})
	require.NoError(k, err)
	dst := newStore(k, &memkv.Options{SingleRevision: true})
	r, err := c.Restore(k.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: id})
	require.NoError(k, err)
	require.Equal(k, varve.ProofDigest, r.Proof)
	number, _ := dst.Get([]byte("number"))
	n, _ := strconv.Atoi(string(number)) // an empty store has none
	got := clip(nil, dst.State(varve.Span{}), []varve.Span{{}})
	require.Equal(k, k.model.after(n), got, "batch %d", n)
	return got
}

// goOn is the life after the last kill. Snapshots of backups that did not end are kept
// for a day, for whoever goes on with them; those of layers, until the next backup.
func (k *killer) goOn() {
	k.Helper()
	dir := filepath.Join(k.dir, "db")
	db, store, err := pebblekv.Open(dir, &pebble.Options{Logger: quiet{}}, nil)
	require.NoError(k, err)
	defer func() { require.NoError(k, db.Close()) }()
	left, err := store.Snapshots(k.Context())
	require.NoError(k, err)
	var orphans []string
	for _, s := range left {
		require.False(k, s.InUse)
		if k.states[s.Name] == nil {
			orphans = append(orphans, s.Name)
		}
	}
	k.Logf("%d snapshots left, %d of them orphans", len(left), len(orphans))
	for _, later := range []time.Duration{23 * time.Hour, 25 * time.Hour} {
		c := k.open(&varve.CollectionOptions{Now: func() time.Time { return time.Now().Add(later) }})
		layer, err := c.Backup(k.Context(), varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest})
		require.NoError(k, err)
		k.states[layer.ID] = k.restored(c, layer.ID)
		want := []string{layer.ID}
		if later < 24*time.Hour {
			want = append(want, orphans...)
		}
		left, err := store.Snapshots(k.Context())
		require.NoError(k, err)
		var names []string
		for _, s := range left {
			names = append(names, s.Name)
		}
		require.ElementsMatch(k, want, names)
	}
	folders, err := os.ReadDir(filepath.Join(dir, "varve-snapshots"))
	require.NoError(k, err)
	require.Len(k, folders, 1, "the base of the newest layer")
	k.inspect()
}

// crashModel is the database after any number of batches.
type crashModel struct {
	store *memkv.Store
	at    []export.Timestamp
}

func (m *crashModel) after(n int) []string {
	for len(m.at) <= n {
		for _, w := range batch(len(m.at)) {
			if len(m.at) > 0 {
				w.into(m.store)
			}
		}
		m.at = append(m.at, m.store.Delete([]byte("nothing")))
	}
	return clip(nil, m.store.StateAt(m.at[n], varve.Span{}), []varve.Span{{}})
}
