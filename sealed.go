package varve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/varvekv/varve/internal/seal"
)

// A sealed layer has two faces. Whoever has a key sees the manifest, the file list and the
// tables, as of any other layer. Whoever has none sees what it takes to list layers, to
// find the chain of one, to expire it and to compare every stored byte with its hash: the
// clear manifest below, which is authenticated together with the rest.

// clearManifest is what of a sealed manifest is not sealed. Its fields are those of
// Manifest, by the same names.
type clearManifest struct {
	Collection string `json:"collection"`
	Layer      string `json:"layer"`
	Parent     string `json:"parent,omitempty"`
	Chain      string `json:"chain"`
	Path       string `json:"path"`
	Job        string `json:"job"`

	Engine  string    `json:"engine"`
	Lineage string    `json:"lineage"`
	Adopts  string    `json:"adopts,omitempty"`
	Start   Timestamp `json:"start"`
	End     Timestamp `json:"end"`
	Oldest  Timestamp `json:"oldest"`

	Order     string `json:"order"`
	Revisions bool   `json:"revisions"`
	Merger    string `json:"merger,omitempty"`
	KeySchema string `json:"key_schema,omitempty"`

	StandsFor string   `json:"stands_for,omitempty"`
	Covers    []string `json:"covers,omitempty"`
	Refers    []string `json:"refers,omitempty"`

	FileList FileList `json:"file_list"`
	Sealing  *Sealing `json:"sealing"`

	CreatedAt time.Time `json:"created_at"`
	Writer    string    `json:"writer"`
}

// Sealing is what a sealed layer shows beside: the wrapped keys, and what there is to hash.
type Sealing struct {
	Keys    []seal.Wrapped `json:"keys"`    // the layer's data key, wrapped for each key that opens it
	Objects FileList       `json:"objects"` // the list of the stored objects of tables: names, sizes and hashes
	Targets string         `json:"targets"` // hash of what the targets were, by which a writer that cannot read knows its own
	Spans   string         `json:"spans"`   // hash of the spans, likewise
}

// clear is what is not sealed.
func (m *Manifest) clear() clearManifest {
	return clearManifest{
		Collection: m.Collection, Layer: m.Layer, Parent: m.Parent, Chain: m.Chain, Path: m.Path, Job: m.Job,
		Engine: m.Engine, Lineage: m.Lineage, Adopts: m.Adopts, Start: m.Start, End: m.End, Oldest: m.Oldest,
		Order: m.Order, Revisions: m.Revisions, Merger: m.Merger, KeySchema: m.KeySchema,
		StandsFor: m.StandsFor, Covers: m.Covers, Refers: m.Refers,
		FileList: m.FileList, Sealing: m.Sealing, CreatedAt: m.CreatedAt, Writer: m.Writer,
	}
}

// manifest is what can be known without a key.
func (c clearManifest) manifest() *Manifest {
	return &Manifest{
		Collection: c.Collection, Layer: c.Layer, Parent: c.Parent, Chain: c.Chain, Path: c.Path, Job: c.Job,
		Engine: c.Engine, Lineage: c.Lineage, Adopts: c.Adopts, Start: c.Start, End: c.End, Oldest: c.Oldest,
		Order: c.Order, Revisions: c.Revisions, Merger: c.Merger, KeySchema: c.KeySchema,
		StandsFor: c.StandsFor, Covers: c.Covers, Refers: c.Refers,
		FileList: c.FileList, Sealing: c.Sealing, CreatedAt: c.CreatedAt, Writer: c.Writer,
	}
}

// sealedManifest is what is sealed: all of it, and the data keys of other sealed layers
// whose files it lists.
type sealedManifest struct {
	Manifest json.RawMessage   `json:"manifest"`
	Keys     map[string][]byte `json:"keys,omitempty"`
}

// sealer is the keys of a manifest.
type sealer struct {
	key    *seal.DataKey            // nil: the layer is not sealed, or is locked
	others map[string]*seal.DataKey // of other layers whose files it lists, by ID

	locked error  // why the manifest is not open; nil if it is
	tried  bool   // the keys of the collection were
	stored record // as it was read, until it is open
}

// encode is the manifest as it is stored.
func (m *Manifest) encode() ([]byte, error) {
	if m.key == nil {
		return encodeRecord(kindLayer, m)
	}
	all, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kindLayer, err)
	}
	whole := sealedManifest{Manifest: all, Keys: map[string][]byte{}}
	for layer, k := range m.others {
		whole.Keys[layer] = k.Bytes()
	}
	return encodeSealed(kindLayer, m.requires(), m.clear(), whole, m.key, manifestObject(m.Path))
}

// open makes all of a sealed manifest known.
func (m *Manifest) open(key *seal.DataKey) error {
	object := manifestObject(m.Path)
	var whole sealedManifest
	if err := m.stored.open(object, key, &whole); err != nil {
		return err
	}
	all := &Manifest{sealer: sealer{key: key, others: map[string]*seal.DataKey{}}}
	err := errors.Join(json.Unmarshal(whole.Manifest, all), agrees(whole.Manifest, m.stored.Body))
	for layer, b := range whole.Keys {
		k, keyErr := seal.ParseDataKey(b)
		all.others[layer], err = k, errors.Join(err, keyErr)
	}
	if err == nil {
		err = all.validate()
	}
	if err != nil {
		return &CorruptError{Object: object, Want: "a possible manifest", Got: err.Error()}
	}
	*m = *all
	return nil
}

// agrees says where something is shown that is not what is sealed.
func agrees(sealed, shown json.RawMessage) error {
	var all, some map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(sealed, &all), json.Unmarshal(shown, &some)); err != nil {
		return err
	}
	for member, value := range some {
		var a, b bytes.Buffer
		if err := errors.Join(json.Compact(&a, value), json.Compact(&b, all[member])); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
			return fmt.Errorf("it shows another %s than is sealed", member)
		}
	}
	return nil
}

// readable says why the layer cannot be read.
func (m *Manifest) readable() error {
	if m.locked == nil {
		return nil
	}
	return fmt.Errorf("layer %s: %w", m.Layer, m.locked)
}

// keyOf is the data key of a layer whose files m lists, nil if that is not sealed.
func (m *Manifest) keyOf(layer string) *seal.DataKey {
	if layer == m.Layer {
		return m.key
	}
	return m.others[layer]
}

func (m *Manifest) scope() seal.Scope { return seal.Scope{Collection: m.Collection, Layer: m.Layer} }

// unlock opens a sealed manifest with the keys of the collection. If none of them does, it
// stays locked, and shows what its clear part says.
func (b *collectionBucket) unlock(ctx context.Context, m *Manifest) error {
	if m.locked == nil || m.tried {
		return nil
	}
	m.tried = true
	if !b.keys.opens() {
		m.locked = ErrNoKey
		return nil
	}
	key, err := seal.UnwrapAny(ctx, b.keys, m.Sealing.Keys, m.scope())
	if errors.Is(err, seal.ErrOtherKey) {
		var added []seal.Wrapped
		if added, err = b.addedKeys(ctx, m); err == nil {
			key, err = seal.UnwrapAny(ctx, b.keys, added, m.scope())
		}
	}
	switch {
	case err == nil:
		return m.open(key)
	case errors.Is(err, seal.ErrOtherKey):
		err = ErrWrongKey
	}
	m.locked = err
	return ctx.Err()
}
