package varve

import (
	"context"
	"fmt"
	"time"
)

// A reference says that somebody needs a layer, and a mark that a layer is retired: that
// nobody may begin to need it. Who makes one then looks for the other, so that one of
// the two sees the other. A mark is never taken back. So it does not matter how many
// runs expire a collection at once, or how long one of them sleeps: each may go on
// with what another has begun.

// refRecord is the body of a reference.
type refRecord struct {
	Layer     string    `json:"layer"`
	Holder    string    `json:"holder"`        // the layer that the run writes, or an ID drawn for this
	Use       refUse    `json:"use,omitempty"` // "": a backup builds on the layer
	Note      string    `json:"note,omitempty"`
	Job       string    `json:"job"`
	CreatedAt time.Time `json:"created_at"`
}

// refUse is what a layer is needed for. Who expires layers lets stay what has a use that
// he does not know.
type refUse string

const (
	useExtend refUse = ""
	useRead   refUse = "read" // for a day, by the bucket's clock
	useHold   refUse = "hold" // until it is released
)

// retiredRecord is the body of the object that says that a layer is on its way out.
type retiredRecord struct {
	Layer     string    `json:"layer"`
	Job       string    `json:"job"`
	CreatedAt time.Time `json:"created_at"`
}

// retired are the layers that were on their way out when the verb began, by ID: one
// LIST, made once. Who has made a reference since must look again by himself.
func (b *collectionBucket) retired(ctx context.Context) (map[string]bool, error) {
	if b.leaving != nil {
		return b.leaving, nil
	}
	leaving := map[string]bool{}
	for object, err := range b.List(ctx, retiredPrefix) {
		if err != nil {
			return nil, storageError("list", retiredPrefix, err)
		}
		layer, err := parseRetired(object.Key)
		if err != nil {
			continue // somebody else's object
		}
		leaving[layer] = true
	}
	b.leaving = leaving
	return leaving, nil
}

// checkStays refuses a layer that is on its way out, unless somebody holds it.
func (b *collectionBucket) checkStays(ctx context.Context, l LayerInfo) error {
	retired, err := b.retired(ctx)
	if err != nil || !retired[l.ID] {
		return err
	}
	held, err := b.held(ctx, l.ID)
	if err == nil && !held {
		err = fmt.Errorf("layer %s at %s is retired: %w", l.ID, l.Path, ErrNoLayer)
	}
	return err
}

// held reports whether somebody holds a layer.
func (b *collectionBucket) held(ctx context.Context, layer string) (bool, error) {
	for hold, err := range b.holds(ctx, layer) {
		return err == nil && hold.ID != "", err
	}
	return false, nil
}
