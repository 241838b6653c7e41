package varve

import (
	"context"
	"slices"
	"strings"

	"github.com/varvekv/varve/export"
)

// selectObjects finds the objects that are to be restored from a layer, as of the moment to
// restore. It is the layer that tells, and not the destination, what names mean.
func (r *restore) selectObjects(ctx context.Context, m *Manifest) error {
	r.selected, r.skipped = nil, nil
	if r.targets.kind == spansTarget {
		return nil
	}
	if m.Targets.Kind == "" {
		if r.targets.named() {
			return &TargetError{Name: r.targets.String(), Reason: "the backup knows no objects: it is of spans, or of a store without a catalog"}
		}
		r.selected = selectAll(&catalog{})
		return nil
	}
	list, err := readFileList(ctx, r.bucket.Bucket, m)
	if err != nil {
		return err
	}
	return r.selectListed(m, list.objects)
}

func (r *restore) selectListed(m *Manifest, listed []listedObject) error {
	t := r.opts.AsOf
	if t.Compare(m.End) >= 0 {
		t = Timestamp{}
	}
	c, err := catalogAt(r.info.Order, listed, t)
	if err != nil {
		return &CorruptError{Object: fileListObject(m.Path), Want: "objects of one moment", Got: err.Error()}
	}
	if r.targets.cluster() {
		r.selected = selectAll(c)
		return nil
	}
	wanted, err := selectHeld(c, r.targets, m.Targets)
	if err != nil {
		return err
	}
	r.selected, r.skipped, err = wanted.without(r.opts.SkipMissing)
	if err == nil && len(r.selected.objects) == 0 {
		err = &TargetError{Name: r.targets.String(), Reason: "nothing is left of it"}
	}
	return err
}

// selectHeld are the objects that targets are, all of which a layer of others must hold.
func selectHeld(c *catalog, t Targets, of ManifestTargets) (*selection, error) {
	held := of.targets().selectKnown(c).ids
	wanted := &selection{catalog: c, ids: map[uint64]bool{}}
	for _, name := range t.names {
		s, err := selectNamed(c, t.kind, []string{name})
		if err != nil {
			return nil, err
		}
		for id := range s.ids {
			switch {
			case held[id]:
				wanted.ids[id] = true
			case !strings.HasSuffix(name, ".*"):
				return nil, &TargetError{Name: c.path(id), Reason: "the backup holds only " + of.targets().String()}
			}
		}
	}
	for _, o := range c.objects {
		if wanted.ids[o.ID] {
			wanted.objects = append(wanted.objects, o)
		}
	}
	return wanted, nil
}

// shouldHold reports whether the layer is of all that the targets are in, so that what it
// does not have was not there: an older layer, which has it, is not what is asked for.
func (r *restore) shouldHold(m *Manifest) bool {
	if !r.targets.named() || m.Targets.Kind == "" {
		return false
	}
	if m.Targets.targets().cluster() {
		return true
	}
	for _, name := range r.targets.names {
		database, _, _ := strings.Cut(name, ".")
		whole := targetKind(m.Targets.Kind) == databasesTarget && slices.Contains(m.Targets.Names, database)
		if !whole && !slices.Contains(m.Targets.Names, name) {
			return false
		}
	}
	return true
}

// ObjectInfo describes an object of a layer.
type ObjectInfo struct {
	export.Object
	Layer    LayerInfo
	Database string // that it is in; its own name if it is one
	Schema   string // likewise; "" if there is none
	Cluster  bool   // the layer is of the whole store
	ObjectCounts
}

// Objects lists what a layer holds, each after what it is in: as of the layer's end, with
// what the layer has of each. From is Latest, a path, or a layer ID; "" is Latest. There are none in a
// layer of spans, or of a store without a catalog.
func (c *Collection) Objects(ctx context.Context, from string) ([]ObjectInfo, error) {
	var out []ObjectInfo
	err := c.do(ctx, "list objects of", func(b *collectionBucket) error {
		l, err := b.find(ctx, from)
		if err != nil {
			return err
		}
		m, err := b.manifestOf(ctx, l)
		if err != nil {
			return err
		}
		list, err := readFileList(ctx, b.Bucket, m)
		if err != nil {
			return err
		}
		out, err = describeObjects(m, list.objects)
		return err
	})
	return out, err
}

func describeObjects(m *Manifest, listed []listedObject) ([]ObjectInfo, error) {
	c, err := catalogAt(nil, withoutSpans(listed), Timestamp{})
	if err != nil {
		return nil, &CorruptError{Object: fileListObject(m.Path), Want: "objects of one moment", Got: err.Error()}
	}
	newest := map[uint64]listedObject{}
	for _, l := range slices.Backward(listed) {
		newest[l.Object.ID] = l
	}
	held := m.Targets.targets().selectKnown(c).ids
	var out []ObjectInfo
	for _, o := range c.objects {
		if !held[o.ID] {
			continue
		}
		info := ObjectInfo{Object: newest[o.ID].Object, Layer: m.info(), Cluster: m.Complete, ObjectCounts: newest[o.ID].counts}
		for p := o; p != nil; p = c.byID[p.Parent] {
			switch p.Kind {
			case export.DatabaseObject:
				info.Database = p.Name
			case export.SchemaObject:
				info.Schema = p.Name
			}
		}
		out = append(out, info)
	}
	return out, nil
}

// withoutSpans are the versions as a reader sees them that does not know the order of keys.
func withoutSpans(listed []listedObject) []listedObject {
	out := slices.Clone(listed)
	for i := range out {
		out[i].Object.Spans = nil
	}
	return out
}
