package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

// move is a span of the layer that gets other keys.
type move struct {
	from     Span
	old, new []byte // prefixes
}

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

// moveSpans notes which keys of an object change.
func (r *restore) moveSpans(name string, from, to []Span) error {
	if len(from) != len(to) {
		return fmt.Errorf("store broke its contract: it places %s in %d spans, and there were %d", name, len(to), len(from))
	}
	for i, s := range from {
		if equalSpans(from[i:i+1], to[i:i+1]) {
			continue
		}
		m := move{from: s, old: s.Start, new: to[i].Start}
		if got, ok := m.span(s); !ok || !equalSpans([]Span{got}, to[i:i+1]) {
			return &TargetError{Name: name, Reason: fmt.Sprintf("its keys in %s cannot be moved to %s: one of these is not all keys with one prefix", s, to[i])}
		}
		r.moves = append(r.moves, m)
	}
	return nil
}

// span is what becomes of a span in the moved one.
func (m *move) span(s Span) (Span, bool) { return m.rewriter().Span(s) }

func (m *move) rewriter() *merge.Rewriter { return &merge.Rewriter{From: m.old, To: m.new} }

// rewriteSpans applies RestoreOptions.Rewrite.
func (r *restore) rewriteSpans() error {
	for _, s := range r.spans {
		for _, rule := range r.opts.Rewrite {
			prefix := export.PrefixSpan(rule.From)
			if !s.Overlaps(r.info.Order, prefix) {
				continue
			}
			m := move{from: s, old: rule.From, new: rule.To}
			to, ok := m.span(s)
			if !ok || !r.info.Order.CutPoint(to.Start) || !r.info.Order.CutPoint(to.End) {
				return &OptionError{Field: "Rewrite", Reason: fmt.Sprintf("the span %s is neither in the prefix %q nor outside it, or would cut a prefix", s, rule.From)}
			}
			r.moves = append(r.moves, m)
			break
		}
	}
	return r.arrange()
}

// arrange cuts what is restored into spans that stay as they are and spans that move, and
// finds those of the destination.
func (r *restore) arrange() error {
	order := r.info.Order
	var moved []Span
	for _, m := range r.moves {
		moved = append(moved, m.from)
	}
	moved = sortSpans(order, moved)
	r.spans = uniteSpans(order, subtractSpans(order, r.spans, moved), cutAt(order, r.spans, moved))
	for _, s := range r.spans {
		r.placedSpans = append(r.placedSpans, r.moved(s))
	}
	if r.placedSpans = sortSpans(order, r.placedSpans); !areApart(order, r.placedSpans) {
		return &OptionError{Field: "Rewrite", Reason: fmt.Sprintf("the spans %v would overlap", r.placedSpans)}
	}
	return nil
}

// cutAt is what of spans lies in each of the parts, apart where these are.
func cutAt(order *export.Order, spans, parts []Span) []Span {
	var out []Span
	for _, p := range parts {
		out = append(out, intersectSpans(order, spans, []Span{p})...)
	}
	return out
}

// moveOf is how the keys of a span change; nil: they do not.
func (r *restore) moveOf(s Span) *move {
	for i := range r.moves {
		if r.moves[i].from.Covers(r.info.Order, s) {
			return &r.moves[i]
		}
	}
	return nil
}

// moved is where a span lies in the destination.
func (r *restore) moved(s Span) Span {
	if m := r.moveOf(s); m != nil {
		s, _ = m.span(s)
	}
	return s
}

// overSystem finds a destination that has nothing but system objects, which are what every
// store has: a whole store takes their place.
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
	if err != nil || len(there.objects) == 0 || slices.ContainsFunc(there.objects, func(o *export.Object) bool { return !o.System }) {
		return err
	}
	own := joinSpans(r.info.Order, append(selectAll(there).spans(r.info.Order), r.info.Reserved...))
	outside := subtractSpans(r.info.Order, []Span{{}}, own)
	for _, span := range outside {
		if empty, err := isEmpty(ctx, s, span); err != nil || !empty {
			return err
		}
	}
	r.opts.Replace = true
	return nil
}

func isEmpty(ctx context.Context, s export.Snapshot, span Span) (_ bool, err error) {
	c, err := s.Export(ctx, export.Request{Span: span, Locks: export.PushLocks})
	if err != nil {
		return false, fmt.Errorf("destination: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return !c.Next(), c.Err()
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
