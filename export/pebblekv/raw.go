package pebblekv

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/tables"
)

// rawRecord is one version of a key as it stands in a table.
type rawRecord struct {
	key     pebble.InternalKey
	value   []byte
	outside bool // the value is in a blob file
}

// decides reports whether the newest record of a key says what the key's value is.
func (r *rawRecord) decides() bool {
	return !r.outside && (r.sets() || r.deletes())
}

func (r *rawRecord) sets() bool {
	k := r.key.Kind()
	return k == pebble.InternalKeyKindSet || k == pebble.InternalKeyKindSetWithDelete
}

func (r *rawRecord) deletes() bool {
	k := r.key.Kind()
	return k == pebble.InternalKeyKindDelete || k == pebble.InternalKeyKindSingleDelete || k == pebble.InternalKeyKindDeleteSized
}

// equals reports whether both are the same record, and one that decides. A sequence number that was
// zeroed is no mark of identity, but two such records of one key and value, each
// the newest of those that are not shared, leave the shared ones to decide alike.
func (r *rawRecord) equals(s *rawRecord) bool {
	return r.decides() && s.decides() && r.key.Trailer == s.key.Trailer && bytes.Equal(r.value, s.value)
}

// run reads tables one behind the other, whose keys do not overlap, record by
// record: every version of a key, tombstones included, from the newest on.
type run struct {
	late   bool // of the later checkpoint
	tables []*tableFile
	span   export.Span

	reader *sstable.Reader
	points sstable.Iterator
	record rawRecord
}

// runs are what has to be read together to see all records of the tables: those
// of level 0 overlap.
func runs(tables []*tableFile, late bool, span export.Span) []*run {
	var out []*run
	for i, t := range tables {
		if i > 0 && t.level > 0 && t.level == tables[i-1].level {
			last := out[len(out)-1]
			last.tables = append(last.tables, t)
			continue
		}
		out = append(out, &run{late: late, tables: []*tableFile{t}, span: span})
	}
	return out
}

// next moves to the next record, and is false at the end.
func (r *run) next(ctx context.Context) (bool, error) {
	ok, err := r.advance(ctx)
	if !r.late {
		err = lost(ctx, err)
	}
	return ok, err
}

func (r *run) advance(ctx context.Context) (bool, error) {
	for {
		if r.points != nil {
			r.record.outside = false
			if kv := r.points.Next(); kv != nil {
				value, _, err := kv.Value(nil)
				r.record.key, r.record.value = kv.K, value
				return true, err
			}
			if err := errors.Join(r.points.Error(), r.close()); err != nil {
				return false, err
			}
		}
		if len(r.tables) == 0 {
			return false, nil
		}
		if ok, err := r.first(ctx); ok || err != nil {
			return ok, err
		}
	}
}

// first opens the next table and moves to its first record, if it has one.
func (r *run) first(ctx context.Context) (bool, error) {
	path := r.tables[0].path()
	if err := r.open(ctx); err != nil {
		return false, fmt.Errorf("table %s: %w", path, err)
	}
	r.tables = r.tables[1:]
	r.record.outside = false
	seek := r.points.First
	if start := r.span.Start; len(start) > 0 {
		seek = bindSeek(r.points.SeekGE, start)
	}
	if kv := seek(); kv != nil {
		value, _, err := kv.Value(nil)
		r.record.key, r.record.value = kv.K, value
		return true, err
	}
	return false, errors.Join(r.points.Error(), r.close())
}

func (r *run) open(ctx context.Context) (err error) {
	t := r.tables[0]
	if r.reader, err = tables.OpenAhead(ctx, t.owner.pebble.FS, t.path(), t.owner.pebble); err != nil {
		return err
	}
	blobs := sstable.AssertNoBlobHandles
	if len(t.blobs) > 0 {
		blobs = sstable.DebugHandlesBlobContext
		blobs.BlobHandleFn = noting(blobs.BlobHandleFn, func() { r.record.outside = true })
	}
	r.points, err = r.reader.NewPointIter(ctx, sstable.IterOptions{
		Lower: bound(r.span.Start), Upper: bound(r.span.End),
		Transforms:           t.points,
		FilterBlockSizeLimit: sstable.NeverUseFilterBlock,
		Env:                  t.env,
		ReaderProvider:       sstable.MakeTrivialReaderProvider(r.reader),
		BlobContext:          blobs,
	})
	if err != nil {
		err = errors.Join(err, r.reader.Close())
		r.reader = nil
	}
	return err
}

// bindSeek is seek with its arguments given, whose types have no names here.
func bindSeek[F, KV any](seek func([]byte, F) KV, key []byte) func() KV {
	var flags F
	return func() KV { return seek(key, flags) }
}

// noting is f with a call of note before it. The types of its value have no names
// outside of Pebble.
func noting[P, V any](f func(P, []byte) V, note func()) func(P, []byte) V {
	return func(p P, rest []byte) V {
		note()
		return f(p, rest)
	}
}

func (r *run) close() error {
	if r.reader == nil {
		return nil
	}
	var err error
	if r.points != nil {
		err = r.points.Close()
	}
	err = errors.Join(err, r.reader.Close())
	r.points, r.reader = nil, nil
	return err
}

// runQueue holds runs that have not ended, the one with the smallest key first: a
// binary heap, for this is the innermost loop of an incremental backup.
type runQueue struct {
	runs []*run
	cmp  func(a, b []byte) int
}

func (q *runQueue) less(i, j int) bool {
	return q.cmp(q.runs[i].record.key.UserKey, q.runs[j].record.key.UserKey) < 0
}

func (q *runQueue) push(r *run) {
	q.runs = append(q.runs, r)
	for i := len(q.runs) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.less(i, parent) {
			break
		}
		q.runs[i], q.runs[parent] = q.runs[parent], q.runs[i]
		i = parent
	}
}

func (q *runQueue) pop() *run {
	first, n := q.runs[0], len(q.runs)-1
	q.runs[0] = q.runs[n]
	q.runs = q.runs[:n]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < n; child++ {
			if q.less(child, least) {
				least = child
			}
		}
		if least == i {
			return first
		}
		q.runs[i], q.runs[least] = q.runs[least], q.runs[i]
		i = least
	}
}
