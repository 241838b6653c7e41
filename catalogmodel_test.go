package varve_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/faultblob"
)

// catalogModel is a village with a random history. What it was is what the store itself
// shows of the past, read object by object.
type catalogModel struct {
	testing.TB
	rng     *rand.Rand
	engine  func(t testing.TB) village
	store   village
	bucket  *faultblob.Bucket
	moments []export.Timestamp
	layers  []*varve.Layer
}

const catalogSeeds = 12

// TestCatalogModel: databases and tables that are created, renamed, truncated, dropped and
// created again are restored as they were, by any of their names, from any layer and as of
// any moment that it has.
func TestCatalogModel(t *testing.T) {
	t.Parallel()
	for name, engine := range villages() {
		for seed := range uint64(catalogSeeds) {
			t.Run(fmt.Sprint(name, "/", seed), func(t *testing.T) {
				t.Parallel()
				m := &catalogModel{TB: t, rng: rand.New(rand.NewPCG(seed, 7)), engine: engine, bucket: faultblob.New(t, nil)}
				m.store = engine(t)
				m.run()
			})
		}
	}
}

func (m *catalogModel) run() {
	m.Helper()
	for range 6 {
		for range 5 + m.rng.IntN(25) {
			live(m, m.store, m.rng)
			m.moments = append(m.moments, m.now())
		}
		m.backup()
		if m.rng.IntN(3) == 0 {
			m.compact()
		}
	}
	for _, l := range m.layers {
		m.check(l, export.Timestamp{})
		for range 2 {
			if t := m.moments[m.rng.IntN(len(m.moments))]; l.Manifest.Oldest.Compare(t) <= 0 && t.Compare(l.Start) > 0 && t.Compare(l.End) < 0 {
				m.check(l, t)
			}
		}
	}
}

func (m *catalogModel) now() export.Timestamp {
	s, err := m.store.Snapshot(m.Context(), export.SnapshotOptions{})
	require.NoError(m, err)
	defer s.Close()
	return s.Timestamp()
}

func (m *catalogModel) collection() *varve.Collection { return collectionIn(m, m.bucket, nil) }

// backup takes a layer of the whole store, or of some databases or tables.
func (m *catalogModel) backup() {
	m.Helper()
	var databases, tables []string
	objects := objectsOf(m, m.store, export.Timestamp{})
	for _, o := range objects {
		if path := pathIn(objects, o); o.Kind == export.DatabaseObject {
			databases = append(databases, path)
		} else {
			tables = append(tables, path)
		}
	}
	targets := varve.Cluster(m.store)
	switch p := m.rng.IntN(3); {
	case p == 0 && len(databases) > 0:
		targets = varve.Databases(m.store, m.some(databases)...)
	case p == 1 && len(tables) > 0:
		targets = varve.Tables(m.store, m.some(tables)...)
	}
	opts := varve.BackupOptions{RevisionHistory: m.rng.IntN(2) == 0, TargetFileBytes: 1 << 10, Concurrency: 2, Audit: m.rng.IntN(2) == 0}
	if len(m.layers) > 0 && m.rng.IntN(5) > 0 {
		opts.Into = m.layers[m.rng.IntN(len(m.layers))].ID // siblings, and changed targets
		if m.rng.IntN(2) == 0 {
			opts.Into = m.layers[len(m.layers)-1].ID
		}
	}
	layer, err := m.collection().Backup(m.Context(), targets, &opts)
	var other *varve.TargetError
	if opts.Into != "" && errors.As(err, &other) {
		opts.Into = ""
		layer, err = m.collection().Backup(m.Context(), targets, &opts)
	}
	require.NoError(m, err, "%s", targets)
	_, err = m.collection().Verify(m.Context(), layer.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
	require.NoError(m, err)
	m.layers, m.moments = append(m.layers, layer), append(m.moments, m.now())
}

// some are one or more of the names.
func (m *catalogModel) some(names []string) []string {
	names = slices.Clone(names)
	m.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names[:1+m.rng.IntN(len(names))]
}

// held are the databases and tables that the layer has as of a moment, by what its targets
// were called.
func (m *catalogModel) held(l *varve.Layer, at export.Timestamp) (databases, tables []string) {
	objects := objectsOf(m, m.store, at)
	targets := l.Manifest.Targets
	for _, o := range objects {
		path := pathIn(objects, o)
		database, _, _ := strings.Cut(path, ".")
		switch {
		case targets.Kind == "tables" && !slices.Contains(targets.Names, path):
		case targets.Kind == "databases" && !slices.Contains(targets.Names, database):
		case o.Kind == export.DatabaseObject:
			databases = append(databases, path)
		default:
			tables = append(tables, path)
		}
	}
	return databases, tables
}

// check restores what a layer has in several ways; at zero: as of its end.
func (m *catalogModel) check(l *varve.Layer, at export.Timestamp) {
	m.Helper()
	then := at
	if at.IsZero() {
		then = l.End
	}
	databases, tables := m.held(l, then)
	opts := varve.RestoreOptions{From: l.ID, AsOf: at, Prove: at.IsZero() && m.rng.IntN(2) == 0}
	if l.Manifest.Complete {
		to := m.engine(m)
		m.restore(varve.Cluster(to), opts)
		m.same(then, to, append(databases, tables...), strings.Clone)
		require.Len(m, objectsOf(m, to, export.Timestamp{}), len(databases)+len(tables))
	}
	if len(databases) > 0 {
		m.asDatabases(m.some(databases), tables, then, opts)
	}
	for subset := range 1 << min(len(tables), 4) {
		if subset == 0 || m.rng.IntN(3) > 0 {
			continue
		}
		var some []string
		for i, path := range tables[:min(len(tables), 4)] {
			if subset>>i&1 == 1 {
				some = append(some, path)
			}
		}
		m.asTables(some, then, opts)
	}
}

func (m *catalogModel) restore(targets varve.Targets, opts varve.RestoreOptions) {
	m.Helper()
	_, err := m.collection().Restore(m.Context(), targets, &opts)
	require.NoError(m, err, "%s from %s as of %s", targets, opts.From, opts.AsOf)
}

// asDatabases restores databases under their names or others.
func (m *catalogModel) asDatabases(some, tables []string, then export.Timestamp, opts varve.RestoreOptions) {
	m.Helper()
	to := m.engine(m)
	newName := strings.Clone
	if m.rng.IntN(2) == 0 {
		for _, name := range some {
			opts.Rename = append(opts.Rename, varve.Rename{From: name, To: "new_" + name})
		}
		newName = func(path string) string { return "new_" + path }
	}
	m.restore(varve.Databases(to, some...), opts)
	want := slices.Clone(some)
	for _, path := range tables {
		if database, _, _ := strings.Cut(path, "."); slices.Contains(some, database) {
			want = append(want, path)
		}
	}
	m.same(then, to, want, newName)
	require.Len(m, objectsOf(m, to, export.Timestamp{}), len(want))
}

// asTables restores tables into a store that has other objects, whose IDs and keys are theirs, or
// beside themselves.
func (m *catalogModel) asTables(some []string, then export.Timestamp, opts varve.RestoreOptions) {
	m.Helper()
	to, newName := m.engine(m), strings.Clone
	if m.rng.IntN(4) == 0 {
		to = m.store
	}
	suffix := fmt.Sprint("_", len(objectsOf(m, to, export.Timestamp{})))
	there := map[string]bool{}
	for _, path := range paths(m, to) {
		there[path] = true
	}
	for _, path := range some {
		database, name, _ := strings.Cut(path, ".")
		if !there[database] {
			to.create(m, nil, export.DatabaseObject, database, 0)
			there[database] = true
		}
		if there[path] {
			newName = func(path string) string { return path + suffix }
		}
		if m.rng.IntN(3) == 0 && to != m.store {
			d := object(m, to, export.Timestamp{}, database)
			to.create(m, d, export.TableObject, "other_"+name, 1)
		}
	}
	before := map[string][]string{}
	for _, path := range paths(m, to) {
		before[path] = rows(m, to, export.Timestamp{}, path)
	}
	for _, path := range some {
		if newName(path) != path {
			opts.Rename = append(opts.Rename, varve.Rename{From: path, To: newName(path)})
		}
	}
	m.restore(varve.Tables(to, some...), opts)
	m.same(then, to, some, newName)
	for path, was := range before {
		require.Equal(m, was, rows(m, to, export.Timestamp{}, path), "%s, which was there", path)
	}
}

// same compares objects with what they were.
func (m *catalogModel) same(then export.Timestamp, to village, paths []string, newName func(string) string) {
	m.Helper()
	for _, path := range paths {
		requireSameTable(m, m.store, then, path, to, newName(path))
	}
}
