package varve

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zeebo/blake3"

	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/internal/seal"
	"github.com/varvekv/varve/sink"
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
	return encodeSealed(kindLayer, m.clear(), whole, m.key, manifestObject(m.Path))
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
	if m.locked == nil {
		return nil
	}
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

// checkKeys says why the run cannot seal its layer. What is not sealed may not be added to
// a collection that is.
func (r *run) checkKeys() error {
	switch ring := r.bucket.keys; {
	case len(ring) > 0 && !ring.seals():
		return &OptionError{Field: "Encryption", Reason: "has keys that open only: add the Recipient of an Identity"}
	case len(ring) == 0 && r.bucket.sealed:
		return fmt.Errorf("the backup would not be sealed: %w", ErrNoKey)
	}
	return nil
}

// seal draws the data key of the run's layer, and wraps it.
func (r *run) seal(ctx context.Context) (err error) {
	ring := r.bucket.keys
	if len(ring) == 0 {
		return nil
	}
	r.key = seal.NewDataKey()
	r.wrapped, err = seal.WrapAll(ctx, ring, r.key, seal.Scope{Collection: r.bucket.id, Layer: r.layer.ID})
	return err
}

// extendBlind is a parent that cannot be read, as far as it must be known to extend it: it
// has what this run's targets are, and no digests.
func (r *run) extendBlind(parent *Manifest) (*Manifest, error) {
	if parent.locked == nil {
		return parent, nil
	}
	switch {
	case !r.bucket.keys.seals():
		return nil, parent.readable()
	case parent.Sealing.Targets != r.targetsHash():
		return nil, fmt.Errorf("%w: its targets are others: take a full, or give a key that opens it", parent.readable())
	}
	known := *parent
	known.Spans = slices.Clone(r.spans)
	return &known, nil
}

// targetsHash tells whether a layer has the same targets. It shows what they are to
// whoever can guess.
func (r *run) targetsHash() string {
	h := blake3.New()
	w := json.NewEncoder(h) // which cannot fail on spans, nor a hash to take them
	err := errors.Join(w.Encode(r.bucket.id), w.Encode(r.targets.cluster), w.Encode(r.spans))
	if err != nil {
		return ""
	}
	return frame.HashPrefix + hex.EncodeToString(h.Sum(nil))
}

// sealManifest makes m the manifest of a sealed layer, if the run has a key.
func (r *run) sealManifest(m *Manifest, written *contents, objects FileList) {
	if r.key == nil {
		return
	}
	m.Sealing = &Sealing{Keys: r.wrapped, Objects: objects, Targets: r.targetsHash()}
	m.sealer = sealer{key: r.key, others: map[string]*seal.DataKey{}}
	for i := range written.files {
		f := &written.files[i]
		if key := f.Key(); f.Layer != m.Layer && key != nil {
			m.others[f.Layer] = key
		}
	}
}

// storedObjects are the files of a sealed layer as anybody may know them, and its file list.
func storedObjects(ctx context.Context, bucket *objectio.Bucket, m *Manifest) (*contents, error) {
	list, err := readList(ctx, bucket, m, m.Sealing.Objects, objectListObject(m.Path))
	if err != nil {
		return nil, err
	}
	list.files = append(list.files, m.FileList.file(m.Path))
	return list, nil
}

// shownList is the list of a layer, or as much of it as can be read. Where both can, they
// must say the same.
func shownList(ctx context.Context, bucket *objectio.Bucket, m *Manifest) (*contents, error) {
	if m.Sealing == nil {
		return readFileList(ctx, bucket, m)
	}
	shown, err := storedObjects(ctx, bucket, m)
	if err != nil || m.locked != nil {
		return shown, err
	}
	list, err := readFileList(ctx, bucket, m)
	if err != nil {
		return nil, err
	}
	same := func(a, b sink.File) bool { return a.Path == b.Path && a.Size == b.Size && a.Hash == b.Hash }
	if files := shown.files[:len(shown.files)-1]; !slices.EqualFunc(files, list.files, same) {
		return nil, &CorruptError{Object: objectListObject(m.Path), Want: "the objects of the file list", Got: "others"}
	}
	return list, nil
}

// writeObjects stores that list.
func writeObjects(ctx context.Context, bucket *objectio.Bucket, l LayerInfo, files []sink.File) (FileList, error) {
	shown := make([]sink.File, len(files))
	for i, f := range files {
		shown[i] = sink.File{
			Path: f.Path, Layer: f.Layer, Format: sink.TableFormat,
			Size: f.Size, Hash: f.Hash, IndexSize: f.IndexSize, IndexHash: f.IndexHash, Plain: f.Plain,
		}
	}
	return writeList(ctx, bucket, l, objectListObject(l.Path), nil, &contents{files: shown})
}

// encodeSealed is a record with a clear body and sealed content, which go together.
func encodeSealed(kind recordKind, clear, content any, key *seal.DataKey, object string) ([]byte, error) {
	body, err := json.Marshal(clear)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	plain, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	r := record{Kind: kind, Format: formatVersion, Requires: []string{featureSealed}, Body: body}
	o, err := key.NewObject(object)
	if err != nil {
		return nil, err
	}
	shown, err := r.shown()
	if err != nil {
		return nil, err
	}
	r.Sealed = o.Seal(o.Salt[:], plain, 0, shown)
	return r.encode()
}

// open fills content with what is sealed in a record.
func (r record) open(object string, key *seal.DataKey, content any) error {
	bad := func(got string) error {
		return &CorruptError{Object: object, Want: "content as it was sealed", Got: got}
	}
	if len(r.Sealed) < seal.SaltSize {
		return bad(fmt.Sprintf("%d bytes", len(r.Sealed)))
	}
	o, err := key.Object([seal.SaltSize]byte(r.Sealed), object)
	if err != nil {
		return err
	}
	shown, err := r.shown()
	if err != nil {
		return err
	}
	plain, err := o.Open(nil, r.Sealed[seal.SaltSize:], 0, shown)
	if err != nil {
		return bad(err.Error())
	}
	if err := json.Unmarshal(plain, content); err != nil {
		return bad(err.Error())
	}
	return nil
}
