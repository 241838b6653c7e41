package varve_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
)

// engine is a database under test.
type engine interface {
	export.Store
	write(w *write) error
	shake(rng *rand.Rand, span varve.Span) error // moves data about
}

// write is one change, in the model's words.
type write struct {
	export.Entry
	how string // "": as it is; else "merge", "single", "ingest"
}

// memEngine is memkv, which merges in the simplest way.
type memEngine struct{ *memkv.Store }

func (m memEngine) shake(*rand.Rand, varve.Span) error { return nil }

func (m memEngine) write(w *write) error {
	switch w.Kind {
	case export.Set:
		value := w.Value
		if w.how == "merge" {
			old, _ := m.Get(w.Key)
			value = append(old, value...)
		}
		m.Set(w.Key, value)
	case export.Delete:
		m.Delete(w.Key)
	case export.DeleteRange:
		m.DeleteRange(w.Key, w.End)
	case export.RangeKeySet:
		m.RangeKeySet(w.Key, w.End, w.Suffix, w.Value)
	case export.RangeKeyUnset:
		m.RangeKeyUnset(w.Key, w.End, w.Suffix)
	case export.RangeKeyDelete:
		m.RangeKeyDelete(w.Key, w.End)
	}
	return nil
}

func suffixOptions() *pebble.Options {
	return &pebble.Options{
		Comparer: &cockroachkvs.Comparer, KeySchema: cockroachkvs.KeySchema.Name,
		KeySchemas:         sstable.MakeKeySchemas(&cockroachkvs.KeySchema),
		FormatMajorVersion: pebble.FormatNewest,
	}
}

// pebbleEngine is a Pebble database in memory.
type pebbleEngine struct {
	*pebblekv.Store
	db     *pebble.DB
	opts   *pebble.Options
	tables int
}

func newPebbleEngine(t testing.TB, o *pebble.Options) *pebbleEngine {
	t.Helper()
	o.FS, o.Logger = vfs.NewMem(), quiet{}
	o.MemTableSize = 64 << 10
	p := &pebbleEngine{opts: o}
	require.NoError(t, p.open())
	t.Cleanup(func() { require.NoError(t, p.db.Close()) })
	return p
}

func (p *pebbleEngine) open() (err error) {
	p.db, p.Store, err = pebblekv.Open("db", p.opts, nil)
	return err
}

// shake flushes, compacts or reopens.
func (p *pebbleEngine) shake(rng *rand.Rand, span varve.Span) error {
	switch rng.IntN(3) {
	case 0:
		return p.db.Flush()
	case 1:
		return p.db.Compact(context.Background(), span.Start, span.End, false)
	}
	if err := p.db.Close(); err != nil {
		return err
	}
	return p.open()
}

func (p *pebbleEngine) write(w *write) error {
	switch {
	case w.how == "merge":
		return p.db.Merge(w.Key, w.Value, pebble.NoSync)
	case w.how == "single":
		return p.db.SingleDelete(w.Key, pebble.NoSync)
	case w.how == "ingest":
		return p.ingest(w)
	case w.Kind == export.Set:
		return p.db.Set(w.Key, w.Value, pebble.NoSync)
	case w.Kind == export.Delete:
		return p.db.Delete(w.Key, pebble.NoSync)
	case w.Kind == export.DeleteRange:
		return p.db.DeleteRange(w.Key, w.End, pebble.NoSync)
	case w.Kind == export.RangeKeySet:
		return p.db.RangeKeySet(w.Key, w.End, w.Suffix, w.Value, pebble.NoSync)
	case w.Kind == export.RangeKeyUnset:
		return p.db.RangeKeyUnset(w.Key, w.End, w.Suffix, pebble.NoSync)
	}
	return p.db.RangeKeyDelete(w.Key, w.End, pebble.NoSync)
}

// ingest sets a key by way of a table.
func (p *pebbleEngine) ingest(w *write) error {
	p.tables++
	path := fmt.Sprintf("ingest-%d.sst", p.tables)
	f, err := p.opts.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	o := p.opts.Clone()
	o.EnsureDefaults()
	table := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o.MakeWriterOptions(6, p.db.TableFormat()))
	if err := table.Set(w.Key, w.Value); err != nil {
		return err
	}
	if err := table.Close(); err != nil {
		return err
	}
	return p.db.Ingest(context.Background(), []string{path})
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
