package pebblekv

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/tables"
)

// floor is the state that sound tables make up alone: each key of them has one record,
// which sets it. They are apart and ascend.
type floor struct {
	checkpoint *checkpoint
	tables     []*tableFile
}

var _ state = (*floor)(nil)

func (f *floor) points(span export.Span) (pointIterator, error) { return f.iterator(span), nil }

func (f *floor) entries(ctx context.Context, span export.Span) (export.Cursor, error) {
	return &floorCursor{ctx: ctx, it: f.iterator(span)}, nil
}

// release does nothing: the difference holds the checkpoint.
func (f *floor) release() error { return nil }

func (f *floor) iterator(span export.Span) *floorIterator {
	it := &floorIterator{cmp: f.checkpoint.pebble.Comparer.Compare, span: span}
	for _, t := range f.tables {
		if f.checkpoint.overlaps(&t.SSTableInfo, span) {
			it.tables = append(it.tables, t)
		}
	}
	return it
}

// floorIterator goes over the keys of a floor that lie in span. One table is open at a
// time. Keys that are sought ascend.
type floorIterator struct {
	cmp    func(a, b []byte) int
	tables []*tableFile // from the one that is open on
	span   export.Span

	reader *sstable.Reader
	it     sstable.Iterator
	key    []byte // nil: it stands nowhere
	value  []byte
	err    error
}

// SeekGE moves to the first key at or after key.
func (f *floorIterator) SeekGE(key []byte) bool {
	if f.err != nil {
		return false
	}
	for len(f.tables) > 0 && f.cmp(f.tables[0].Largest.UserKey, key) < 0 {
		f.skip()
	}
	return f.seek(key)
}

// First moves to the first key.
func (f *floorIterator) First() bool { return f.SeekGE(f.span.Start) }

// Next moves to the next key.
func (f *floorIterator) Next() bool {
	if f.err != nil || f.key == nil {
		return false
	}
	if kv := f.it.Next(); kv != nil {
		return f.take(kv.K.UserKey, kv.Value)
	}
	f.skip()
	return f.seek(f.span.Start)
}

// seek looks for key in the tables that are left.
func (f *floorIterator) seek(key []byte) bool {
	for f.err == nil && len(f.tables) > 0 {
		if f.it == nil {
			f.open()
		}
		if f.err != nil {
			break
		}
		first := f.it.First
		if len(key) > 0 { // which not every key schema takes
			first = bindSeek(f.it.SeekGE, key)
		}
		if kv := first(); kv != nil {
			return f.take(kv.K.UserKey, kv.Value)
		}
		f.skip()
	}
	f.key = nil
	return false
}

func (f *floorIterator) open() {
	ctx, t := context.Background(), f.tables[0] // local files, which no context ends
	r, err := tables.OpenAhead(ctx, t.owner.pebble.FS, t.path(), t.owner.pebble)
	if err != nil {
		f.err = fmt.Errorf("table %s: %w", t.path(), err)
		return
	}
	it, err := r.NewPointIter(ctx, sstable.IterOptions{
		Lower: bound(f.span.Start), Upper: bound(f.span.End),
		Transforms:           sstable.NoTransforms,
		FilterBlockSizeLimit: sstable.NeverUseFilterBlock,
		Env:                  sstable.NoReadEnv,
		ReaderProvider:       sstable.MakeTrivialReaderProvider(r),
		BlobContext:          sstable.AssertNoBlobHandles,
	})
	if err != nil {
		f.err = errors.Join(fmt.Errorf("table %s: %w", t.path(), err), r.Close())
		return
	}
	f.reader, f.it = r, it
}

// take makes a key of the open table the current one.
func (f *floorIterator) take(key []byte, value func([]byte) ([]byte, bool, error)) bool {
	f.key = key
	f.value, _, f.err = value(nil)
	return f.err == nil
}

// skip leaves the first table behind.
func (f *floorIterator) skip() {
	f.key = nil
	if f.it != nil {
		f.err = errors.Join(f.err, f.it.Error())
	}
	if err := f.shut(); f.err == nil {
		f.err = err
	}
	f.tables = f.tables[1:]
}

func (f *floorIterator) shut() error {
	if f.reader == nil {
		return nil
	}
	err := errors.Join(f.it.Close(), f.reader.Close())
	f.reader, f.it = nil, nil
	return err
}

// Key is the current one.
func (f *floorIterator) Key() []byte { return f.key }

// ValueAndErr is that of the current key.
func (f *floorIterator) ValueAndErr() ([]byte, error) { return f.value, f.err }

// Error is what ended the iterator early.
func (f *floorIterator) Error() error { return f.err }

// Close ends the iterator.
func (f *floorIterator) Close() error { return f.shut() }

// floorCursor yields a floor as a state.
type floorCursor struct {
	ctx   context.Context
	it    *floorIterator
	begun bool
	steps int
	entry export.Entry
	err   error
}

func (c *floorCursor) Next() bool {
	if c.steps%checkEvery == 0 && c.err == nil {
		c.err = c.ctx.Err()
	}
	c.steps++
	if c.err != nil {
		return false
	}
	move := c.it.Next
	if !c.begun {
		c.begun, move = true, c.it.First
	}
	if !move() {
		c.err = c.it.Error()
		return false
	}
	c.entry = export.Entry{Kind: export.Set, Key: c.it.Key(), Value: c.it.value}
	return true
}

func (c *floorCursor) Entry() *export.Entry { return &c.entry }
func (c *floorCursor) Err() error           { return c.err }
func (c *floorCursor) Close() error         { return c.it.Close() }
