package mvcckv

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strconv"

	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/durable"
)

// endOfTime comes after every version.
func endOfTime() export.Timestamp {
	return export.Timestamp{WallNanos: math.MaxInt64, Logical: math.MaxUint32}
}

// builtBytes is the size at which a new table is begun.
const builtBytes = 64 << 20

// builder writes tables of what was staged, at one timestamp, and of deletions of what
// it replaces.
type builder struct {
	store  *Store
	ctx    context.Context
	at     export.Timestamp
	dir    string
	staged staged
	former []*cursor // in order; closed by build
	rows   []row     // to come; in the place of what is staged under their keys
	linked []linkedTable
	fences [][]byte // where whole tables begin that no other may enclose

	more  bool            // staged is at an entry
	w     *sstable.Writer // nil between tables
	size  int
	steps int
	paths []string
	key   []byte
	value []byte
}

// build returns the paths of synced tables, in place of those of a former try, and those
// of whole ones into which no row falls.
func (b *builder) build() (paths []string, err error) {
	defer func() {
		err = errors.Join(err, b.closeFormer(), b.staged.close())
		if b.w != nil {
			_ = b.w.Close() // of a table that is thrown away
		}
	}()
	files := b.store.opts.Pebble.FS
	if err := errors.Join(files.RemoveAll(b.dir), durable.MakeDir(files, b.dir)); err != nil {
		return nil, err
	}
	for _, t := range b.linked {
		b.fences = append(b.fences, t.first)
	}
	if err := errors.Join(b.merge(), b.endTable()); err != nil {
		return nil, err
	}
	for _, t := range b.linked {
		if len(t.rows) == 0 {
			paths = append(paths, t.path)
			continue
		}
		if err := b.rewrite(t); err != nil {
			return nil, err
		}
	}
	return append(paths, b.paths...), nil
}

func (b *builder) closeFormer() (err error) {
	for _, c := range b.former {
		err = errors.Join(err, c.Close())
	}
	return err
}

// merge goes through all in order. What is replaced by the same key needs no deletion.
func (b *builder) merge() error {
	more, err := b.staged.next()
	if err != nil {
		return err
	}
	b.more = more
	for _, c := range b.former {
		for c.Next() {
			key := c.Entry().Key
			for b.has() && bytes.Compare(b.next(), key) < 0 {
				if err := b.addNext(); err != nil {
					return err
				}
			}
			if b.has() && bytes.Equal(b.next(), key) {
				continue
			}
			if err := b.add(key, nil); err != nil {
				return err
			}
		}
		if c.Err() != nil {
			return c.Err()
		}
	}
	for b.has() {
		if err := b.addNext(); err != nil {
			return err
		}
	}
	return nil
}

// has reports whether there is more that was staged, or rows.
func (b *builder) has() bool { return b.more || len(b.rows) > 0 }

// next is the key of the next one.
func (b *builder) next() []byte {
	if b.rowIsNext() {
		return b.rows[0].key
	}
	return b.staged.bare()
}

func (b *builder) rowIsNext() bool {
	return len(b.rows) > 0 && (!b.more || bytes.Compare(b.rows[0].key, b.staged.bare()) <= 0)
}

func (b *builder) addNext() (err error) {
	if !b.rowIsNext() {
		b.value = append(append(b.value[:0], liveMark), b.staged.value...)
		if err := b.add(b.staged.bare(), b.value); err != nil {
			return err
		}
		b.more, err = b.staged.next()
		return err
	}
	r := b.rows[0]
	b.rows = b.rows[1:]
	if b.more && bytes.Equal(r.key, b.staged.bare()) {
		if b.more, err = b.staged.next(); err != nil {
			return err
		}
	}
	return b.add(r.key, r.stored)
}

func (b *builder) add(key, stored []byte) error {
	if b.steps++; b.steps%checkEvery == 0 && b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	fenced := false
	for len(b.fences) > 0 && bytes.Compare(b.fences[0], key) <= 0 {
		b.fences, fenced = b.fences[1:], true
	}
	if fenced || b.size >= builtBytes {
		if err := b.endTable(); err != nil {
			return err
		}
	}
	b.key = versionKey(b.key, key, b.at)
	return b.set(b.key, stored)
}

func (b *builder) set(physical, stored []byte) error {
	if b.w == nil {
		if err := b.beginTable(); err != nil {
			return err
		}
	}
	b.size += len(physical) + len(stored)
	return b.w.Set(physical, stored)
}

// rewrite makes a table of a whole one and the rows that fall into it, which are newer
// than all it holds.
func (b *builder) rewrite(t linkedTable) (err error) {
	in := staged{store: b.store, ctx: b.ctx, paths: []string{t.path}}
	defer func() { err = errors.Join(err, in.close()) }()
	rows := t.rows
	for {
		more, err := in.next()
		if err != nil {
			return err
		}
		for len(rows) > 0 {
			b.key = versionKey(b.key, rows[0].key, b.at)
			if more && cockroachkvs.Compare(in.physical, b.key) < 0 {
				break
			}
			if err := b.set(b.key, rows[0].stored); err != nil {
				return err
			}
			rows = rows[1:]
		}
		if !more {
			return b.endTable()
		}
		if err := b.set(in.physical, in.value); err != nil {
			return err
		}
	}
}

func (b *builder) beginTable() error {
	s := b.store
	path := s.opts.Pebble.FS.PathJoin(b.dir, strconv.Itoa(len(b.paths)+1)+".sst")
	file, err := s.opts.Pebble.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	const bottom = 6
	file = vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: 1 << 20})
	b.w = sstable.NewWriter(objstorageprovider.NewFileWritable(file), s.opts.Pebble.MakeWriterOptions(bottom, s.db.TableFormat()))
	b.paths, b.size = append(b.paths, path), 0
	return nil
}

func (b *builder) endTable() error {
	if b.w == nil {
		return nil
	}
	w := b.w
	b.w = nil
	return w.Close()
}
