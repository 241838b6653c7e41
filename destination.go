package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
)

// destination is what the destination calls its data; nil, if it cannot be read.
func (r *restore) destination(ctx context.Context) (_ *catalog, err error) {
	s, err := r.targets.store.Snapshot(ctx, export.SnapshotOptions{})
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("destination: snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return readCatalog(ctx, s, r.info.Order)
}

// readCatalog is the catalog of a snapshot, empty if it has none.
func readCatalog(ctx context.Context, s export.Snapshot, order *export.Order) (*catalog, error) {
	cataloger, ok := s.(export.Cataloger)
	if !ok {
		return newCatalog(order, nil)
	}
	objects, err := cataloger.Objects(ctx)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	c, err := newCatalog(order, objects)
	if err != nil {
		return nil, fmt.Errorf("store broke its contract: catalog: %w", err)
	}
	return c, nil
}

// overSystem finds a destination that has nothing but system objects, which are what every
// store has: a whole store takes their place. Objects that are there as they will be, and
// hold nothing, do not matter.
func (r *restore) overSystem(ctx context.Context) (err error) {
	if r.opts.Replace || len(r.placed) == 0 {
		return nil
	}
	s, err := r.targets.store.Snapshot(ctx, export.SnapshotOptions{})
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("destination: snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	there, err := readCatalog(ctx, s, r.info.Order)
	if err != nil || len(there.objects) == 0 {
		return err
	}
	var system []Span
	stays := true
	for _, o := range there.objects {
		switch comes := r.comes(o); {
		case !comes && !o.System:
			return nil
		case o.System:
			system, stays = append(system, o.Spans...), stays && comes
		}
	}
	system = joinSpans(r.info.Order, system)
	own := joinSpans(r.info.Order, append(slices.Clone(system), r.info.Reserved...))
	if empty, err := areEmpty(ctx, s, subtractSpans(r.info.Order, []Span{{}}, own)); err != nil || !empty {
		return err
	}
	empty, err := areEmpty(ctx, s, system)
	r.opts.Replace = !stays || !empty
	return err
}

// comes reports whether the destination's object is there as it will be.
func (r *restore) comes(o *export.Object) bool {
	return slices.ContainsFunc(r.placed, func(p export.Object) bool { return sameObject(o, &p) })
}

func areEmpty(ctx context.Context, s export.Snapshot, spans []Span) (bool, error) {
	for _, span := range spans {
		if empty, err := isEmpty(ctx, s, span); err != nil || !empty {
			return false, err
		}
	}
	return true, nil
}

func isEmpty(ctx context.Context, s export.Snapshot, span Span) (_ bool, err error) {
	c, err := s.Export(ctx, export.Request{Span: span, Locks: export.PushLocks})
	if err != nil {
		return false, fmt.Errorf("destination: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return !c.Next(), c.Err()
}
