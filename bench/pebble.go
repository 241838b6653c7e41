package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"

	"github.com/varvekv/varve/export/pebblekv"
)

// pebbles are databases of Pebble's newest format, without compression.
type pebbles struct{}

func (pebbles) name() string   { return "pebble" }
func (pebbles) compacts() bool { return true }

// pebbleOptions are those of a database of so many bytes. Memtables and levels grow with
// it, so that a small one has as many levels as a big one, and settles with about a
// quarter of it above the lowest.
func pebbleOptions(bytes int64) *pebble.Options {
	const least, most = 256 << 10, 64 << 20
	o := &pebble.Options{
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             silent{},
		MemTableSize:       uint64(min(max(bytes/64, least), most)),
		LBaseMaxBytes:      max(bytes/12, least),
	}
	for i := range o.Levels {
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return block.NoCompression }
	}
	return o
}

// anySize is for databases that are only read, or loaded in one go.
const anySize = 1e9

type silent struct{ pebble.Logger }

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}

func (pebbles) build(ctx context.Context, d dataset, dir string) (note string, err error) {
	db, err := pebble.Open(dir, pebbleOptions(d.Bytes))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	p := &pebbleDatabase{db: db}
	if err := p.write(ctx, d.shuffled()); err != nil {
		return "", err
	}
	if d.Layout == compacted {
		if err := db.Compact(ctx, []byte("0"), []byte("g"), true); err != nil {
			return "", err
		}
	}
	if err := p.settle(ctx); err != nil {
		return "", err
	}
	return levelsOf(db), nil
}

// levelsOf says how much of the database is where.
func levelsOf(db *pebble.DB) string {
	metrics := db.Metrics()
	var all, files int64
	for _, l := range metrics.Levels {
		all += l.TablesSize
		files += l.TablesCount
	}
	above := all - metrics.Levels[len(metrics.Levels)-1].TablesSize
	return fmt.Sprintf("%s in %d tables, %.0f %% of it above L6", megabytes(all), files, 100*float64(above)/float64(max(all, 1)))
}

func (pebbles) open(_ context.Context, d dataset, dir string, compacts bool) (database, error) {
	o := pebbleOptions(d.Bytes)
	o.DisableAutomaticCompactions = !compacts
	db, store, err := pebblekv.Open(dir, o, nil)
	if err != nil {
		return nil, err
	}
	return &pebbleDatabase{db: db, store: store}, nil
}

func (pebbles) scan(_ context.Context, dir string, add func(key, value []byte)) (err error) {
	o := pebbleOptions(anySize)
	o.ReadOnly = true
	db, err := pebble.Open(dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return iterate(db, add)
}

// iterate reads every row of a database.
func iterate(db *pebble.DB, add func(key, value []byte)) (err error) {
	it, err := db.NewIter(nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		add(it.Key(), value)
	}
	return it.Error()
}

type pebbleDatabase struct {
	db    *pebble.DB
	store *pebblekv.Store
}

func (p *pebbleDatabase) write(ctx context.Context, rows iter.Seq2[[]byte, []byte]) error {
	batch := p.db.NewBatch()
	for key, value := range rows {
		if err := batch.Set(key, value, nil); err != nil {
			return err
		}
		if batch.Len() < 128<<10 {
			continue
		}
		if err := errors.Join(batch.Commit(pebble.NoSync), ctx.Err()); err != nil {
			return err
		}
		batch.Reset()
	}
	if err := errors.Join(batch.Commit(pebble.NoSync), batch.Close()); err != nil {
		return err
	}
	return p.db.Flush()
}

func (p *pebbleDatabase) Close() error { return p.db.Close() }

// settle waits until nothing has been compacted for a while.
func (p *pebbleDatabase) settle(ctx context.Context) error {
	const pause, quietPauses = 25 * time.Millisecond, 12
	for quiet := 0; quiet < quietPauses; quiet++ {
		if p.db.Metrics().Compact.NumInProgress > 0 {
			quiet = 0
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return nil
}

// checkpoint freezes the job's database as a folder of links.
func (j *job) checkpoint(dir string) error {
	return j.db.(*pebbleDatabase).db.Checkpoint(dir, pebble.WithFlushedWAL())
}
