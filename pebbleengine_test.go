package varve_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

// pebbleEngine is a Pebble database in memory that can crash.
type pebbleEngine struct {
	*pebblekv.Store
	db     *pebble.DB // nil: it is closed
	fs     *vfs.MemFS
	popts  *pebble.Options
	opts   pebblekv.Options
	tables int // that were ingested
}

// The folders of an engine.
const (
	liveDir = "/db"
	copyDir = "/copy"
)

// unopenedPebble has no files yet. It is closed when the test ends.
func unopenedPebble(t testing.TB, popts *pebble.Options, opts pebblekv.Options) *pebbleEngine {
	p := &pebbleEngine{fs: vfs.NewCrashableMem(), popts: popts, opts: opts}
	p.popts.FS, p.popts.Logger = p.fs, quiet{}
	if p.popts.MemTableSize == 0 {
		p.popts.MemTableSize = 64 << 10
	}
	t.Cleanup(func() { require.NoError(t, p.close()) })
	return p
}

func newPebbleEngine(t testing.TB, popts *pebble.Options, opts pebblekv.Options) *pebbleEngine {
	t.Helper()
	p := unopenedPebble(t, popts, opts)
	require.NoError(t, p.open())
	return p
}

func (p *pebbleEngine) open() (err error) {
	p.db, p.Store, err = pebblekv.Open(liveDir, p.popts, &p.opts)
	return err
}

func (p *pebbleEngine) close() error {
	if p.db == nil {
		return nil
	}
	err := p.db.Close()
	p.db = nil
	return err
}

// folder is the place where the database will be.
func (p *pebbleEngine) folder() *pebblekv.Directory {
	o := p.opts
	o.Pebble = p.popts
	return pebblekv.Dir(liveDir, &o)
}

func (p *pebbleEngine) shake(rng *rand.Rand, span varve.Span) error {
	switch rng.IntN(4) {
	case 0, 1:
		return p.db.Flush()
	case 2:
		return p.db.Compact(context.Background(), span.Start, span.End, false)
	}
	if p.popts.DisableWAL {
		return p.db.Flush()
	}
	return errors.Join(p.close(), p.open())
}

// compact rewrites all that lies between two keys which nobody sets: a table that spans it
// cannot just be moved to the bottom level.
func (p *pebbleEngine) compact(between varve.Span) error {
	if err := errors.Join(p.db.Flush(), p.db.Compact(context.Background(), between.Start, between.End, false)); err != nil {
		return err
	}
	for _, key := range [][]byte{between.Start, between.End} {
		if err := p.db.Delete(key, pebble.NoSync); err != nil {
			return err
		}
	}
	return errors.Join(p.db.Flush(), p.db.Compact(context.Background(), between.Start, between.End, false))
}

func (p *pebbleEngine) crash(rng *rand.Rand) error {
	p.fs = p.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * rng.IntN(3), RNG: rng})
	err := p.close()
	p.popts.FS = p.fs
	return errors.Join(err, p.open())
}

func (p *pebbleEngine) save() error {
	if p.popts.DisableWAL {
		if err := p.db.Flush(); err != nil {
			return err
		}
	}
	return errors.Join(p.close(), p.copyFiles(liveDir, copyDir), p.open())
}

func (p *pebbleEngine) rollBack() error {
	return errors.Join(p.close(), p.copyFiles(copyDir, liveDir), p.open())
}

// copyFiles replaces a folder, for good.
func (p *pebbleEngine) copyFiles(from, to string) error {
	if err := p.fs.RemoveAll(to); err != nil {
		return err
	}
	if _, err := vfs.Clone(p.fs, p.fs, from, to, vfs.CloneSync); err != nil {
		return err
	}
	root, err := p.fs.OpenDir("/")
	if err != nil {
		return err
	}
	return errors.Join(root.Sync(), root.Close())
}

func (p *pebbleEngine) excises() bool {
	return p.db.FormatMajorVersion() >= pebble.FormatVirtualSSTables
}

func (p *pebbleEngine) write(w *write) error {
	switch {
	case w.how == "merge":
		return p.db.Merge(w.Key, w.Value, pebble.NoSync)
	case w.how == "single":
		return p.db.SingleDelete(w.Key, pebble.NoSync)
	case w.how == "sized" && p.db.FormatMajorVersion() >= pebble.FormatDeleteSizedAndObsolete:
		return p.db.DeleteSized(w.Key, 20, pebble.NoSync)
	case w.how == "ingest", w.how == "replace", w.how == "excise":
		return p.load(w)
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

// load makes changes past the log, which is made durable before: else a crash could
// keep a later one and lose an earlier one.
func (p *pebbleEngine) load(w *write) error {
	if !p.excises() && w.how != "ingest" {
		return p.replace(w)
	}
	if err := p.sync(); err != nil {
		return err
	}
	ctx, span := context.Background(), pebble.KeyRange{Start: w.Key, End: w.End}
	if w.how == "excise" {
		return p.db.Excise(ctx, span)
	}
	path, err := p.table(w)
	if err != nil {
		return err
	}
	if w.how == "ingest" {
		return p.db.Ingest(ctx, []string{path})
	}
	_, err = p.db.IngestAndExcise(ctx, []string{path}, nil, nil, span)
	return err
}

func (p *pebbleEngine) sync() error {
	if p.popts.DisableWAL {
		return p.db.Flush()
	}
	return p.db.LogData(nil, pebble.Sync)
}

// replace does what an excise does, where there is none.
func (p *pebbleEngine) replace(w *write) error {
	b := p.db.NewBatch()
	err := errors.Join(b.DeleteRange(w.Key, w.End, nil), b.RangeKeyDelete(w.Key, w.End, nil))
	if w.how == "replace" {
		err = errors.Join(err, b.Set(w.Key, w.Value, nil))
	}
	return errors.Join(err, b.Commit(pebble.NoSync))
}

// table writes one of a single key.
func (p *pebbleEngine) table(w *write) (path string, err error) {
	p.tables++
	path = fmt.Sprintf("/ingest-%d.sst", p.tables)
	f, err := p.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return "", err
	}
	o := p.popts.Clone()
	o.EnsureDefaults()
	table := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o.MakeWriterOptions(6, p.db.TableFormat()))
	return path, errors.Join(table.Set(w.Key, w.Value), table.Close())
}
