package varve_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
)

const (
	rivalDir    = "VARVE_RIVAL_DIR" // tells the process that it is a rival, and where its database is
	rivalTarget = "VARVE_RIVAL_COLLECTION"
	rivalRounds = 12
)

// TestRival is not a test but the process of which the next one starts two. It writes
// and takes incrementals in turn.
func TestRival(t *testing.T) {
	dir := os.Getenv(rivalDir)
	if dir == "" {
		t.Skip("is run by TestTwoProcesses")
	}
	db, store, err := pebblekv.Open(dir, &pebble.Options{Logger: quiet{}}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for range rivalRounds {
		last := lastBatch(t, db)
		writeBatches(t, db, last+1, last+1+os.Getpid()%3)
		layer, err := varve.Backup(t.Context(), varve.Cluster(store), os.Getenv(rivalTarget), &varve.BackupOptions{Into: varve.Latest})
		if errors.Is(err, varve.ErrConflict) {
			continue
		}
		require.NoError(t, err)
		fmt.Println("done", layer.ID, lastBatch(t, db))
	}
}

func writeBatches(t *testing.T, db *pebble.DB, first, last int) {
	t.Helper()
	for n := first; n <= last; n++ {
		b := db.NewBatch()
		for _, w := range batch(n) {
			require.NoError(t, apply(b, w))
		}
		require.NoError(t, b.Commit(pebble.NoSync))
	}
}

// TestTwoProcesses (I5): two processes, each with its copy of one database, extend the
// latest chain of one folder as fast as they can. What they commit restores to what
// each of them had, all readers agree on the latest, and it can be extended.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	url := "file://" + filepath.Join(root, "collection")
	batches := map[string]int{}
	backup := func(dir string, opts *varve.BackupOptions, batch int) {
		db, store, err := pebblekv.Open(dir, &pebble.Options{Logger: quiet{}}, nil)
		require.NoError(t, err)
		writeBatches(t, db, lastBatch(t, db)+1, batch)
		layer, err := varve.Backup(t.Context(), varve.Cluster(store), url, opts)
		require.NoError(t, errors.Join(err, db.Close()))
		batches[layer.ID] = batch
	}
	first, second := filepath.Join(root, "first"), filepath.Join(root, "second")
	backup(first, nil, 20)
	require.NoError(t, os.CopyFS(second, os.DirFS(first)))
	for id, batch := range race(t, url, first, second) {
		batches[id] = batch
	}
	t.Logf("%d layers", len(batches))
	require.Greater(t, len(batches), rivalRounds, "most are committed")
	requireBatches(t, url, batches)
	backup(second, &varve.BackupOptions{Into: varve.Latest}, 100)
	requireBatches(t, url, batches)
}

// race runs a process over each database, and is what they committed: layers, and the
// number of the last batch in each.
func race(t *testing.T, url string, dirs ...string) map[string]int {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	var rivals []*exec.Cmd
	outs := make([]strings.Builder, len(dirs))
	for i, dir := range dirs {
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestRival$")
		cmd.Env = append(os.Environ(), rivalDir+"="+dir, rivalTarget+"="+url)
		cmd.Stdout, cmd.Stderr = &outs[i], os.Stderr
		require.NoError(t, cmd.Start())
		rivals = append(rivals, cmd)
	}
	committed := map[string]int{}
	for i, cmd := range rivals {
		require.NoError(t, cmd.Wait(), outs[i].String())
		for line := range strings.Lines(outs[i].String()) {
			var id string
			var batch int
			if n, _ := fmt.Sscanf(line, "done %s %d", &id, &batch); n == 2 {
				committed[id] = batch
			}
		}
	}
	return committed
}

// requireBatches wants these layers listed, and each restored to the state after its
// batch.
func requireBatches(t *testing.T, url string, batches map[string]int) {
	t.Helper()
	model := crashModel{store: newStore(t, nil)}
	var latest string
	for range 2 {
		c, err := varve.OpenCollection(t.Context(), url, nil)
		require.NoError(t, err)
		l, err := c.Layer(t.Context(), varve.Latest)
		require.NoError(t, err)
		require.Contains(t, []string{"", l.ID}, latest, "readers agree")
		latest = l.ID
		n := 0
		for l, err := range c.Layers(t.Context()) {
			require.NoError(t, err)
			require.Contains(t, batches, l.ID)
			n++
		}
		require.Len(t, batches, n)
		require.NoError(t, c.Close())
	}
	for id, batch := range batches {
		dst := newStore(t, &memkv.Options{SingleRevision: true})
		_, err := varve.Restore(t.Context(), varve.Cluster(dst), url, &varve.RestoreOptions{From: id})
		require.NoError(t, err)
		require.Equal(t, model.after(batch), clip(nil, dst.State(varve.Span{}), everywhere), "batch %d", batch)
	}
}
