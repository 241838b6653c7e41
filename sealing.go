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
	if r.targets.named() {
		return r.hash(r.targets.manifest(r.seen))
	}
	return r.hash(r.targets.cluster(), r.spans)
}

func (r *run) spansHash() string { return r.hash(r.spans, r.excluded) }

func (r *run) hash(of ...any) string {
	h := blake3.New()
	w := json.NewEncoder(h)
	for _, v := range append([]any{r.bucket.id}, of...) {
		if w.Encode(v) != nil { // no value of these can fail
			return ""
		}
	}
	return frame.HashPrefix + hex.EncodeToString(h.Sum(nil))
}

// sealManifest makes m the manifest of a sealed layer, if the run has a key.
func (r *run) sealManifest(m *Manifest, written *contents, objects FileList) {
	if r.key == nil {
		return
	}
	m.Sealing = &Sealing{Keys: r.wrapped, Objects: objects, Targets: r.targetsHash(), Spans: r.spansHash()}
	m.sealer = sealer{key: r.key, others: map[string]*seal.DataKey{}}
	for i := range written.files {
		f := &written.files[i]
		if key := f.Key(); f.Layer != m.Layer && key != nil {
			m.others[f.Layer] = key
		}
	}
}
