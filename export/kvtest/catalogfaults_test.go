package kvtest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

// catalogFault is one way in which a catalog is wrong. Its functions may be nil.
type catalogFault struct {
	listing    func(*memkv.Store, []export.Object) []export.Object
	telling    func([]export.ObjectVersion) []export.ObjectVersion
	ignoring   bool // since, where versions are told
	placing    func(wanted []export.Placement, placed []export.Object)
	publishing func(*memkv.Store, []export.Object) []export.Object
	deaf       bool // to cancellation
}

// catalogSnapshot is a snapshot that lists the objects of a sound one.
type catalogSnapshot struct {
	tableSnapshot
	sound export.Snapshot
	store *memkv.Store
	fault catalogFault
}

func (s catalogSnapshot) Objects(ctx context.Context) ([]export.Object, error) {
	if s.fault.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	objects, err := s.sound.(export.Cataloger).Objects(ctx)
	if err == nil && s.fault.listing != nil {
		objects = s.fault.listing(s.store, objects)
	}
	return objects, err
}

func (s catalogSnapshot) ObjectVersions(ctx context.Context, since export.Timestamp) ([]export.ObjectVersion, error) {
	if s.fault.ignoring {
		since = export.Timestamp{}
	}
	versions, err := s.sound.(export.CatalogHistorian).ObjectVersions(ctx, since)
	if err == nil && s.fault.telling != nil {
		versions = s.fault.telling(versions)
	}
	return versions, err
}

func (s faultyStore) Place(ctx context.Context, wanted []export.Placement) ([]export.Object, error) {
	placed, err := s.Store.Place(ctx, wanted)
	if err == nil && s.fault.catalog.placing != nil {
		s.fault.catalog.placing(wanted, placed)
	}
	return placed, err
}

// publishingIngester publishes something else.
type publishingIngester struct {
	export.Ingester
	store   *memkv.Store
	publish func(*memkv.Store, []export.Object) []export.Object
}

func (in publishingIngester) Publish(ctx context.Context, objects []export.Object) error {
	return in.Ingester.(export.CatalogIngester).Publish(ctx, in.publish(in.store, objects))
}

func (h *memHarness) CreateObject(o export.Object, spans int) (export.Object, error) {
	placed, err := h.store.Place(context.Background(), []export.Placement{{Path: []string{o.Name}, Object: o}})
	if err != nil {
		return o, err
	}
	o = placed[0]
	for i := range spans {
		o.Spans = append(o.Spans, export.PrefixSpan(fmt.Appendf(nil, "table-%d-%d/", o.ID, i)))
	}
	_, err = h.store.PutObjects(o)
	return o, err
}

func (h *memHarness) RenameObject(id, parent uint64, name string) error {
	objects, err := nowIn(h.store)
	for _, o := range objects {
		if o.ID == id {
			o.Parent, o.Name = parent, name
			_, err = h.store.PutObjects(o)
		}
	}
	return err
}

func (h *memHarness) DropObject(id uint64) error {
	_, err := h.store.DropObjects(id)
	return err
}

func nowIn(store *memkv.Store) ([]export.Object, error) {
	snap, err := store.Snapshot(context.Background(), export.SnapshotOptions{})
	if err != nil {
		return nil, err
	}
	objects, err := snap.(export.Cataloger).Objects(context.Background())
	return objects, errors.Join(err, snap.Close())
}

func catalogFaults() []faultCase {
	return slices.Concat(objectFaults(), versionFaults(), placeFaults(), publishFaults())
}

func objectFaults() []faultCase {
	var shared []export.Object
	listing := func(name string, list func(*memkv.Store, []export.Object) []export.Object, checks ...string) faultCase {
		return faultCase{name, checks, fault{catalog: catalogFault{listing: list}}}
	}
	return []faultCase{
		listing("objects move", func(m *memkv.Store, then []export.Object) []export.Object {
			if now, err := nowIn(m); err == nil {
				return now
			}
			return then
		}, "Catalog/Snapshot", "Catalog/AsOf", "Catalog/Publish"),
		listing("parents come last", func(_ *memkv.Store, objects []export.Object) []export.Object {
			slices.Reverse(objects)
			return objects
		}, "Catalog/Objects"),
		listing("an object is lost", func(_ *memkv.Store, objects []export.Object) []export.Object {
			return objects[:max(len(objects)-1, 0)]
		}, "Catalog/Objects", "Catalog/Publish", "Catalog/PublishNoData"),
		listing("an object is there twice", func(_ *memkv.Store, objects []export.Object) []export.Object {
			return append(objects, objects...)
		}, "Catalog/Objects"),
		listing("objects are shared", func(_ *memkv.Store, objects []export.Object) []export.Object {
			if len(shared) != len(objects) {
				shared = objects
			}
			return shared
		}, "Catalog/Objects"),
		{"objects are listed although nobody waits", []string{"Catalog/Cancelled"}, fault{catalog: catalogFault{deaf: true}}},
		listing("spans overlap", func(_ *memkv.Store, objects []export.Object) []export.Object {
			for i := range objects {
				if n := len(objects[i].Spans); n > 1 {
					objects[i].Spans[1] = objects[i].Spans[0]
				}
			}
			return objects
		}, "Catalog/Objects"),
	}
}

func versionFaults() []faultCase {
	telling := func(name string, tell func([]export.ObjectVersion) []export.ObjectVersion) faultCase {
		return faultCase{name, []string{"Catalog/Versions"}, fault{catalog: catalogFault{telling: tell}}}
	}
	return []faultCase{
		telling("drops are lost", func(versions []export.ObjectVersion) []export.ObjectVersion {
			return slices.DeleteFunc(versions, func(v export.ObjectVersion) bool { return v.Dropped })
		}),
		telling("drops forget what was there", func(versions []export.ObjectVersion) []export.ObjectVersion {
			for i := range versions {
				if versions[i].Dropped {
					versions[i].Object = export.Object{ID: versions[i].Object.ID}
				}
			}
			return versions
		}),
		telling("versions come newest first", func(versions []export.ObjectVersion) []export.ObjectVersion {
			slices.Reverse(versions)
			return versions
		}),
		telling("the last version is lost", func(versions []export.ObjectVersion) []export.ObjectVersion {
			return versions[:max(len(versions)-1, 0)]
		}),
		{"versions come from the beginning", []string{"Catalog/Versions"}, fault{catalog: catalogFault{ignoring: true}}},
	}
}

func placeFaults() []faultCase {
	placing := func(name string, place func([]export.Placement, []export.Object), checks ...string) faultCase {
		return faultCase{name, checks, fault{catalog: catalogFault{placing: place}}}
	}
	return []faultCase{
		placing("IDs are given twice", func(wanted []export.Placement, placed []export.Object) {
			for i := range placed {
				placed[i].ID = wanted[i].Object.ID
			}
		}, "Catalog/PlaceAgain"),
		placing("spans are given twice", func(wanted []export.Placement, placed []export.Object) {
			for i := range placed {
				placed[i].Spans = wanted[i].Object.Spans
			}
		}, "Catalog/PlaceAgain"),
		placing("an object has no ID", func(_ []export.Placement, placed []export.Object) {
			placed[0].ID = 0
		}, "Catalog/Place"),
		placing("a span is missing", func(_ []export.Placement, placed []export.Object) {
			for i := range placed {
				placed[i].Spans = placed[i].Spans[:min(1, len(placed[i].Spans))]
			}
		}, "Catalog/Place", "Catalog/PlaceAgain"),
		placing("a span is no prefix", func(_ []export.Placement, placed []export.Object) {
			for i := range placed {
				for j := range placed[i].Spans {
					placed[i].Spans[j].End = append(placed[i].Spans[j].Start, "zzz"...)
				}
			}
		}, "Catalog/Place"),
		placing("the former name stays", func(wanted []export.Placement, placed []export.Object) {
			for i := range placed {
				placed[i].Name = wanted[i].Object.Name
			}
		}, "Catalog/Place"),
	}
}

func publishFaults() []faultCase {
	publishing := func(name string, publish func(*memkv.Store, []export.Object) []export.Object, checks ...string) faultCase {
		return faultCase{name, checks, fault{catalog: catalogFault{publishing: publish}}}
	}
	return []faultCase{
		publishing("objects appear at once", func(m *memkv.Store, objects []export.Object) []export.Object {
			if _, err := m.PutObjects(objects...); err != nil {
				return objects // they are there already
			}
			return nil
		}, "Catalog/Publish", "Catalog/PublishAbort", "Catalog/PublishCrash"),
		publishing("objects never appear", func(*memkv.Store, []export.Object) []export.Object {
			return nil
		}, "Catalog/Publish", "Catalog/PublishNoData", "Catalog/PublishConflict"),
		publishing("a parent that is missing is left out", func(_ *memkv.Store, objects []export.Object) []export.Object {
			for i := range objects {
				if objects[i].Parent == 7_777 {
					objects[i].Parent = 0
				}
			}
			return objects
		}, "Catalog/PublishNoParent"),
		{"what has a name is always replaced", []string{"Catalog/PublishConflict"}, fault{
			ingesting: func(o *export.IngestOptions) { o.Replace = true },
		}},
		{"what has a name is never replaced", []string{"Catalog/PublishReplace"}, fault{
			ingesting: func(o *export.IngestOptions) { o.Replace = false },
		}},
	}
}
