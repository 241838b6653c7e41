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
		seen, err = b.outlook(ctx, info.Lineage, s.opts.Existing)
		return err
	})
	return seen, err
}

func (b *collectionBucket) outlook(ctx context.Context, lineage string, others bool) (seen outlook, err error) {
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
		if m.Lineage == lineage {
			return b.outlookOf(ctx, l, m)
		}
		if !others {
			return outlook{}, &foreignError{path: l.Path, err: &LineageError{Want: lineage, Got: m.Lineage}}
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

// foreignError is of a collection that a schedule does not use.
type foreignError struct {
	path string // of a layer of another store
	err  *LineageError
}

func (e *foreignError) Error() string {
	return fmt.Sprintf("the collection has backups of another store, %s for one (%v): choose another, or set Existing", e.path, e.err)
}

func (e *foreignError) Unwrap() error { return e.err }
