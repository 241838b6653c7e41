package varve

import (
	"fmt"
	"math/rand/v2"
	"slices"
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

const settledKeys = 800

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

// prove verifies a layer as far as that goes, and restores it into everything, or only
// what is named.
func (s *settled) prove(l *Layer, want []export.Entry, only ...string) map[string]*bed {
	s.Helper()
	level := VerifyDigest
	if l.Manifest.Digest == nil {
		level = VerifyOrder
	}
	_, err := s.c.Verify(s.Context(), l.ID, &VerifyOptions{Level: level})
	require.NoError(s, err)
	beds := s.beds()
	for name, b := range beds {
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
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
