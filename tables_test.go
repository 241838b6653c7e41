package varve

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// settled is a collection, and a database with many small tables at its bottom.
type settled struct {
	*lake
	db    *pebble.DB
	store *pebblekv.Store
	opts  BackupOptions
	rng   *rand.Rand
}

const settledKeys = 2000

func newSettled(t *testing.T, o *pebble.Options) *settled {
	t.Helper()
	s := &settled{lake: newLake(t), rng: rand.New(rand.NewPCG(1, 1)), opts: BackupOptions{TargetFileBytes: 8 << 10, Compression: CompressNone}}
	o.FS, o.Logger = vfs.NewMem(), silent{}
	for level := range o.TargetFileSizes {
		o.TargetFileSizes[level], o.Levels[level].BlockSize = 2<<10, 512
	}
	var err error
	s.db, s.store, err = pebblekv.Open("db", o, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.db.Close()) })
	for i := range settledKeys {
		s.set(i, fmt.Sprintf("%x of %d", s.rng.Uint64(), i))
	}
	s.compact()
	return s
}

func settledKey(i int) []byte { return fmt.Appendf(nil, "k%05d", i) }

func (s *settled) set(i int, value string) {
	s.Helper()
	require.NoError(s, s.db.Set(settledKey(i), []byte(value), pebble.NoSync))
}

func (s *settled) compact() {
	s.Helper()
	require.NoError(s, s.db.Flush())
	require.NoError(s, s.db.Compact(s.Context(), []byte("a"), []byte("z"), false))
}

// change writes a little of each kind over what has settled.
func (s *settled) change() {
	s.Helper()
	for range 20 {
		s.set(s.rng.IntN(settledKeys), fmt.Sprintf("%x", s.rng.Uint64()))
		require.NoError(s, s.db.Delete(settledKey(s.rng.IntN(settledKeys)), pebble.NoSync))
		require.NoError(s, s.db.Set(fmt.Appendf(settledKey(s.rng.IntN(settledKeys)), "-%d", s.rng.IntN(9)), nil, pebble.NoSync))
	}
	i := s.rng.IntN(settledKeys)
	require.NoError(s, s.db.DeleteRange(settledKey(i), settledKey(i+12), pebble.NoSync))
	require.NoError(s, s.db.RangeKeySet(settledKey(i+20), settledKey(i+40), nil, []byte("range"), pebble.NoSync))
	require.NoError(s, s.db.Merge(settledKey(i+50), []byte("merged"), pebble.NoSync))
}

// backup takes a layer of the store, as it is now.
func (s *settled) backup(store export.Store, into string, opts BackupOptions) (*Layer, []export.Entry) {
	s.Helper()
	opts.Into = into
	layer, err := s.c.Backup(s.Context(), Cluster(store), &opts)
	require.NoError(s, err)
	state, err := contentOf(s.Context(), s.store)
	require.NoError(s, err)
	return layer, state
}

// copied are the files of a layer that are tables of the store, which are those of
// tier 0, and the others.
func (s *settled) copied(l *Layer) (tables, others []sink.File) {
	s.Helper()
	list, err := readFileList(s.Context(), objectio.New(s.faults.Open(), ""), l.Manifest)
	require.NoError(s, err)
	for _, f := range list.files {
		if f.Tier == 0 && (f.Merger != "" || f.Format != sink.TableFormat) {
			tables = append(tables, f)
		} else {
			others = append(others, f)
		}
	}
	return tables, others
}

// bed is where a layer is restored to.
type bed struct {
	*overseen
	opened func() export.Store
}

func (s *settled) beds() map[string]*bed {
	s.Helper()
	mem, err := memkv.New(&memkv.Options{SingleRevision: true})
	require.NoError(s, err)
	out := map[string]*bed{"entries": {nil, func() export.Store { return mem }}}
	open := func(dir string, o *pebble.Options) *pebblekv.Store {
		db, store, err := pebblekv.Open(dir, o, nil)
		require.NoError(s, err)
		s.Cleanup(func() { require.NoError(s, db.Close()) })
		return store
	}
	for name, o := range map[string]*pebble.Options{
		"of the least format":    {FormatMajorVersion: pebble.FormatMinSupported},
		"of the newest format":   {FormatMajorVersion: pebble.FormatNewest},
		"with an unknown merger": {FormatMajorVersion: pebble.FormatNewest, Merger: &pebble.Merger{Name: "another", Merge: pebble.DefaultMerger.Merge}},
	} {
		o.FS, o.Logger = vfs.NewMem(), silent{}
		live := open("live", o)
		out["a database "+name] = &bed{&overseen{Store: live}, func() export.Store { return live }}
		dir := &overseen{Store: pebblekv.Dir("new", &pebblekv.Options{Pebble: o})}
		out["a directory "+name] = &bed{dir, func() export.Store { return open("new", o) }}
		low := &overseen{Store: pebblekv.Dir("low", &pebblekv.Options{Pebble: o}), levels: 1}
		out["a directory of one level "+name] = &bed{low, func() export.Store { return open("low", o) }}
	}
	return out
}

// prove verifies a layer as far as that goes, and restores it into everything.
func (s *settled) prove(l *Layer, want []export.Entry) map[string]*bed {
	s.Helper()
	level := VerifyDigest
	if l.Manifest.Digest == nil {
		level = VerifyOrder
	}
	_, err := s.c.Verify(s.Context(), l.ID, &VerifyOptions{Level: level})
	require.NoError(s, err)
	beds := s.beds()
	for name, b := range beds {
		var store export.Store = b.overseen
		if b.overseen == nil {
			store = b.opened()
		}
		_, err := s.c.Restore(s.Context(), Cluster(store), &RestoreOptions{From: l.ID, Prove: l.Manifest.Digest != nil})
		require.NoError(s, err, name)
		got, err := contentOf(s.Context(), b.opened())
		require.NoError(s, err)
		require.Equal(s, want, got, name)
	}
	return beds
}

// TestFullOfTables: the bottom of a store is copied as it is, what lies over it comes
// above, and what follows such a full finds what has changed since, by the store's
// account or by the chain's.
func TestFullOfTables(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		version pebble.FormatMajorVersion
		format  string
	}{
		"rows":    {pebble.FormatVirtualSSTables, "pebble.v4"},
		"columns": {pebble.FormatNewest, "pebble.v7"},
	} {
		for _, noDigest := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, digest %t", name, !noDigest), func(t *testing.T) {
				t.Parallel()
				s := newSettled(t, &pebble.Options{FormatMajorVersion: test.version, DisableAutomaticCompactions: true})
				s.opts.NoDigest = noDigest
				s.change()
				full, state := s.backup(s.store, "", s.opts)
				tables, others := s.copied(full)
				require.Greater(t, len(tables), 5)
				require.NotEmpty(t, others)
				upper := 0
				for _, f := range tables {
					require.Equal(t, test.format, f.Format)
					require.Equal(t, "pebble.concatenate", f.Merger)
				}
				for _, f := range others {
					upper += f.Tier
				}
				require.NotZero(t, upper, "what lies over tables is in tier 1")
				requireLinked(t, test.format, len(tables), s.prove(full, state))

				s.opts.NoBase = true
				s.change()
				second, state := s.backup(s.store, Latest, s.opts)
				require.Equal(t, Checkpoints, second.Stats.Changes)
				s.prove(second, state)

				s.change()
				s.compact()
				third, state := s.backup(s.store, Latest, s.opts)
				require.Equal(t, FromChain, third.Stats.Changes)
				s.prove(third, state)
			})
		}
	}
}

// requireLinked wants tables of a format linked where it and their merger are known.
func requireLinked(t *testing.T, format string, n int, beds map[string]*bed) {
	t.Helper()
	for name, b := range beds {
		if b.overseen == nil {
			continue
		}
		linked := 0
		for _, table := range b.tables {
			if table.Format == format {
				linked++
			}
		}
		if name == "a directory of the newest format" {
			require.Equal(t, n, linked, name)
		}
		if name == "a directory of the least format" || name == "a directory with an unknown merger" {
			require.Zero(t, linked, name)
			require.NotZero(t, b.loads, name)
		}
	}
}

// TestCompactedIsCopied: where nothing lies over the tables there is no upper tier.
func TestCompactedIsCopied(t *testing.T) {
	t.Parallel()
	s := newSettled(t, &pebble.Options{FormatMajorVersion: pebble.FormatNewest})
	full, state := s.backup(s.store, "", s.opts)
	tables, others := s.copied(full)
	require.NotEmpty(t, tables)
	require.Empty(t, others)
	require.Equal(t, int64(settledKeys), full.Stats.Keys)
	s.prove(full, state)
}

// doubted shows tables some of which prove unsound while they are read.
type doubted struct {
	*pebblekv.Store
	stop func(i int) int // the entries that the i-th table yields before; -1: all

	mu sync.Mutex
	n  int // tables that were chosen
}

type doubtedSnapshot struct {
	export.Snapshot
	export.Differ
	exporter export.TableExporter
	store    *doubted
}

type doubtedTable struct {
	export.Table
	stop int
}

// stopping ends after some entries.
type stopping struct {
	export.Cursor
	left int
	err  error
}

func (d *doubted) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	s, err := d.Store.Snapshot(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &doubtedSnapshot{s, s.(export.Differ), s.(export.TableExporter), d}, nil
}

func (s *doubtedSnapshot) Tables(ctx context.Context, span export.Span, least, most int64) ([]export.Table, error) {
	tables, err := s.exporter.Tables(ctx, span, least, most)
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	for i := range tables {
		tables[i] = &doubtedTable{tables[i], s.store.stop(s.store.n)}
		s.store.n++
	}
	return tables, err
}

func (s *doubtedSnapshot) Over(ctx context.Context, span export.Span, tables []export.Table, exact bool) (export.Changes, error) {
	bare := make([]export.Table, len(tables))
	for i := range tables {
		bare[i] = tables[i].(*doubtedTable).Table
	}
	return s.exporter.Over(ctx, span, bare, exact)
}

func (t *doubtedTable) Entries(ctx context.Context) (export.Cursor, error) {
	c, err := t.Table.Entries(ctx)
	if err != nil || t.stop < 0 {
		return c, err
	}
	return &stopping{Cursor: c, left: t.stop}, nil
}

func (s *stopping) Next() bool {
	if s.left == 0 || !s.Cursor.Next() {
		s.err = fmt.Errorf("found: %w", export.ErrUnsound)
		return false
	}
	s.left--
	return true
}

func (s *stopping) Err() error { return s.err }

// TestTablesProveUnsound: such are left out, at whatever entry that is found, and what
// they hold comes with what lies over the others.
func TestTablesProveUnsound(t *testing.T) {
	t.Parallel()
	doubts := map[string]func(int) int{
		"the first":            func(i int) int { return -min(i, 1) },
		"every other at once":  func(i int) int { return i%2 - 1 },
		"every third later":    func(i int) int { return []int{5, -1, -1}[i%3] },
		"some at the very end": func(i int) int { return []int{1 << 20, -1}[i%2] },
		"all":                  func(i int) int { return i % 7 },
	}
	ways := map[string]BackupOptions{"digested": {}, "audited": {Audit: true}, "without a digest": {NoDigest: true}}
	for name, stop := range doubts {
		for way, opts := range ways {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				s := newSettled(t, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, DisableAutomaticCompactions: true})
				s.change()
				store := &doubted{Store: s.store, stop: stop}
				opts.TargetFileBytes, opts.Compression = s.opts.TargetFileBytes, s.opts.Compression
				full, state := s.backup(store, "", opts)
				want := 0
				for i := range store.n {
					if stop(i) < 0 {
						want++
					}
				}
				tables, _ := s.copied(full)
				require.Greater(t, store.n, 5)
				require.Less(t, want, store.n)
				require.Len(t, tables, want)
				s.prove(full, state)

				s.change()
				next, state := s.backup(s.store, Latest, opts)
				require.Equal(t, Checkpoints, next.Stats.Changes)
				s.prove(next, state)
			})
		}
	}
}

// TestWorthCopying: a table whose blocks are compressed is larger than the same
// entries in compressed frames; one that does not shrink is as small.
func TestWorthCopying(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		compression Compression
		text        bool
		copied      bool
	}{{CompressNone, true, true}, {CompressNone, false, true}, {CompressZstd, true, false}, {CompressZstd, false, true}} {
		t.Run(fmt.Sprintf("%d, text %t", test.compression, test.text), func(t *testing.T) {
			t.Parallel()
			s := newSettled(t, &pebble.Options{FormatMajorVersion: pebble.FormatNewest})
			for i := range settledKeys {
				value := fmt.Sprintf("%d times the same text, the same text, the same text, the same text", i)
				if !test.text {
					value = string(noise(s.rng, 200))
				}
				s.set(i, value)
			}
			s.compact()
			s.opts.Compression = test.compression
			full, state := s.backup(s.store, "", s.opts)
			tables, others := s.copied(full)
			// The last one is small, and mostly what every table has.
			require.Equal(t, test.copied, len(tables) > 1, "%d tables, %d others", len(tables), len(others))
			s.prove(full, state)
		})
	}
}

func noise(rng *rand.Rand, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(rng.Uint32())
	}
	return out
}

// TestSpansOfTables: targets cut tables, and what they cut is not copied.
func TestSpansOfTables(t *testing.T) {
	t.Parallel()
	s := newSettled(t, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, DisableAutomaticCompactions: true})
	s.change()
	spans := []Span{{Start: settledKey(333), End: settledKey(777)}, {Start: settledKey(1111)}}
	layer, err := s.c.Backup(s.Context(), Spans(s.store, spans...), &s.opts)
	require.NoError(t, err)
	state, err := contentOf(t.Context(), s.store)
	require.NoError(t, err)
	tables, _ := s.copied(layer)
	require.NotEmpty(t, tables)
	for _, f := range tables {
		require.True(t, slices.ContainsFunc(spans, func(span Span) bool { return span.Covers(nil, f.Span) }), f.Span)
	}
	_, err = s.c.Verify(t.Context(), layer.ID, &VerifyOptions{Level: VerifyDigest})
	require.NoError(t, err)
	dst, err := memkv.New(&memkv.Options{SingleRevision: true})
	require.NoError(t, err)
	_, err = s.c.Restore(t.Context(), Spans(dst, spans...), &RestoreOptions{From: layer.ID, Prove: true})
	require.NoError(t, err)
	got, err := contentOf(t.Context(), dst)
	require.NoError(t, err)
	require.Equal(t, stateIn(state, spans...), got)
}
