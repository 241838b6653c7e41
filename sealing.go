package varve

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/zeebo/blake3"

	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/seal"
)

// checkKeys says why the run cannot seal its layer. What is not sealed may not be added to
// a collection that is.
func (d *draft) checkKeys() error {
	switch ring := d.bucket.keys; {
	case len(ring) > 0 && !ring.seals():
		return &OptionError{Field: "Encryption", Reason: "has keys that open only: add the Recipient of an Identity"}
	case len(ring) == 0 && d.bucket.sealed:
		return fmt.Errorf("the backup would not be sealed: %w", ErrNoKey)
	}
	return nil
}

// seal draws the data key of the run's layer, and wraps it.
func (d *draft) seal(ctx context.Context) (err error) {
	ring := d.bucket.keys
	if len(ring) == 0 {
		return nil
	}
	d.key = seal.NewDataKey()
	d.wrapped, err = seal.WrapAll(ctx, ring, d.key, seal.Scope{Collection: d.bucket.id, Layer: d.layer.ID})
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
	case parent.Sealing.Targets != r.targetsHash(), parent.Sealing.Spans != r.spansHash():
		return nil, fmt.Errorf("%w: its targets are others: take a full, or give a key that opens it", parent.readable())
	}
	known := *parent
	known.Spans, known.Excluded = slices.Clone(r.spans), slices.Clone(r.excluded)
	return &known, nil
}

// targetsHash tells whether a layer has the same targets, spansHash whether they are the
// same spans. Both show what these are to whoever can guess.
func (r *run) targetsHash() string {
	return targetsHash(r.bucket.id, r.targets.manifest(r.seen), r.targets.cluster(), r.spans)
}

func (r *run) spansHash() string { return spansHash(r.bucket.id, r.spans, r.excluded) }

func targetsHash(collection string, t ManifestTargets, complete bool, spans []Span) string {
	if t.targets().named() {
		return hashOf(collection, t)
	}
	return hashOf(collection, complete, spans)
}

func spansHash(collection string, spans, excluded []Span) string {
	return hashOf(collection, spans, excluded)
}

func hashOf(values ...any) string {
	h := blake3.New()
	w := json.NewEncoder(h)
	for _, v := range values {
		if w.Encode(v) != nil { // no value of these can fail
			return ""
		}
	}
	return frame.HashPrefix + hex.EncodeToString(h.Sum(nil))
}

// sealManifest makes m the manifest of a sealed layer, if the draft has a key.
func (d *draft) sealManifest(m *Manifest, written *contents, objects FileList) {
	if d.key == nil {
		return
	}
	m.Sealing = &Sealing{
		Keys: d.wrapped, Objects: objects,
		Targets: targetsHash(m.Collection, m.Targets, m.Complete, m.Spans), Spans: spansHash(m.Collection, m.Spans, m.Excluded),
	}
	m.sealer = sealer{key: d.key, others: map[string]*seal.DataKey{}}
	for i := range written.files {
		f := &written.files[i]
		if key := f.Key(); f.Layer != m.Layer && key != nil {
			m.others[f.Layer] = key
		}
	}
}
