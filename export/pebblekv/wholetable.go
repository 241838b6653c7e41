package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/tables"
)

var _ export.Table = (*wholeTable)(nil)

// wholeTable is a table that may be copied as it is.
type wholeTable struct {
	file *tableFile
	span export.Span
	info export.TableInfo
}

// describe finds out what the table is, and whether it can be sound by its properties.
// It opens the file, and reads no data.
func (w *wholeTable) describe(ctx context.Context) (sound bool, err error) {
	covered, err := w.file.covered(ctx)
	if err != nil {
		return false, err
	}
	r, err := w.file.open(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	format, err := r.TableFormat()
	if err != nil {
		return false, err
	}
	p := w.file.known()
	w.info = export.TableInfo{
		Span: w.span, Format: tables.FormatName(format), KeySchema: p.KeySchemaName, Merger: p.MergerName,
		Bytes: int64(w.file.Size), LogicalBytes: logicalBytes(&w.file.SSTableInfo),
	}
	if w.info.Merger == "nullptr" {
		w.info.Merger = ""
	}
	return len(covered) == 0 && p.NumEntries > 0 && p.NumDeletions == 0 && p.NumMergeOperands == 0 && p.NumValuesInBlobFiles == 0 &&
		p.SnapshotPinnedKeys == 0, nil
}

func (w *wholeTable) Info() export.TableInfo { return w.info }

// Open opens the file.
func (w *wholeTable) Open() (io.ReadCloser, error) {
	f, err := w.file.owner.pebble.FS.Open(w.file.path(), vfs.SequentialReadsOption)
	if err != nil {
		return nil, fmt.Errorf("open table: %w", err)
	}
	return f, nil
}

// Entries reads every record, as the bytes have it.
func (w *wholeTable) Entries(ctx context.Context) (export.Cursor, error) {
	c, err := newSoundCursor(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", w.file.path(), err)
	}
	return c, nil
}

// soundCursor yields the records of a table, and ends where one is not the only one of
// its key, or does anything but set it.
type soundCursor struct {
	ctx    context.Context
	table  *wholeTable
	cmp    func(a, b []byte) int
	reader *sstable.Reader
	it     sstable.Iterator

	begun bool
	last  []byte // key of the record before
	count uint64
	entry export.Entry
	err   error
}

func newSoundCursor(ctx context.Context, w *wholeTable) (*soundCursor, error) {
	o := w.file.owner.pebble
	r, err := tables.OpenAhead(ctx, o.FS, w.file.path(), o)
	if err != nil {
		return nil, err
	}
	it, err := r.NewPointIter(ctx, sstable.IterOptions{
		// A record may be marked as one that no reader needs, and a database that links
		// the table believes it: such are passed over here, and missed at the end.
		Transforms:           sstable.IterTransforms{HideObsoletePoints: true},
		FilterBlockSizeLimit: sstable.NeverUseFilterBlock,
		Env:                  sstable.NoReadEnv,
		ReaderProvider:       sstable.MakeTrivialReaderProvider(r),
		BlobContext:          sstable.AssertNoBlobHandles,
	})
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &soundCursor{ctx: ctx, table: w, cmp: o.Comparer.Compare, reader: r, it: it}, nil
}

func (c *soundCursor) Next() bool {
	if c.err != nil || c.it == nil {
		return false
	}
	if c.count%checkEvery == 0 {
		if c.err = c.ctx.Err(); c.err != nil {
			return false
		}
	}
	move := c.it.Next
	if !c.begun {
		c.begun, move = true, c.it.First
	}
	kv := move()
	if kv == nil {
		c.end()
		return false
	}
	value, _, err := kv.Value(nil)
	if err != nil {
		c.err = fmt.Errorf("table %s: %w", c.table.file.path(), err)
		return false
	}
	return c.take(kv.K, value)
}

// take is where a record is judged.
func (c *soundCursor) take(k pebble.InternalKey, value []byte) bool {
	switch {
	case k.Kind() != pebble.InternalKeyKindSet:
		return c.unsound("key %q is of kind %s", k.UserKey, k.Kind())
	case k.SeqNum() != 0:
		return c.unsound("key %q has sequence number %d", k.UserKey, k.SeqNum())
	case c.count > 0 && c.cmp(c.last, k.UserKey) >= 0:
		return c.unsound("key %q comes again, or after a larger one", k.UserKey)
	case c.count == 0 && !c.table.span.Contains(c.table.file.owner.store.order, k.UserKey):
		return c.unsound("key %q lies outside of %s", k.UserKey, c.table.span)
	}
	c.count++
	c.last = append(c.last[:0], k.UserKey...)
	c.entry = export.Entry{Kind: export.Set, Key: k.UserKey, Value: value}
	return true
}

// end sees that the records were all there are.
func (c *soundCursor) end() {
	if err := c.it.Error(); err != nil {
		c.err = fmt.Errorf("table %s: %w", c.table.file.path(), err)
		return
	}
	switch known := c.table.file.known().NumEntries; {
	case c.count != known:
		c.unsound("it has %d records, and says %d", c.count, known)
	case c.count > 0 && !c.table.span.Contains(c.table.file.owner.store.order, c.last):
		c.unsound("key %q lies outside of %s", c.last, c.table.span)
	}
}

func (c *soundCursor) unsound(format string, args ...any) bool {
	c.err = fmt.Errorf("table %s: %s: %w", c.table.file.path(), fmt.Sprintf(format, args...), export.ErrUnsound)
	return false
}

func (c *soundCursor) Entry() *export.Entry { return &c.entry }
func (c *soundCursor) Err() error           { return c.err }

func (c *soundCursor) Close() error {
	if c.it == nil {
		return nil
	}
	err := errors.Join(c.it.Close(), c.reader.Close())
	c.it = nil
	if c.err != nil {
		return nil // the iterator repeats what Err says
	}
	return err
}
