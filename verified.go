package varve

import (
	"context"
	"fmt"
	"time"
)

// verifiedRecord is the body of the object that says that a layer was verified.
type verifiedRecord struct {
	Layer     string    `json:"layer"`
	Level     string    `json:"level"`
	Chain     []string  `json:"chain"` // IDs of the layers that were read, the full first
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	Writer    string    `json:"writer"`
}

// record notes in the collection that nothing was wrong.
func (v *verification) record(ctx context.Context) error {
	if !v.opts.Record || len(v.report.Problems) > 0 {
		return nil
	}
	id, err := newID(v.c.opts.Rand)
	if err != nil {
		return err
	}
	tip := v.chain.tip().ID
	r := verifiedRecord{Layer: tip, Level: v.opts.Level.String(), ID: id, CreatedAt: v.c.opts.Now().UTC(), Writer: writerName()}
	for _, l := range v.chain.Layers {
		r.Chain = append(r.Chain, l.ID)
	}
	if err := v.bucket.create(ctx, formatVerified(tip, v.opts.Level, id), kindVerified, r); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}
