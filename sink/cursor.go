package sink

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/varvekv/varve/export"
)

// cursor merges the points and the ranges of one table.
type cursor struct {
	ctx  context.Context
	r    *Reader
	ord  *export.Order
	span export.Span

	points  sstable.Iterator
	begun   bool
	steps   int
	ranges  []export.Entry // ahead, by start
	point   export.Entry
	pointOK bool // point is ahead
	entry   *export.Entry
	taken   bool // the point is what Entry returned
	err     error
}

func (r *Reader) newCursor(ctx context.Context, span export.Span, ranges []export.Entry) (export.Cursor, error) {
	c := &cursor{ctx: ctx, r: r, ord: r.form.Order.WithDefaults(), span: span, ranges: ranges}
	if err := c.openPoints(); err != nil {
		return nil, r.tableError(err)
	}
	return c, nil
}

func (c *cursor) openPoints() (err error) {
	defer recovered(&err)
	var lower, upper []byte
	if lower = c.physical(c.span.Start); len(c.span.End) > 0 {
		upper = c.physical(c.span.End)
	}
	c.points, err = c.r.table.NewPointIter(c.ctx, sstable.IterOptions{
		Lower: lower, Upper: upper,
		Transforms:           sstable.NoTransforms,
		FilterBlockSizeLimit: sstable.NeverUseFilterBlock,
		Env:                  sstable.NoReadEnv,
		ReaderProvider:       sstable.MakeTrivialReaderProvider(c.r.table),
		BlobContext:          sstable.AssertNoBlobHandles,
	})
	return err
}

func (c *cursor) physical(key []byte) []byte {
	if len(key) == 0 || !c.r.form.Revisions {
		return key
	}
	return encodeKey(nil, key, export.Timestamp{})
}

func (c *cursor) Next() bool {
	if c.err != nil || c.points == nil {
		return false
	}
	if c.err = c.advance(); c.err != nil {
		c.entry = nil
		return false
	}
	return c.entry != nil
}

func (c *cursor) advance() (err error) {
	defer recovered(&err)
	if !c.begun || c.taken {
		if err := c.nextPoint(); err != nil {
			return err
		}
	}
	c.begun, c.taken, c.entry = true, false, nil
	if len(c.ranges) > 0 && (!c.pointOK || c.ord.Compare(c.ranges[0].Key, c.point.Key) <= 0) {
		c.entry, c.ranges = &c.ranges[0], c.ranges[1:]
	} else if c.pointOK {
		c.entry, c.taken = &c.point, true
	}
	return nil
}

// ctxEvery is how many entries may pass before a cancelled context is noticed.
const ctxEvery = 256

func (c *cursor) nextPoint() error {
	if c.steps++; c.steps%ctxEvery == 0 && c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	if !c.begun {
		first := c.points.First
		if start := c.physical(c.span.Start); len(start) > 0 { // which not every key schema takes
			first = bindSeek(c.points.SeekGE, start)
		}
		kv := first()
		if kv == nil {
			return c.exhausted()
		}
		value, _, err := kv.Value(nil)
		return c.decode(kv.K, value, err)
	}
	if !c.pointOK {
		return nil
	}
	kv := c.points.Next()
	if kv == nil {
		return c.exhausted()
	}
	value, _, err := kv.Value(nil)
	return c.decode(kv.K, value, err)
}

// bindSeek is seek with its arguments given, whose types have no names here.
func bindSeek[F, KV any](seek func([]byte, F) KV, key []byte) func() KV {
	var flags F
	return func() KV { return seek(key, flags) }
}

func (c *cursor) exhausted() error {
	c.pointOK = false
	return c.points.Error()
}

// decode puts a physical point ahead.
func (c *cursor) decode(k pebble.InternalKey, value []byte, err error) error {
	if err != nil {
		return err
	}
	c.pointOK = true
	c.point = export.Entry{Kind: export.Set, Key: k.UserKey, Value: value}
	if c.r.form.Revisions {
		return decodePoint(&c.point, k.UserKey, value)
	}
	switch k.Kind() {
	case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete:
	case pebble.InternalKeyKindDelete, pebble.InternalKeyKindSingleDelete, pebble.InternalKeyKindDeleteSized:
		c.point.Kind, c.point.Value = export.Delete, nil
	default:
		return fmt.Errorf("key %q is of kind %s", k.UserKey, k.Kind())
	}
	return nil
}

func (c *cursor) Entry() *export.Entry { return c.entry }

func (c *cursor) Err() error {
	if c.err == nil {
		return nil
	}
	return c.r.tableError(c.err)
}

func (c *cursor) Close() error {
	if c.points == nil {
		return nil
	}
	err := c.points.Close()
	c.points, c.entry = nil, nil
	if c.err != nil {
		return nil // the iterator repeats what Err says
	}
	return err
}
