package varve

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/varvekv/varve/internal/objectio"
)

// Hold is a reference to a layer by people: it stays, with all that a restore of it
// needs, whatever a policy says, until nobody holds it any more.
type Hold struct {
	ID        string
	Layer     string // ID
	Note      string
	CreatedAt time.Time // by the clock of who made it: for people
}

// Hold makes sure that a layer stays: Latest, a path, or a layer ID. The note says why,
// for those who read a plan. A layer that is on its way out cannot be held any more:
// that is [ErrConflict]. The note can be read by whoever can read the bucket, be the layer
// sealed or not.
func (c *Collection) Hold(ctx context.Context, from, note string) (*Hold, error) {
	var hold *Hold
	err := c.do(ctx, "hold a layer of", func(b *collectionBucket) error {
		l, err := b.find(ctx, from)
		if err != nil {
			return err
		}
		id, err := newID(c.opts.Rand)
		if err != nil {
			return err
		}
		ref := refRecord{Layer: l.ID, Holder: id, Use: useHold, Note: note, CreatedAt: c.opts.Now().UTC()}
		object := formatRef(l.ID, id)
		if err := b.create(ctx, object, kindRef, ref); err != nil {
			return err
		}
		if err := b.checkThere(ctx, l); err != nil {
			return errors.Join(err, storageError("delete", object, b.Delete(context.WithoutCancel(ctx), object)))
		}
		hold = ref.hold()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return hold, nil
}

// Release ends a hold. That there is none is no error. Let nothing read the layer by
// then if no rule keeps it.
func (c *Collection) Release(ctx context.Context, hold *Hold) error {
	return c.do(ctx, "release a layer of", func(b *collectionBucket) error {
		if checkID(hold.Layer) != nil || checkID(hold.ID) != nil {
			return &OptionError{Field: "hold", Reason: "is none of a layer"}
		}
		object := formatRef(hold.Layer, hold.ID)
		ref, err := b.reference(ctx, object)
		if errors.Is(err, objectio.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if ref.Use != useHold {
			return &OptionError{Field: "hold", Reason: fmt.Sprintf("%s is a reference of another kind", hold.ID)}
		}
		return storageError("delete", object, b.Delete(ctx, object))
	})
}

// Holds lists who holds a layer: Latest, a path, or a layer ID. At most one error is
// yielded, last.
func (c *Collection) Holds(ctx context.Context, from string) iter.Seq2[*Hold, error] {
	return func(yield func(*Hold, error) bool) {
		err := c.do(ctx, "list holds of", func(b *collectionBucket) error {
			l, err := b.find(ctx, from)
			if err != nil {
				return err
			}
			for hold, err := range b.holds(ctx, l.ID) {
				if err != nil {
					return err
				}
				if !yield(&hold, nil) {
					return errStopped
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// holds yields those of a layer.
func (b *collectionBucket) holds(ctx context.Context, layer string) iter.Seq2[Hold, error] {
	return func(yield func(Hold, error) bool) {
		prefix := refsPrefix + layer + "/"
		for object, err := range b.List(ctx, prefix) {
			if err != nil {
				yield(Hold{}, storageError("list", prefix, err))
				return
			}
			ref, err := b.reference(ctx, object.Key)
			if errors.Is(err, objectio.ErrNotExist) {
				continue // released meanwhile
			}
			if err != nil {
				yield(Hold{}, err)
				return
			}
			if ref.Use == useHold && !yield(*ref.hold(), nil) {
				return
			}
		}
	}
}

func (r *refRecord) hold() *Hold {
	return &Hold{ID: r.Holder, Layer: r.Layer, Note: r.Note, CreatedAt: r.CreatedAt}
}

// reference reads what a reference says.
func (b *collectionBucket) reference(ctx context.Context, object string) (*refRecord, error) {
	body, err := b.Get(ctx, object, maxSmall)
	if errors.Is(err, objectio.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, storageError("read", object, err)
	}
	ref := new(refRecord)
	if err := decodeRecord(object, body, kindRef, ref); err != nil {
		return nil, err
	}
	return ref, nil
}

// maxSmall bounds what is read of a claim or a reference.
const maxSmall = 1 << 20

// create stores a record, whose body holds an ID drawn for it.
func (b *collectionBucket) create(ctx context.Context, object string, kind recordKind, body any) error {
	record, err := encodeRecord(kind, body)
	if err != nil {
		return err
	}
	return storageError("write", object, b.Create(ctx, object, record))
}

// checkThere says of a layer to which somebody has just made a reference whether it stays:
// then it is not on its way out, and not gone, either. The mark goes after the layer, and so
// is asked for first.
func (b *collectionBucket) checkThere(ctx context.Context, l LayerInfo) error {
	if err := b.checkUnmarked(ctx, l.ID); err != nil {
		return err
	}
	m, err := readManifest(ctx, b.Bucket, l.Path)
	if errors.Is(err, ErrNoLayer) || err == nil && m.Layer != l.ID {
		return fmt.Errorf("layer %s, which is needed, was expired: %w", l.ID, ErrConflict)
	}
	return err
}

// checkUnmarked says whether a layer is on its way out, now.
func (b *collectionBucket) checkUnmarked(ctx context.Context, layer string) error {
	_, err := b.Size(ctx, formatRetired(layer))
	switch {
	case errors.Is(err, objectio.ErrNotExist):
		return nil
	case err == nil:
		return fmt.Errorf("layer %s, which is needed, is being expired: %w", layer, ErrConflict)
	}
	return storageError("read", formatRetired(layer), err)
}
