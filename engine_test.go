package varve_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
)

// engine is a database under test.
type engine interface {
	export.Store
	export.SnapshotKeeper
	write(w *write) error
	shake(rng *rand.Rand, span varve.Span) error // moves data about
	compact(between varve.Span) error            // into the bottom level
	crash(rng *rand.Rand) error                  // loses power: what was not synced may be gone
	save() error                                 // copies its files aside
	rollBack() error                             // to the files that were copied
	close() error
}

// write is one change, in the model's words.
type write struct {
	export.Entry
	how string // "": as it is; else "merge", "single", "sized", "ingest", "excise" or "replace"
}

// into makes the change in a store in memory, as its history goes on.
func (w *write) into(s *memkv.Store) {
	switch {
	case w.how == "excise", w.how == "replace":
		s.DeleteRange(w.Key, w.End)
		s.RangeKeyDelete(w.Key, w.End)
		if w.how == "replace" {
			s.Set(w.Key, w.Value)
		}
	case w.how == "merge":
		old, _ := s.Get(w.Key)
		s.Set(w.Key, append(old, w.Value...))
	case w.Kind == export.Set:
		s.Set(w.Key, w.Value)
	case w.Kind == export.Delete:
		s.Delete(w.Key)
	case w.Kind == export.DeleteRange:
		s.DeleteRange(w.Key, w.End)
	case w.Kind == export.RangeKeySet:
		s.RangeKeySet(w.Key, w.End, w.Suffix, w.Value)
	case w.Kind == export.RangeKeyUnset:
		s.RangeKeyUnset(w.Key, w.End, w.Suffix)
	case w.Kind == export.RangeKeyDelete:
		s.RangeKeyDelete(w.Key, w.End)
	}
}

// memEngine is memkv, which loses nothing and has no files.
type memEngine struct {
	*memkv.Store
	whole sync.Mutex // no snapshot is taken in the middle of a write
}

func (m *memEngine) write(w *write) error {
	m.whole.Lock()
	defer m.whole.Unlock()
	w.into(m.Store)
	return nil
}

func (m *memEngine) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	m.whole.Lock()
	defer m.whole.Unlock()
	return m.Store.Snapshot(ctx, opts)
}

func (m *memEngine) shake(*rand.Rand, varve.Span) error { return nil }
func (m *memEngine) compact(varve.Span) error           { return nil }
func (m *memEngine) save() error                        { return nil }
func (m *memEngine) rollBack() error                    { return nil }

func (m *memEngine) crash(*rand.Rand) error {
	m.Store = m.Reopen()
	return nil
}

func (m *memEngine) close() error {
	m.Close()
	return nil
}

func suffixOptions() *pebble.Options {
	return &pebble.Options{
		Comparer: &cockroachkvs.Comparer, KeySchema: cockroachkvs.KeySchema.Name,
		KeySchemas:              sstable.MakeKeySchemas(&cockroachkvs.KeySchema),
		BlockPropertyCollectors: cockroachkvs.BlockPropertyCollectors,
		FormatMajorVersion:      pebble.FormatNewest,
	}
}

// separateOptions keep values of 8 bytes and more in files of their own.
func separateOptions() *pebble.Options {
	o := &pebble.Options{FormatMajorVersion: pebble.FormatNewest}
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 8, MaxBlobReferenceDepth: 4, TargetGarbageRatio: 1}
	}
	return o
}

// deepen makes many levels of tables of a few keys each.
func deepen(o *pebble.Options) *pebble.Options {
	o.LBaseMaxBytes, o.L0CompactionThreshold = 1<<10, 1
	o.TargetFileSizes[0], o.FlushSplitBytes = 512, 512
	o.MemTableSize = 16 << 10
	return o
}

// quiet keeps Pebble's chatter out of the test's output.
type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { pebble.DefaultLogger.Fatalf(format, args...) }

// openPebble opens a database that is closed when the test ends.
func openPebble(t testing.TB, o *pebble.Options) (*pebble.DB, *pebblekv.Store) {
	t.Helper()
	o.Logger = quiet{}
	db, s, err := pebblekv.Open("db", o, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, s
}
