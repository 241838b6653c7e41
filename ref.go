package varve

import (
	"context"
	"time"
)

// refRecord is the body of a reference: who needs which layer, so that it is not
// expired under its reader.
type refRecord struct {
	Layer     string    `json:"layer"`
	Holder    string    `json:"holder"` // the layer that the run writes, or the run
	Job       string    `json:"job"`
	CreatedAt time.Time `json:"created_at"`
}

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
