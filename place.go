package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
)

// place finds out where in the destination everything will be, and whether there is room for
// it and the right to put it there. Nothing is written, but for the numbers that a store may
// have given away.
func (r *restore) place(ctx context.Context) error {
	ask := authorization(r.opts.Authorize)
	if err := ask.targets(ctx, r.targets, PrivilegeRestore, r.targets.spans); err != nil {
		return err
	}
	switch {
	case r.opts.VerifyOnly && r.selected != nil:
		return ask.objects(ctx, PrivilegeRestore, r.selected.objects, r.selected.catalog.path)
	case r.targets.named():
		return r.placeObjects(ctx, ask)
	case r.targets.cluster():
		return r.placeAll(ctx, ask)
	}
	return r.rewriteSpans()
}

// placeAll is for a whole store, whose objects stay what they were.
func (r *restore) placeAll(ctx context.Context, ask authorization) error {
	for _, o := range r.selected.objects {
		r.placed = append(r.placed, *o)
	}
	if err := r.checkRegions(); err != nil {
		return err
	}
	if err := ask.objects(ctx, PrivilegeRestore, r.selected.objects, r.selected.catalog.path); err != nil {
		return err
	}
	return errors.Join(r.arrange(), r.overSystem(ctx))
}

// placeObjects asks the destination for places under the objects' new names.
func (r *restore) placeObjects(ctx context.Context, ask authorization) error {
	names, err := newRenaming(r.selected, r.opts.Rename)
	if err != nil {
		return err
	}
	if err := names.checkApart(r.selected.objects); err != nil {
		return err
	}
	there, err := r.destination(ctx)
	if err != nil {
		return err
	}
	s := &settling{names: names, there: there}
	if s.parents, err = s.findParents(r.selected.objects); err != nil {
		return err
	}
	if err := r.checkRegions(); err != nil {
		return err
	}
	wanted := names.placements(r.selected.objects)
	var renamed []*export.Object
	for i := range wanted {
		renamed = append(renamed, &wanted[i].Object)
	}
	if err := ask.objects(ctx, PrivilegeRestore, renamed, names.path); err != nil {
		return err
	}
	placed, err := r.askForPlaces(ctx, wanted)
	if err != nil {
		return err
	}
	return r.settleIn(s, placed)
}

// askForPlaces finds out where in the destination the objects will be, in their order.
func (r *restore) askForPlaces(ctx context.Context, wanted []export.Placement) ([]export.Object, error) {
	placer, ok := r.targets.store.(export.Placer)
	if !ok {
		return nil, noPlace(r.targets)
	}
	placed, err := placer.Place(ctx, wanted)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return nil, noPlace(r.targets)
	case err != nil:
		return nil, fmt.Errorf("destination: %w", err)
	case len(placed) != len(wanted):
		return nil, fmt.Errorf("store broke its contract: it places %d of %d objects", len(placed), len(wanted))
	}
	return placed, nil
}

func noPlace(t Targets) error {
	return &TargetError{Name: t.String(), Reason: "the destination has no catalog: restore Spans, if need be with RestoreOptions.Rewrite"}
}

// checkRegions says which object cannot be where the destination is.
func (r *restore) checkRegions() error {
	if r.opts.SkipLocalityCheck {
		return nil
	}
	for _, o := range r.selected.objects {
		for _, region := range o.Regions {
			if !slices.Contains(r.info.Regions, region) {
				return &TargetError{
					Name:   r.selected.catalog.path(o.ID),
					Reason: fmt.Sprintf("needs the region %q, and the destination has %q", region, r.info.Regions),
				}
			}
		}
	}
	return nil
}

// publish makes the objects appear with their data.
func (r *restore) publish(ctx context.Context, ingester export.Ingester) error {
	if len(r.placed) == 0 || r.opts.VerifyOnly {
		return nil
	}
	catalog, ok := ingester.(export.CatalogIngester)
	if !ok {
		if r.targets.cluster() {
			return nil
		}
		return noPlace(r.targets)
	}
	err := catalog.Publish(ctx, r.placed)
	if r.targets.cluster() && errors.Is(err, errors.ErrUnsupported) {
		return nil // the data is all there is
	}
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}
