package varve_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/pebblekv"
)

// TestMoving follows a database to the places that docs/moving.md names, where its
// chain must go on as the page says.
func TestMoving(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name string
		move func(m *mover)
		want varve.ChangeSource // 0: another lineage
	}{
		{"stopped", func(m *mover) { m.copy(true) }, varve.Checkpoints},
		{"stopped, links as files", func(m *mover) { m.copy(false) }, varve.Checkpoints},
		{"stopped, without snapshots", func(m *mover) { m.copy(true, "varve-snapshots") }, varve.FromChain},
		{"rolled back", func(m *mover) { m.copy(true); m.goOn() }, varve.FromChain},
		{"stopped, without its lineage", func(m *mover) { m.copy(true, "varve-lineage.json") }, 0},
		{"Pebble's own checkpoint", (*mover).checkpoint, 0},
		{"restored", (*mover).restore, 0},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			m := newMover(t)
			way.move(m)
			db, store := m.open(m.there)
			defer func() { require.NoError(t, db.Close()) }()
			m.write(db, 30)

			layer, err := m.c.Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest})
			if way.want == 0 {
				var lineage *varve.LineageError
				require.ErrorAs(t, err, &lineage)
				layer, err = m.c.Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest, Adopt: true})
				way.want = varve.FromChain
			}
			require.NoError(t, err)
			require.Equal(t, way.want, layer.Stats.Changes)
			m.requireState(layer, store)

			m.write(db, 40)
			layer, err = m.c.Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest})
			require.NoError(t, err)
			require.Equal(t, varve.Checkpoints, layer.Stats.Changes, "the move is over")
			m.requireState(layer, store)
		})
	}
}

// TestClones: each layer is the state of the clone that took it, and one that gives up
// its lineage is told apart.
func TestClones(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	m.copy(true)
	clones := [2]string{m.here, m.there}
	for n := range 4 {
		db, store := m.open(clones[n%2])
		m.write(db, 50+n)
		layer, err := m.c.Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest})
		require.NoError(t, err)
		if n > 0 {
			require.Equal(t, varve.FromChain, layer.Stats.Changes)
		}
		m.requireState(layer, store)
		require.NoError(t, db.Close())
	}

	require.NoError(t, os.Remove(filepath.Join(m.there, "varve-lineage.json")))
	require.NoError(t, os.RemoveAll(filepath.Join(m.there, "varve-snapshots")))
	db, store := m.open(m.there)
	defer func() { require.NoError(t, db.Close()) }()
	_, err := m.c.Backup(t.Context(), varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest})
	var lineage *varve.LineageError
	require.ErrorAs(t, err, &lineage)
}

// mover has a database with a chain of two layers, and moves it from here to there.
type mover struct {
	*testing.T
	here, there string
	c           *varve.Collection
}

func newMover(t *testing.T) *mover {
	root := t.TempDir()
	m := &mover{T: t, here: filepath.Join(root, "here"), there: filepath.Join(root, "there")}
	var err error
	m.c, err = varve.OpenCollection(t.Context(), "file://"+filepath.Join(root, "backups"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.c.Close()) })
	db, store := m.open(m.here)
	for n, opts := range []*varve.BackupOptions{nil, {Into: varve.Latest}} {
		m.write(db, n)
		_, err := m.c.Backup(t.Context(), varve.Cluster(store), opts)
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	return m
}

func (m *mover) open(dir string) (*pebble.DB, *pebblekv.Store) {
	db, store, err := pebblekv.Open(dir, &pebble.Options{Logger: silent{}}, nil)
	require.NoError(m, err)
	return db, store
}

// write sets some keys, some of them those of other calls, and deletes some.
func (m *mover) write(db *pebble.DB, n int) {
	for i := range 100 {
		require.NoError(m, db.Set(fmt.Appendf(nil, "k%04d", n*20+i), fmt.Appendf(nil, "v%d", n), pebble.NoSync))
	}
	require.NoError(m, db.DeleteRange(fmt.Appendf(nil, "k%04d", n*20), fmt.Appendf(nil, "k%04d", n*20+7), pebble.Sync))
}

// goOn backs up once more from here, so that what is there is the past.
func (m *mover) goOn() {
	db, store := m.open(m.here)
	m.write(db, 20)
	_, err := m.c.Backup(m.Context(), varve.Cluster(store), &varve.BackupOptions{Into: varve.Latest})
	require.NoError(m, err)
	require.NoError(m, db.Close())
}

func (m *mover) checkpoint() {
	db, _ := m.open(m.here)
	require.NoError(m, db.Checkpoint(m.there, pebble.WithFlushedWAL()))
	require.NoError(m, db.Close())
}

func (m *mover) restore() {
	_, err := m.c.Restore(m.Context(), varve.Cluster(pebblekv.Dir(m.there, nil)), nil)
	require.NoError(m, err)
}

// copy copies the directory but for what is left out. With links, files of the
// snapshots that are also the database's are one file there as well.
func (m *mover) copy(links bool, without ...string) {
	require.NoError(m, os.CopyFS(m.there, os.DirFS(m.here)))
	for _, name := range without {
		require.NoError(m, os.RemoveAll(filepath.Join(m.there, name)))
	}
	if !links {
		return
	}
	tables, err := fs.Glob(os.DirFS(m.there), "varve-snapshots/*/*.sst")
	require.NoError(m, err)
	for _, table := range tables {
		if own := filepath.Base(table); m.isOne(own, table) {
			require.NoError(m, os.Remove(filepath.Join(m.there, table)))
			require.NoError(m, os.Link(filepath.Join(m.there, own), filepath.Join(m.there, table)))
		}
	}
}

// isOne reports whether two names are links to one file here.
func (m *mover) isOne(own, kept string) bool {
	x, err := os.Stat(filepath.Join(m.here, own))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	require.NoError(m, err)
	y, err := os.Stat(filepath.Join(m.here, kept))
	require.NoError(m, err)
	return os.SameFile(x, y)
}

// requireState compares what a restore of the layer brings with what the store has.
func (m *mover) requireState(layer *varve.Layer, store *pebblekv.Store) {
	dir := filepath.Join(m.TempDir(), "restored")
	_, err := m.c.Restore(m.Context(), varve.Cluster(pebblekv.Dir(dir, nil)), &varve.RestoreOptions{From: layer.ID, Prove: true})
	require.NoError(m, err)
	db, restored := m.open(dir)
	require.Equal(m, m.state(store), m.state(restored))
	require.NoError(m, db.Close())
}

func (m *mover) state(store export.Store) []export.Entry {
	s, err := store.Snapshot(m.Context(), export.SnapshotOptions{})
	require.NoError(m, err)
	entries, err := kvtest.Collect(m.Context(), s, export.Request{})
	require.NoError(m, err)
	require.NoError(m, s.Close())
	require.NotEmpty(m, entries)
	return entries
}
