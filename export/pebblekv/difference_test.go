package pebblekv_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/pebblekv"
)

var historySeeds = flag.Int("history.seeds", 15, "random histories of each flavor")

// TestChangesOfRandomHistories: whatever was written, ingested, excised, flushed,
// compacted or restarted between two snapshots, the changes make the state of the
// one out of that of the other; exact ones are real and know what they replaced.
func TestChangesOfRandomHistories(t *testing.T) {
	t.Parallel()
	for _, f := range flavors() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			seeds := *historySeeds
			if testing.Short() {
				seeds = min(seeds, 4)
			}
			for seed := range uint64(seeds) {
				history(t, f, seed)
			}
		})
	}
}

func history(t *testing.T, f flavor, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 11))
	o := f.options()
	o.MemTableSize = 64 << 10
	o.FS = vfs.NewMem()
	if rng.IntN(2) == 0 { // many levels of little tables
		o.LBaseMaxBytes, o.L0CompactionThreshold = 1<<10, 1
		o.TargetFileSizes[0], o.FlushSplitBytes = 512, 512
		o.MemTableSize = 16 << 10
	}
	r := newRig(t, o)
	n := 20 + rng.IntN(300)
	churn(t, r, f, rng, rng.IntN(2000), n)
	var base string
	var since export.Timestamp
	var state []export.Entry
	for round := range 4 {
		name := fmt.Sprintf("%032x", round+1)
		ended := make(chan struct{})
		go func() { // a log that is written to meanwhile has a tail
			defer close(ended)
			if seed%3 != 0 {
				churn(t, r, f, rand.New(rand.NewPCG(seed, uint64(round))), 60, n)
			}
		}()
		s := r.snapshot(t, export.SnapshotOptions{Name: name, Base: base, After: since})
		<-ended
		what := fmt.Sprintf("seed %d round %d", seed, round)
		next := collected(t, s, export.Request{})
		if base != "" {
			followed(t, s, r, f, rng, n, since, state, next, what)
		}
		state, since = next, s.Timestamp()
		require.NoError(t, s.Close())
		if base != "" {
			require.NoError(t, r.store.Release(t.Context(), base))
		}
		base = name
		for range 1 + rng.IntN(3) {
			churn(t, r, f, rng, rng.IntN(120), n)
			stir(t, r, f, rng, n)
		}
	}
	require.NoError(t, r.db.Close())
	r.db = nil
}

func collected(t *testing.T, s export.Snapshot, req export.Request) []export.Entry {
	t.Helper()
	all, err := kvtest.Collect(t.Context(), s, req)
	require.NoError(t, err)
	return all
}

// stir moves data about, or lets it come and go without the log.
func stir(t *testing.T, r *rig, f flavor, rng *rand.Rand, n int) {
	t.Helper()
	i := rng.IntN(n)
	j := i + 1 + rng.IntN(n-i)
	excises := r.db.FormatMajorVersion() >= pebble.FormatVirtualSSTables && string(f.prefix(i)) < string(f.prefix(j))
	ctx := context.Background()
	switch rng.IntN(9) {
	case 0, 1:
		require.NoError(t, r.db.Flush())
	case 2:
		require.NoError(t, r.db.Compact(ctx, f.prefix(i), f.prefix(j+8), false))
	case 3:
		require.NoError(t, r.db.Compact(ctx, f.key(0), f.key(3*n), false))
	case 4:
		if !r.popts.DisableWAL {
			r.close(t)
			r.open(t)
		}
	case 5:
		require.NoError(t, r.db.Ingest(ctx, []string{r.table(t, string(f.key(i)))}))
	case 6:
		if excises {
			span := pebble.KeyRange{Start: f.prefix(i), End: f.prefix(j)}
			_, err := r.db.IngestAndExcise(ctx, []string{r.table(t, string(f.key(i)))}, nil, nil, span)
			require.NoError(t, err)
		}
	case 7:
		if excises {
			require.NoError(t, r.db.Excise(ctx, pebble.KeyRange{Start: f.prefix(i), End: f.prefix(j)}))
		}
	}
}

// table writes a table to ingest.
func (r *rig) table(t *testing.T, keys ...string) string {
	t.Helper()
	r.tables++
	path := fmt.Sprintf("/ingest-%d.sst", r.tables)
	table(t, r.popts.FS, path, r.popts, r.db.TableFormat(), keys...)
	return path
}

func followed(t *testing.T, s export.Snapshot, r *rig, f flavor, rng *rand.Rand, n int, since export.Timestamp, state, next []export.Entry, what string) {
	t.Helper()
	info, err := r.store.Info(t.Context())
	require.NoError(t, err)
	order := info.Order
	i, j := rng.IntN(n), rng.IntN(3*n)
	spans := []export.Span{{}}
	if a, b := f.prefix(min(i, j)), f.prefix(max(i, j)); string(a) < string(b) {
		spans = append(spans, export.Span{Start: a, End: b}, export.Span{End: a}, export.Span{Start: b})
	}
	for _, span := range spans {
		was, is := kvtest.Clip(order, state, span), kvtest.Clip(order, next, span)
		loose := collected(t, s, export.Request{Span: span, Since: since})
		require.Equal(t, kvtest.Canonical(order, is), kvtest.Canonical(order, kvtest.Apply(order, was, loose)), "%s, span %s", what, span)
		requireExact(t, s, order, span, since, was, is, what)
	}
	pieces, err := s.Partition(t.Context(), export.Span{}, since)
	require.NoError(t, err)
	var parts []export.Entry
	for _, p := range pieces {
		parts = append(parts, collected(t, s, export.Request{Span: p.Span, Since: since})...)
	}
	require.Equal(t, kvtest.Canonical(order, next), kvtest.Canonical(order, kvtest.Apply(order, state, parts)), "%s, by pieces", what)
}

func requireExact(t *testing.T, s export.Snapshot, order *export.Order, span export.Span, since export.Timestamp, was, is []export.Entry, what string) {
	t.Helper()
	old := map[string]string{}
	for _, e := range was {
		if e.Kind == export.Set {
			old[string(e.Key)] = string(e.Value)
		}
	}
	c, err := s.(export.Differ).Changes(t.Context(), export.Request{Span: span, Since: since})
	require.NoError(t, err)
	var exact []export.Entry
	for c.Next() {
		e, former := c.Entry().Clone(), c.Former()
		exact = append(exact, e)
		if e.Kind.IsRange() {
			continue
		}
		value, lived := old[string(e.Key)]
		require.Equal(t, lived, former != nil, "%s: what %s %q replaced", what, e.Kind, e.Key)
		if lived {
			require.Equal(t, value, string(former.Value), what)
		}
		require.True(t, e.Kind == export.Set && (!lived || value != string(e.Value)) || e.Kind == export.Delete && lived, "%s: %s %q is no change", what, e.Kind, e.Key)
	}
	require.NoError(t, c.Err())
	require.NoError(t, c.Close())
	require.Equal(t, kvtest.Canonical(order, is), kvtest.Canonical(order, kvtest.Apply(order, was, exact)), "%s, span %s, exact", what, span)
}

// TestNothingChangedReadsNothing: a base that shares all tables costs no read of any.
func TestNothingChangedReadsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	reads := &countingFS{FS: vfs.Default}
	db, store, err := pebblekv.Open(filepath.Join(dir, "db"), &pebble.Options{FS: reads, Logger: quiet{t}}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for i := range 20_000 {
		require.NoError(t, db.Set(plainKey(i), plainKey(i*7), pebble.NoSync))
	}
	first, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: "01"})
	require.NoError(t, err)
	require.NoError(t, first.Close())
	second, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: "02", Base: "01", After: first.Timestamp()})
	require.NoError(t, err)
	reads.tables.Store(0)
	pieces, err := second.Partition(t.Context(), export.Span{}, first.Timestamp())
	require.NoError(t, err)
	require.Equal(t, []export.Partition{{}}, pieces)
	require.Empty(t, collected(t, second, export.Request{Since: first.Timestamp()}))
	require.Zero(t, reads.tables.Load(), "tables that were opened")
	require.NoError(t, second.Close())

	require.NoError(t, db.Set(plainKey(5), []byte("new"), pebble.NoSync))
	third, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: "03", Base: "02", After: second.Timestamp()})
	require.NoError(t, err)
	require.Len(t, collected(t, third, export.Request{Since: second.Timestamp()}), 1)
	require.Positive(t, reads.tables.Load(), "the count is alive")
	require.NoError(t, third.Close())
}

// TestManyLittleRangeDeletions: tables are not opened anew for what lies between them.
func TestManyLittleRangeDeletions(t *testing.T) {
	t.Parallel()
	reads := &countingFS{FS: vfs.NewMem()}
	r := newRig(t, &pebble.Options{FS: reads})
	const n = 300
	for i := range 4 * n {
		require.NoError(t, r.db.Set(plainKey(i), make([]byte, 100), pebble.NoSync))
	}
	first := r.snapshot(t, export.SnapshotOptions{Name: "01"})
	require.NoError(t, first.Close())
	for i := range n {
		require.NoError(t, r.db.DeleteRange(plainKey(4*i), plainKey(4*i+1), pebble.NoSync))
		require.NoError(t, r.db.Set(plainKey(4*i+2), []byte("new"), pebble.NoSync))
	}
	second := r.snapshot(t, export.SnapshotOptions{Name: "02", Base: "01", After: first.Timestamp()})
	defer func() { require.NoError(t, second.Close()) }()
	reads.tables.Store(0)
	require.Len(t, collected(t, second, export.Request{Since: first.Timestamp()}), 2*n)
	require.Less(t, reads.tables.Load(), int64(20))
}

// TestRolledBackDatabase: a database whose files were put back to an earlier state
// counts on from the same numbers. Its tables are other files than the base's of the
// same number, size and bounds, and no change is missed.
func TestRolledBackDatabase(t *testing.T) {
	t.Parallel()
	for name, fs := range map[string]vfs.FS{"on disk": vfs.Default, "in memory": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			if fs != vfs.Default {
				root = "/"
			}
			dir := fs.PathJoin(root, "db")
			snapshots := &pebblekv.Options{SnapshotDir: fs.PathJoin(root, "snapshots")}
			open := func() (*pebble.DB, *pebblekv.Store) {
				db, store, err := pebblekv.Open(dir, &pebble.Options{FS: fs, Logger: quiet{t}}, snapshots)
				require.NoError(t, err)
				return db, store
			}
			write := func(db *pebble.DB, value string) {
				for i := range 100 {
					require.NoError(t, db.Set(plainKey(i), []byte(value), pebble.NoSync))
				}
				require.NoError(t, db.Flush())
			}
			db, _ := open()
			write(db, "0")
			require.NoError(t, db.Close())
			_, err := vfs.Clone(fs, fs, dir, fs.PathJoin(root, "copy"))
			require.NoError(t, err)

			db, store := open()
			write(db, "a")
			first, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: "01"})
			require.NoError(t, err)
			require.NoError(t, first.Close())
			require.NoError(t, db.Close())

			require.NoError(t, fs.RemoveAll(dir))
			_, err = vfs.Clone(fs, fs, fs.PathJoin(root, "copy"), dir)
			require.NoError(t, err)
			db, store = open()
			write(db, "b")
			second, err := store.Snapshot(t.Context(), export.SnapshotOptions{Name: "02", Base: "01", After: first.Timestamp()})
			require.NoError(t, err)
			changes := collected(t, second, export.Request{Since: first.Timestamp()})
			require.Len(t, changes, 100)
			require.Equal(t, "b", string(changes[0].Value))
			require.NoError(t, second.Close())
			require.NoError(t, db.Close())
		})
	}
}

// TestRangeFromTheFirstKey: what is compared as a whole may begin where the keyspace
// does, and nothing comes before it.
func TestRangeFromTheFirstKey(t *testing.T) {
	t.Parallel()
	if asserting {
		t.Skip("Pebble's own assertions fail where a range deletion begins at the empty key")
	}
	r := newRig(t, &pebble.Options{DisableAutomaticCompactions: true})
	r.set(t, "a", "b", "c", "d")
	first := r.snapshot(t, export.SnapshotOptions{Name: "01"})
	require.NoError(t, first.Close())
	require.NoError(t, r.db.DeleteRange([]byte{}, []byte("c"), pebble.NoSync))
	require.NoError(t, r.db.Set([]byte("d"), []byte("new"), pebble.NoSync))

	second := r.snapshot(t, export.SnapshotOptions{Name: "02", Base: "01", After: first.Timestamp()})
	defer func() { require.NoError(t, second.Close()) }()
	var keys []string
	for _, e := range collected(t, second, export.Request{Since: first.Timestamp()}) {
		keys = append(keys, string(e.Key))
	}
	require.Equal(t, []string{"a", "b", "d"}, keys)
}

// ingest writes a table and ingests it.
func (r *rig) ingest(t *testing.T, write func(w *sstable.Writer) error) {
	t.Helper()
	path := r.table(t, "b") // a name
	f, err := r.popts.FS.Create(path, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	o := r.popts.Clone()
	o.EnsureDefaults()
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o.MakeWriterOptions(6, r.db.TableFormat()))
	require.NoError(t, errors.Join(write(w), w.Close()))
	require.NoError(t, r.db.Ingest(t.Context(), []string{path}))
}

// TestMovedBelowSharedTable: what a compaction makes of a merge below a newer value,
// whose table it leaves alone, is no change, although its record could be read as one.
func TestMovedBelowSharedTable(t *testing.T) {
	t.Parallel()
	r := newRig(t, &pebble.Options{LBaseMaxBytes: 1, DisableAutomaticCompactions: true})
	r.ingest(t, func(w *sstable.Writer) error { // so large that nobody compares everything
		return w.Set([]byte("z"), make([]byte, 64<<10))
	})
	r.ingest(t, func(w *sstable.Writer) error {
		return errors.Join(w.Set([]byte("b"), []byte("1")), w.Set([]byte("k"), []byte("1")))
	})
	r.ingest(t, func(w *sstable.Writer) error {
		return errors.Join(w.Set([]byte("b"), []byte("2")), w.Merge([]byte("k"), []byte("2")))
	})
	require.NoError(t, r.db.Set([]byte("k"), []byte("newest"), pebble.NoSync))
	require.NoError(t, r.db.Flush())
	first := r.snapshot(t, export.SnapshotOptions{Name: "01"})
	require.NoError(t, first.Close())
	require.NoError(t, r.db.Compact(t.Context(), []byte("a"), []byte("c"), false))
	levels, err := r.db.SSTables()
	require.NoError(t, err)
	require.Len(t, levels[0], 1, "the table of the newest value was left alone")
	require.Empty(t, levels[5], "the others were not")

	second := r.snapshot(t, export.SnapshotOptions{Name: "02", Base: "01", After: first.Timestamp()})
	defer func() { require.NoError(t, second.Close()) }()
	require.Empty(t, collected(t, second, export.Request{Since: first.Timestamp()}))
}

// TestBackToValueBelowSharedTable: a key gets back what it had before, and its old
// record, below that of a shared table, is rewritten meanwhile. Both records say the
// same, and yet the key has changed.
func TestBackToValueBelowSharedTable(t *testing.T) {
	t.Parallel()
	r := newRig(t, &pebble.Options{LBaseMaxBytes: 1, DisableAutomaticCompactions: true})
	for _, value := range []string{"0", "1"} {
		r.ingest(t, func(w *sstable.Writer) error {
			return errors.Join(w.Set([]byte("b"), []byte(value)), w.Set([]byte("k"), []byte(value)))
		})
	}
	require.NoError(t, r.db.Set([]byte("k"), []byte("2"), pebble.NoSync))
	require.NoError(t, r.db.Flush())
	first := r.snapshot(t, export.SnapshotOptions{Name: "01"})
	require.NoError(t, first.Close())
	require.NoError(t, r.db.Compact(t.Context(), []byte("a"), []byte("c"), false))
	require.NoError(t, r.db.Set([]byte("k"), []byte("1"), pebble.NoSync))
	require.NoError(t, r.db.Flush())

	second := r.snapshot(t, export.SnapshotOptions{Name: "02", Base: "01", After: first.Timestamp()})
	defer func() { require.NoError(t, second.Close()) }()
	changes := collected(t, second, export.Request{Since: first.Timestamp()})
	require.Len(t, changes, 1)
	require.Equal(t, "k", string(changes[0].Key))
	require.Equal(t, "1", string(changes[0].Value))
}

// TestFewSeparateValues: where only a few of the values that differ are in files of
// their own, records decide, but for theirs.
func TestFewSeparateValues(t *testing.T) {
	t.Parallel()
	o := &pebble.Options{FormatMajorVersion: pebble.FormatNewest, DisableAutomaticCompactions: true}
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 100, MaxBlobReferenceDepth: 4, TargetGarbageRatio: 1}
	}
	r := newRig(t, o)
	for i := range 5000 {
		require.NoError(t, r.db.Set(plainKey(i), plainKey(i*7), pebble.NoSync))
	}
	first := r.snapshot(t, export.SnapshotOptions{Name: "01"})
	require.NoError(t, first.Close())
	long := bytes.Repeat([]byte("long"), 100)
	for i := range 10 {
		require.NoError(t, r.db.Set(plainKey(i), long, pebble.NoSync))
	}

	second := r.snapshot(t, export.SnapshotOptions{Name: "02", Base: "01", After: first.Timestamp()})
	defer func() { require.NoError(t, second.Close()) }()
	changes := collected(t, second, export.Request{Since: first.Timestamp()})
	require.Len(t, changes, 10)
	for _, e := range changes {
		require.Equal(t, string(long), string(e.Value))
	}
}
