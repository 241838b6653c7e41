package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	parents, err := r.parents(names, there)
	if err != nil {
		return err
	}
	if err := r.checkRegions(); err != nil {
		return err
	}
	var asked []*export.Object
	var wanted []export.Placement
	for _, o := range r.selected.objects {
		path := names.names(o.ID)
		renamed := *o
		renamed.Name = path[len(path)-1]
		asked, wanted = append(asked, &renamed), append(wanted, export.Placement{Path: path, Object: renamed})
	}
	if err := ask.objects(ctx, PrivilegeRestore, asked, names.path); err != nil {
		return err
	}
	placer, ok := r.targets.store.(export.Placer)
	if !ok {
		return noPlace(r.targets)
	}
	placed, err := placer.Place(ctx, wanted)
	if errors.Is(err, errors.ErrUnsupported) {
		return noPlace(r.targets)
	}
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	return r.settleIn(placed, names, parents, there)
}

func noPlace(t Targets) error {
	return &TargetError{Name: t.String(), Reason: "the destination has no catalog: restore Spans, if need be with RestoreOptions.Rewrite"}
}

// parents are, for each object that will be in one of the destination, the ID of that one.
// A destination that cannot be read knows it itself.
func (r *restore) parents(names *renaming, there *catalog) (map[uint64]uint64, error) {
	own := map[string]bool{}
	for _, o := range r.selected.objects {
		own[names.path(o.ID)] = true
	}
	out := map[uint64]uint64{}
	for _, o := range r.selected.objects {
		path := names.names(o.ID)
		if len(path) == 1 {
			continue
		}
		parent := strings.Join(path[:len(path)-1], ".")
		if own[parent] || there == nil {
			continue
		}
		p, err := there.find(parent, "database or schema", isContainer)
		if err != nil {
			return nil, fmt.Errorf("%s in the destination: %w", names.path(o.ID), err)
		}
		out[o.ID] = p.ID
	}
	return out, nil
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

// settleIn makes objects of the layer those of the destination.
func (r *restore) settleIn(placed []export.Object, names *renaming, parents map[uint64]uint64, there *catalog) error {
	if len(placed) != len(r.selected.objects) {
		return fmt.Errorf("store broke its contract: it places %d of %d objects", len(placed), len(r.selected.objects))
	}
	ids, byName := map[uint64]uint64{}, map[string]uint64{}
	for i, o := range r.selected.objects {
		ids[o.ID], byName[names.path(o.ID)] = placed[i].ID, placed[i].ID
	}
	depth := map[uint64]int{}
	for i, o := range r.selected.objects {
		p, path := placed[i], names.names(o.ID)
		depth[p.ID] = len(path)
		if there != nil && there.taken(path, p.ID) && !r.opts.Replace {
			return &NotEmptyError{Name: names.path(o.ID)}
		}
		p.Kind, p.Name, p.Definition, p.Grants, p.Regions, p.System = o.Kind, path[len(path)-1], o.Definition, o.Grants, o.Regions, o.System
		if id, ok := byName[strings.Join(path[:len(path)-1], ".")]; ok {
			p.Parent = id
		} else if there != nil {
			p.Parent = parents[o.ID]
		}
		p.Needs = nil
		for _, d := range o.Needs {
			p.Needs = append(p.Needs, export.Dependency{Kind: d.Kind, On: ids[d.On]})
		}
		if err := r.moveSpans(names.path(o.ID), o.Spans, p.Spans); err != nil {
			return err
		}
		r.placed = append(r.placed, p)
		r.names = append(r.names, Rename{From: r.selected.catalog.path(o.ID), To: names.path(o.ID)})
	}
	slices.SortStableFunc(r.placed, func(a, b export.Object) int { return depth[a.ID] - depth[b.ID] })
	err := r.arrange()
	r.placedSpans = joinSpans(r.info.Order, r.placedSpans)
	return err
}

// taken reports whether another object has the name. A store that cannot have two beside
// one another has placed the object there, and says itself whether there is data in it.
func (c *catalog) taken(path []string, placed uint64) bool {
	for _, o := range c.objects {
		if slices.Equal(c.paths[o.ID], path) {
			return o.ID != placed
		}
	}
	return false
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
