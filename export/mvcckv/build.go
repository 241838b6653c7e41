package mvcckv

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strconv"

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

	w     *sstable.Writer // nil between tables
	size  int
	steps int
	paths []string
	key   []byte
	value []byte
}

// build returns the paths of synced tables that ascend, in place of those of a former
// try.
func (b *builder) build() (paths []string, err error) {
	defer func() {
		for _, c := range b.former {
			err = errors.Join(err, c.Close())
		}
		err = errors.Join(err, b.staged.close())
		if b.w != nil {
			_ = b.w.Close() // of a table that is thrown away
		}
	}()
	files := b.store.opts.Pebble.FS
	if err := errors.Join(files.RemoveAll(b.dir), durable.MakeDir(files, b.dir)); err != nil {
		return nil, err
	}
	if err := b.merge(); err != nil {
		return nil, err
	}
	return b.paths, b.endTable()
}

// merge goes through both in order. What is replaced by the same key needs no
// deletion.
func (b *builder) merge() error {
	more, err := b.staged.next()
	if err != nil {
		return err
	}
	for _, c := range b.former {
		for c.Next() {
			key := c.Entry().Key
			for more && bytes.Compare(b.staged.bare(), key) < 0 {
				if more, err = b.addStaged(); err != nil {
					return err
				}
			}
			if more && bytes.Equal(b.staged.bare(), key) {
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
	for more {
		if more, err = b.addStaged(); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) addStaged() (more bool, err error) {
	b.value = append(append(b.value[:0], liveMark), b.staged.value...)
	if err := b.add(b.staged.bare(), b.value); err != nil {
		return false, err
	}
	return b.staged.next()
}

func (b *builder) add(key, stored []byte) error {
	if b.steps++; b.steps%checkEvery == 0 && b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	if b.w != nil && b.size >= builtBytes {
		if err := b.endTable(); err != nil {
			return err
		}
	}
	if b.w == nil {
		if err := b.beginTable(); err != nil {
			return err
		}
	}
	b.key = versionKey(b.key, key, b.at)
	b.size += len(b.key) + len(stored)
	return b.w.Set(b.key, stored)
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
