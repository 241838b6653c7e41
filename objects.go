package varve

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/varvekv/varve/export"
)

// ObjectCounts are what one layer holds of one object.
type ObjectCounts struct {
	// Rows are the sets in the object's first span, IndexEntries those in the others.
	// Of a full without history they are all that there are, of an incremental those
	// that were written. Each revision counts.
	Rows, IndexEntries int64
	// Deletions of keys and of ranges; one of a range counts in each object it meets.
	Deletions int64
	// LogicalBytes of keys and values, of all of these.
	LogicalBytes int64
}

// listedObject is an object as a layer lists it: what it became at a moment.
type listedObject struct {
	export.ObjectVersion
	counts ObjectCounts // with the newest version
}

// sighting is what the catalog of a snapshot says of a run's targets.
type sighting struct {
	now    *selection
	listed []export.ObjectVersion
	spans  []Span // of whatever can be restored
}

// see reads the catalog of a snapshot; nil, if it has none and none is needed.
func (r *run) see(ctx context.Context, s export.Snapshot) (*sighting, error) {
	if r.targets.kind == spansTarget {
		return nil, nil
	}
	cataloger, ok := s.(export.Cataloger)
	if !ok {
		if r.targets.named() {
			return nil, noCatalog(r.targets)
		}
		return nil, nil
	}
	objects, err := cataloger.Objects(ctx)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	c, err := newCatalog(r.info.Order, objects)
	if err != nil {
		return nil, fmt.Errorf("store broke its contract: catalog: %w", err)
	}
	now, err := r.targets.selectFrom(c)
	if err != nil {
		return nil, err
	}
	seen := &sighting{now: now}
	historian, ok := s.(export.CatalogHistorian)
	if !ok || !r.opts.RevisionHistory {
		for _, o := range now.around() {
			seen.listed = append(seen.listed, export.ObjectVersion{Object: bare(*o)})
		}
		for _, o := range now.objects {
			seen.listed = append(seen.listed, export.ObjectVersion{Object: *o})
		}
		seen.spans = now.spans(r.info.Order)
		return seen, nil
	}
	versions, err := historian.ObjectVersions(ctx, Timestamp{})
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	return seen, r.seePast(seen, withUnchanged(versions, objects))
}

// withUnchanged adds the objects that have never changed, as a catalog that stands still.
func withUnchanged(versions []export.ObjectVersion, objects []export.Object) []export.ObjectVersion {
	changed := map[uint64]bool{}
	for _, v := range versions {
		changed[v.Object.ID] = true
	}
	var out []export.ObjectVersion
	for _, o := range objects {
		if !changed[o.ID] {
			out = append(out, export.ObjectVersion{Object: o})
		}
	}
	return append(out, versions...)
}

func noCatalog(t Targets) error {
	return &TargetError{Name: t.String(), Reason: "the store has no catalog: only Cluster and Spans are targets"}
}

// seePast finds what the targets were from the start of the layer on. Where a name meant
// nothing yet, or nothing any more, there was nothing.
func (r *run) seePast(seen *sighting, versions []export.ObjectVersion) error {
	ids := map[uint64]bool{} // of what is listed, and whether it was a target
	var spans []Span
	err := eachCatalog(r.info.Order, versions, r.layer.Start, func(c *catalog) {
		then := r.targets.selectKnown(c)
		for _, o := range then.around() {
			if _, listed := ids[o.ID]; !listed {
				ids[o.ID] = false
			}
		}
		for _, o := range then.objects {
			ids[o.ID] = true
		}
		spans = append(spans, then.spans(r.info.Order)...)
	})
	if err != nil {
		return fmt.Errorf("store broke its contract: catalog: %w", err)
	}
	if err := withParents(r.info.Order, versions, r.layer.Start, ids); err != nil {
		return err
	}
	seen.spans = joinSpans(r.info.Order, append(spans, seen.now.spans(r.info.Order)...))
	seen.listed = relevant(versions, r.layer.Start, ids)
	return nil
}

// withParents adds what listed objects are in at any time: also where they have been moved out of
// the targets, or what they are in.
func withParents(order *export.Order, versions []export.ObjectVersion, from Timestamp, ids map[uint64]bool) error {
	for before := -1; before < len(ids); {
		before = len(ids)
		err := eachCatalog(order, versions, from, func(c *catalog) {
			for _, id := range slices.Collect(maps.Keys(ids)) {
				for o := c.byID[id]; o != nil; o = c.byID[o.Parent] {
					if _, listed := ids[o.ID]; !listed {
						ids[o.ID] = false
					}
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// relevant are the versions of these objects after a moment, and what each was then.
func relevant(versions []export.ObjectVersion, since Timestamp, ids map[uint64]bool) []export.ObjectVersion {
	before := map[uint64]export.ObjectVersion{}
	var after []export.ObjectVersion
	for _, v := range versions {
		target, listed := ids[v.Object.ID]
		if listed && !target {
			v.Object = bare(v.Object)
		}
		switch {
		case !listed:
		case v.Timestamp.Compare(since) > 0:
			after = append(after, v)
		default:
			before[v.Object.ID] = v
		}
	}
	return slices.Concat(slices.Collect(maps.Values(before)), after)
}

// bare is an object that is no target, and is listed for its name.
func bare(o export.Object) export.Object {
	return export.Object{ID: o.ID, Parent: o.Parent, Kind: o.Kind, Name: o.Name, System: o.System}
}

// eachCatalog shows the catalog of a moment, and of each later one that changed it. The
// versions are the oldest first.
func eachCatalog(order *export.Order, versions []export.ObjectVersion, from Timestamp, show func(*catalog)) error {
	objects := map[uint64]export.Object{}
	for i, v := range versions {
		delete(objects, v.Object.ID)
		if !v.Dropped {
			objects[v.Object.ID] = v.Object
		}
		last := i+1 == len(versions)
		if !last && (versions[i+1].Timestamp == v.Timestamp || versions[i+1].Timestamp.Compare(from) <= 0) {
			continue
		}
		c, err := newCatalog(order, slices.Collect(maps.Values(objects)))
		if err != nil {
			return fmt.Errorf("at %s: %w", v.Timestamp, err)
		}
		show(c)
	}
	return nil
}

// selectFrom is what the targets are in a catalog.
func (t Targets) selectFrom(c *catalog) (*selection, error) {
	if t.cluster() {
		return selectAll(c), nil
	}
	return selectNamed(c, t.kind, t.names)
}

// selectKnown is what those of the targets are whose names mean something.
func (t Targets) selectKnown(c *catalog) *selection {
	if t.cluster() {
		return selectAll(c)
	}
	var known []string
	for _, name := range t.names {
		if _, err := selectNamed(c, t.kind, []string{name}); err == nil {
			known = append(known, name)
		}
	}
	s, _ := selectNamed(c, t.kind, known) // no name fails beside others that does not alone
	return s
}

// sortListed puts versions in the order of the file list.
func sortListed(listed []listedObject) {
	slices.SortFunc(listed, func(a, b listedObject) int {
		return cmp.Or(cmp.Compare(a.Object.ID, b.Object.ID), b.Timestamp.Compare(a.Timestamp))
	})
}

// catalogAt is the catalog that a layer lists, as of a moment; zero: as of its end.
func catalogAt(order *export.Order, listed []listedObject, t Timestamp) (*catalog, error) {
	var objects []export.Object
	for i := 0; i < len(listed); {
		id, found := listed[i].Object.ID, false
		for ; i < len(listed) && listed[i].Object.ID == id; i++ {
			v := listed[i]
			if found || !t.IsZero() && v.Timestamp.Compare(t) > 0 {
				continue
			}
			found = true
			if !v.Dropped {
				objects = append(objects, v.Object)
			}
		}
	}
	return newCatalog(order, objects)
}
