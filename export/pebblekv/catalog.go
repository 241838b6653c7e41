package pebblekv

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/catalog"
)

var (
	_ export.Cataloger       = (*catalogSnapshot)(nil)
	_ export.Placer          = (*Store)(nil)
	_ export.Placer          = (*Directory)(nil)
	_ export.CatalogIngester = (*ingester)(nil)
	_ export.CatalogIngester = (*dirIngester)(nil)
)

var errNoObjects = fmt.Errorf("the store was adapted without Options.Objects: %w", errors.ErrUnsupported)

// checkObjects says what is wrong with Options.Objects.
func (c *config) checkObjects() error {
	if c.badObjects != nil {
		return fmt.Errorf("options: Objects: %w", c.badObjects)
	}
	return nil
}

// Place implements [export.Placer], as that of a [Directory] does.
func (s *Store) Place(ctx context.Context, wanted []export.Placement) ([]export.Object, error) {
	if err := s.ready(ctx); err != nil {
		return nil, fmt.Errorf("place: %w", err)
	}
	return s.placeDeclared(ctx, wanted)
}

// Place implements [export.Placer]. An object gets what is declared under its path, with
// its ID and spans; one that is not declared has no place. Without Options.Objects it
// returns an error that wraps errors.ErrUnsupported.
func (d *Directory) Place(ctx context.Context, wanted []export.Placement) ([]export.Object, error) {
	return d.placeDeclared(ctx, wanted)
}

func (c *config) placeDeclared(ctx context.Context, wanted []export.Placement) ([]export.Object, error) {
	if err := errors.Join(ctx.Err(), c.checkObjects()); err != nil {
		return nil, fmt.Errorf("place: %w", err)
	}
	if c.objects == nil {
		return nil, fmt.Errorf("place: %w", errNoObjects)
	}
	return c.objects.Place(wanted)
}

// publishDeclared sees to it that objects are declared. There is nothing to be written:
// a catalog that stands still is not in the database.
func (c *config) publishDeclared(ctx context.Context, objects []export.Object) error {
	if ctx.Err() != nil {
		return fmt.Errorf("publish: %w", ctx.Err())
	}
	if c.objects == nil {
		return fmt.Errorf("publish: %w", errNoObjects)
	}
	return c.objects.Declares(objects)
}

// Publish implements [export.CatalogIngester]: objects must be declared.
func (in *ingester) Publish(ctx context.Context, objects []export.Object) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return fmt.Errorf("publish: %w", export.ErrClosed)
	}
	if err := in.store.ready(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return in.store.publishDeclared(ctx, objects)
}

// Publish implements [export.CatalogIngester]: objects must be declared.
func (in *dirIngester) Publish(ctx context.Context, objects []export.Object) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.state != loading {
		return fmt.Errorf("publish: %w", export.ErrClosed)
	}
	return in.target.publishDeclared(ctx, objects)
}

// catalogSnapshot is a snapshot of a store with a static catalog.
type catalogSnapshot struct {
	*snapshot
	objects *catalog.Tree
}

// Objects are those of Options.Objects, each after its parent.
func (s *catalogSnapshot) Objects(ctx context.Context) ([]export.Object, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("objects: %w", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("objects: %w", export.ErrClosed)
	}
	return s.objects.Objects(), nil
}
