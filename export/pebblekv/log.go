package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/rangekey"
	walrecord "github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/wal"
)

// touched is what operations in the log of a checkpoint may have changed. Not all
// of them need be in effect: a log may hold what was flushed, and excised since. So
// these are keys to be looked up, and no values.
type touched struct {
	keys  [][]byte
	spans []keySpan
	all   bool // what cannot be told apart may be anywhere
}

// keySpan is [start, end) of any keys.
type keySpan struct{ start, end []byte }

// log is what the log of a checkpoint touches, read once.
func (c *checkpoint) log(ctx context.Context) (*touched, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.logged != nil {
		return c.logged, nil
	}
	t, err := c.readLog(ctx)
	if err == nil {
		c.logged = t
	}
	return t, err
}

// readLog reads it. It is as long as a memtable at most: snapshots flush first.
func (c *checkpoint) readLog(ctx context.Context) (*touched, error) {
	logs, err := wal.Scan(wal.Dir{FS: c.pebble.FS, Dirname: c.path})
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	t := new(touched)
	for i, l := range logs {
		if err := t.read(ctx, l, i == len(logs)-1); err != nil {
			return nil, fmt.Errorf("log %s: %w", l.Num, err)
		}
	}
	return t, nil
}

func (t *touched) read(ctx context.Context, l wal.LogicalLog, last bool) (err error) {
	r := l.OpenForRead()
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, _, err := r.NextRecord()
		var batch []byte
		if err == nil {
			batch, err = io.ReadAll(rec)
		}
		switch {
		case err == nil:
			t.batch(batch)
		case errors.Is(err, io.EOF), last && walrecord.IsInvalidRecord(err):
			return nil // the last log may end anywhere
		case walrecord.IsInvalidRecord(err):
			t.all = true
			return nil
		default:
			return err
		}
	}
}

// batch notes what the operations of a batch touch.
func (t *touched) batch(repr []byte) {
	for ops := batchrepr.Read(repr); ; {
		kind, key, value, ok, err := ops.Next()
		if err != nil {
			t.all = true
		}
		if err != nil || !ok {
			return
		}
		switch kind {
		case pebble.InternalKeyKindLogData:
		case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete, pebble.InternalKeyKindMerge, pebble.InternalKeyKindDelete,
			pebble.InternalKeyKindSingleDelete, pebble.InternalKeyKindDeleteSized:
			t.keys = append(t.keys, slices.Clone(key))
		case pebble.InternalKeyKindRangeDelete:
			t.span(key, value)
		case pebble.InternalKeyKindRangeKeySet, pebble.InternalKeyKindRangeKeyUnset, pebble.InternalKeyKindRangeKeyDelete:
			s, err := rangekey.Decode(pebble.MakeInternalKey(key, 0, kind), value, nil)
			if err != nil {
				t.all = true
				return
			}
			t.span(s.Start, s.End)
		default: // an ingest, an excise, or what is not known yet
			t.all = true
		}
	}
}

func (t *touched) span(start, end []byte) {
	t.spans = append(t.spans, keySpan{start: slices.Clone(start), end: slices.Clone(end)})
}
