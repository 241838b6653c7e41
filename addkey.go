package varve

import (
	"context"
	"fmt"
	"time"

	"github.com/varvekv/varve/internal/seal"
)

// keyRecord is the body of a key that was added to a layer.
type keyRecord struct {
	Layer     string       `json:"layer"`
	Key       seal.Wrapped `json:"key"`
	CreatedAt time.Time    `json:"created_at"`
}

// maxAddedKeys bounds how many objects are read to open a layer, whatever is in them.
const maxAddedKeys = 256

// addedKeys are those that AddKey has wrapped the data key for. One that cannot be read is
// passed over: others may open the layer.
func (b *collectionBucket) addedKeys(ctx context.Context, m *Manifest) ([]seal.Wrapped, error) {
	var out []seal.Wrapped
	prefix, seen := m.Path+"/"+keyFolder, 0
	for object, err := range b.List(ctx, prefix) {
		name := object.Key
		if err != nil {
			return nil, storageError("list", prefix, err)
		}
		if seen++; seen > maxAddedKeys {
			break
		}
		body, err := b.Get(ctx, name, maxKeyRecord)
		if err != nil {
			return nil, storageError("read", name, err)
		}
		var r keyRecord
		if decodeRecord(name, body, kindKey, &r) == nil && r.Layer == m.Layer {
			out = append(out, r.Key)
		}
	}
	return out, nil
}

// maxKeyRecord bounds what is read of a wrapped key.
const maxKeyRecord = 256 << 10

// AddKey makes what from names, and all layers that a restore of it needs, open with one
// more key: their data keys are wrapped again, and no data is touched. From is Latest, a
// path, or a layer ID; "" is Latest. A key of the collection must open them. Keys that
// open a layer cannot be taken from it. To have later layers sealed for the key, too, give
// it in CollectionOptions.Encryption.
func (c *Collection) AddKey(ctx context.Context, from string, key Key) error {
	return c.do(ctx, "add key to", func(b *collectionBucket) error {
		ring, err := newKeyring([]Key{key})
		if err == nil && !ring.seals() {
			err = &OptionError{Field: "key", Reason: key.String() + " opens only"}
		}
		if err != nil {
			return err
		}
		chain, err := b.resolve(ctx, from, Timestamp{})
		if err != nil {
			return err
		}
		var sealed []*Manifest
		for _, l := range chain.Layers {
			if err := l.Manifest.readable(); err != nil {
				return err
			}
			if l.Manifest.key != nil {
				sealed = append(sealed, l.Manifest)
			}
		}
		if len(sealed) == 0 {
			return &TargetError{Name: chain.tip().Path, Reason: "is not sealed"}
		}
		for _, m := range sealed {
			if err := c.addKey(ctx, b, m, ring[0]); err != nil {
				return fmt.Errorf("layer %s: %w", m.Layer, err)
			}
		}
		return nil
	})
}

func (c *Collection) addKey(ctx context.Context, b *collectionBucket, m *Manifest, key seal.Key) error {
	w, err := key.Wrap(ctx, m.key, m.scope())
	if err != nil {
		return err
	}
	id, err := newID(c.opts.Rand)
	if err != nil {
		return err
	}
	body, err := encodeRecord(kindKey, keyRecord{Layer: m.Layer, Key: w, CreatedAt: c.opts.Now().UTC()})
	if err != nil {
		return err
	}
	object := formatKey(m.Path, id)
	return storageError("write", object, b.Create(ctx, object, body))
}
