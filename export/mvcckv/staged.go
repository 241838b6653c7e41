package mvcckv

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/tables"
)

// staged goes through the points of tables, one table after another.
type staged struct {
	store *Store
	ctx   context.Context
	paths []string // to come

	reader *sstable.Reader // nil between tables
	it     sstable.Iterator
	placed bool // at a first position
	steps  int

	physical, value []byte // valid until the next call
	kind            pebble.InternalKeyKind
}

// next moves on. It is false at the end.
func (t *staged) next() (bool, error) {
	if t.steps++; t.steps%checkEvery == 0 && t.ctx.Err() != nil {
		return false, t.ctx.Err()
	}
	for {
		if t.reader == nil {
			if len(t.paths) == 0 {
				return false, nil
			}
			if err := t.open(); err != nil {
				return false, err
			}
		}
		move := t.it.Next
		if !t.placed {
			t.placed, move = true, t.it.First
		}
		if kv := move(); kv != nil {
			var err error
			t.physical, t.kind = kv.K.UserKey, kv.K.Kind()
			t.value, _, err = kv.Value(nil)
			return true, err
		}
		if err := errors.Join(t.it.Error(), t.close()); err != nil {
			return false, err
		}
	}
}

func (t *staged) open() error {
	path := t.paths[0]
	t.paths = t.paths[1:]
	o := t.store.opts.Pebble
	r, err := tables.OpenAhead(t.ctx, o.FS, path, o)
	if err != nil {
		return err
	}
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return errors.Join(err, r.Close())
	}
	t.reader, t.it, t.placed = r, it, false
	return nil
}

// close closes the table that is open, if one is.
func (t *staged) close() error {
	if t.reader == nil {
		return nil
	}
	err := errors.Join(t.it.Close(), t.reader.Close())
	t.reader, t.it = nil, nil
	return err
}

// bare is the user's key of a staged entry, whose physical key has no version.
func (t *staged) bare() []byte { return t.physical[:len(t.physical)-1] }

// inspect reads whole tables, which must hold versions and nothing else: no record of
// a store, and no range. It returns the newest timestamp.
func (in *ingester) inspect(ctx context.Context, paths []string) (newest export.Timestamp, err error) {
	for _, path := range paths {
		at, err := in.inspectTable(ctx, path)
		if err != nil {
			return newest, fmt.Errorf("table %s: %w", path, err)
		}
		newest = later(newest, at)
	}
	return newest, nil
}

func (in *ingester) inspectTable(ctx context.Context, path string) (newest export.Timestamp, err error) {
	t := staged{store: in.store, ctx: ctx, paths: []string{path}}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.open(); err != nil {
		return newest, err
	}
	if err := refuseRanges(ctx, t.reader); err != nil {
		return newest, err
	}
	for {
		more, err := t.next()
		if !more || err != nil {
			return newest, err
		}
		if t.kind != pebble.InternalKeyKindSet {
			return newest, fmt.Errorf("key %x is of kind %s", t.physical, t.kind)
		}
		_, at, err := splitVersion(t.physical)
		if err == nil {
			_, _, err = splitValue(t.value)
		}
		if err != nil {
			return newest, err
		}
		newest = later(newest, at)
	}
}

func refuseRanges(ctx context.Context, r *sstable.Reader) error {
	deletions, err := r.NewRawRangeDelIter(ctx, sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil {
		return err
	}
	keys, err := r.NewRawRangeKeyIter(ctx, sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil {
		return err
	}
	if deletions == nil && keys == nil {
		return nil
	}
	if deletions != nil {
		deletions.Close()
	}
	if keys != nil {
		keys.Close()
	}
	return fmt.Errorf("it holds ranges: %w", errors.ErrUnsupported)
}
