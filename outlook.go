package varve

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// outlook is what a schedule has to know of its collection.
type outlook struct {
	last  LayerInfo // the newest layer of the store; zero: there is none
	begun time.Time // when the run that made it began
	full  time.Time // when that of its full began; zero: the chain has lost it
}

// maxChains bounds how many chains of other stores a schedule looks past for its own.
const maxChains = 1000

// look reads what the collection says of the store's backups: a listing and two manifests
// where it has no others.
func (s *Schedule) look(ctx context.Context) (seen outlook, err error) {
	info, err := s.targets.store.Info(ctx)
	if err != nil {
		return outlook{}, fmt.Errorf("store: %w", err)
	}
	err = s.c.do(ctx, "schedule", func(b *collectionBucket) error {
		seen, err = b.outlook(ctx, func(lineage string) bool { return lineage == info.Lineage || s.opts.Backup.Adopt }, s.opts.Existing)
		return err
	})
	return seen, err
}

func (b *collectionBucket) outlook(ctx context.Context, ours func(lineage string) bool, others bool) (seen outlook, err error) {
	if b.id == "" {
		return outlook{}, nil
	}
	x, err := b.index(ctx)
	if err != nil {
		return outlook{}, err
	}
	chains := 0
	for l, err := range x.latests(ctx) {
		if err != nil {
			return outlook{}, err
		}
		m, err := b.manifestOf(ctx, l)
		if err != nil {
			return outlook{}, err
		}
		if ours(m.Lineage) {
			return b.outlookOf(ctx, l, m)
		}
		if !others {
			return outlook{}, &foreignError{path: l.Path, lineage: m.Lineage}
		}
		if chains++; chains == maxChains {
			break
		}
	}
	return outlook{}, nil
}

func (b *collectionBucket) outlookOf(ctx context.Context, l LayerInfo, m *Manifest) (outlook, error) {
	seen := outlook{last: l, begun: m.CreatedAt}
	full, err := b.named(ctx, l.ChainID)
	if err == nil {
		m, err = b.manifestOf(ctx, full)
	}
	switch {
	case errors.Is(err, ErrNoLayer):
		return seen, nil
	case err != nil:
		return outlook{}, err
	}
	seen.full = m.CreatedAt
	return seen, nil
}

// foreignError is of a collection that a schedule does not use: path is of a layer of another
// store.
type foreignError struct{ path, lineage string }

func (e *foreignError) Error() string {
	return fmt.Sprintf("the collection has backups of another store, of lineage %s, %s for one", e.lineage, e.path)
}
