package mvcckv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/catalog"
)

// ErrExists is returned where an object has a name already.
var ErrExists = errors.New("an object of that name exists")

// CreateObject creates an object with n spans under a prefix of its own, of which
// [KeyPrefix] tells: those of a table are its rows, and an index each. ID and Spans of o
// are the store's to choose and must not be set. Of two transactions that create one
// name in one parent, one ends with a *[RetryError], and then finds that it exists.
// What others need of an object, such as that a type is there, is not checked.
func (t *Tx) CreateObject(ctx context.Context, o export.Object, n int) (export.Object, error) {
	created, err := t.createObject(ctx, o, n)
	if err != nil {
		return export.Object{}, fmt.Errorf("create object %q: %w", o.Name, err)
	}
	return created, nil
}

func (t *Tx) createObject(ctx context.Context, o export.Object, n int) (export.Object, error) {
	if o.ID != 0 || len(o.Spans) > 0 || n < 0 {
		return o, errors.New("its ID and spans are the store's to choose")
	}
	o = catalog.Clone(o)
	if err := t.takeName(ctx, o.Parent, o.Name); err != nil {
		return o, err
	}
	id, err := t.newID(ctx)
	if err != nil {
		return o, err
	}
	o.ID = id
	addSpans(&o, n)
	return o, errors.Join(t.put(ctx, nameKey(o.Parent, o.Name), liveValue(encodeID(o.ID))), t.putObject(ctx, o))
}

func (t *Tx) newID(ctx context.Context) (uint64, error) {
	if err := t.enter(ctx); err != nil {
		return 0, err
	}
	defer t.store.mu.Unlock()
	last, err := t.store.reserveIDs(1)
	return last + 1, err
}

// takeName is an error if there is an object of that name, or no parent. Who drops the
// parent meanwhile conflicts.
func (t *Tx) takeName(ctx context.Context, parent uint64, name string) error {
	if name == "" {
		return errors.New("its name is empty")
	}
	_, err := t.get(ctx, nameKey(parent, name))
	switch {
	case err == nil:
		return ErrExists
	case !errors.Is(err, ErrNotFound):
		return err
	case parent == 0:
		return nil
	}
	if _, err := t.object(ctx, parent); err != nil {
		return fmt.Errorf("parent: %w", err)
	}
	return t.put(ctx, parentKey(parent), liveValue(nil))
}

func (t *Tx) putObject(ctx context.Context, o export.Object) error {
	stored, err := encodeObject(o)
	if err != nil {
		return err
	}
	return t.put(ctx, objectKey(o.ID), liveValue(stored))
}

func (t *Tx) object(ctx context.Context, id uint64) (export.Object, error) {
	stored, err := t.get(ctx, objectKey(id))
	if err != nil {
		return export.Object{}, fmt.Errorf("object %d: %w", id, err)
	}
	return decodeObject(objectKey(id), stored)
}

// FindObject is the object under a path, the names from its database down, or an error
// that wraps [ErrNotFound].
func (t *Tx) FindObject(ctx context.Context, path ...string) (export.Object, error) {
	var o export.Object
	for i, name := range path {
		stored, err := t.get(ctx, nameKey(o.ID, name))
		if err == nil && len(stored) != 8 {
			err = fmt.Errorf("its row has %d bytes", len(stored))
		}
		if err == nil {
			o, err = t.object(ctx, binary.BigEndian.Uint64(stored))
		}
		if err != nil {
			return export.Object{}, fmt.Errorf("find object %s: %w", strings.Join(path[:i+1], "."), err)
		}
	}
	if o.ID == 0 {
		return o, fmt.Errorf("find object: the path is empty: %w", ErrNotFound)
	}
	return o, nil
}

// Objects lists the objects that the transaction sees, each after its parent.
func (t *Tx) Objects(ctx context.Context) ([]export.Object, error) {
	tree, err := t.tree(ctx)
	if err != nil {
		return nil, fmt.Errorf("objects: %w", err)
	}
	return tree.Objects(), nil
}

func (t *Tx) tree(ctx context.Context) (*catalog.Tree, error) {
	c, err := t.scan(ctx, export.PrefixSpan([]byte(objectRows)))
	if err != nil {
		return nil, err
	}
	objects, err := readObjects(c)
	if err != nil {
		return nil, err
	}
	return catalog.NewTree(nil, objects)
}

// ChangeObject gives an object the kind, definition, grants, needs, regions and system
// mark of o, which has its ID. Name, parent and spans stay.
func (t *Tx) ChangeObject(ctx context.Context, o export.Object) error {
	return t.change(ctx, "change", o.ID, func(there *export.Object) error {
		changed := catalog.Clone(o)
		changed.Parent, changed.Name, changed.Spans = there.Parent, there.Name, there.Spans
		*there = changed
		return nil
	})
}

// AddSpan gives an object one more span, after those that it has: that of another index.
func (t *Tx) AddSpan(ctx context.Context, id uint64) (export.Object, error) {
	var grown export.Object
	err := t.change(ctx, "grow", id, func(o *export.Object) error {
		addSpans(o, 1)
		grown = catalog.Clone(*o)
		return nil
	})
	return grown, err
}

// TruncateObject empties an object, at once however large it is: it gets as many spans as
// it had, which are new. What is in the former ones stays as history does, and the next
// [Store.Collect] deletes it. Who writes to these meanwhile writes in vain, unless he
// calls ChangeObject in his transaction, so that one of the two conflicts.
func (t *Tx) TruncateObject(ctx context.Context, id uint64) (export.Object, error) {
	var emptied export.Object
	err := t.change(ctx, "truncate", id, func(o *export.Object) error {
		n := len(o.Spans)
		addSpans(o, n)
		o.Spans = o.Spans[n:]
		emptied = catalog.Clone(*o)
		return nil
	})
	return emptied, err
}

func (t *Tx) change(ctx context.Context, verb string, id uint64, do func(o *export.Object) error) error {
	o, err := t.object(ctx, id)
	if err == nil {
		err = do(&o)
	}
	if err == nil {
		err = t.putObject(ctx, o)
	}
	if err != nil {
		return fmt.Errorf("%s object %d: %w", verb, id, err)
	}
	return nil
}

// RenameObject gives an object another name, in the same or another parent, 0 for none.
// What is in it goes with it, and its keys stay where they are.
func (t *Tx) RenameObject(ctx context.Context, id, parent uint64, name string) error {
	return t.change(ctx, "rename", id, func(o *export.Object) error {
		if o.Parent == parent && o.Name == name {
			return nil
		}
		if err := t.takeName(ctx, parent, name); err != nil {
			return err
		}
		if o.Parent != parent {
			if err := t.moveInto(ctx, id, parent); err != nil {
				return err
			}
		}
		err := t.put(ctx, nameKey(o.Parent, o.Name), nil)
		o.Parent, o.Name = parent, name
		return errors.Join(err, t.put(ctx, nameKey(parent, name), liveValue(encodeID(id))))
	})
}

// moveInto refuses to put an object into itself. Who puts the parent into the object
// meanwhile conflicts.
func (t *Tx) moveInto(ctx context.Context, id, parent uint64) error {
	for at := parent; at != 0; {
		if at == id {
			return errors.New("it would be in itself")
		}
		above, err := t.object(ctx, at)
		if err != nil {
			return err
		}
		at = above.Parent
	}
	return t.put(ctx, parentKey(id), liveValue(nil))
}

// DropObject drops an object and all that is in it. Its data stays as history does, and
// the next [Store.Collect] deletes it, as far as it is under prefixes that CreateObject
// has given.
func (t *Tx) DropObject(ctx context.Context, id uint64) error {
	if err := t.dropObject(ctx, id); err != nil {
		return fmt.Errorf("drop object %d: %w", id, err)
	}
	return nil
}

func (t *Tx) dropObject(ctx context.Context, id uint64) error {
	tree, err := t.tree(ctx)
	if err != nil {
		return err
	}
	if _, ok := tree.Get(id); !ok {
		return ErrNotFound
	}
	for _, o := range tree.Drop(id) {
		for _, key := range [][]byte{objectKey(o.ID), nameKey(o.Parent, o.Name), parentKey(o.ID)} {
			if err := t.put(ctx, key, nil); err != nil {
				return err
			}
		}
	}
	return nil
}
