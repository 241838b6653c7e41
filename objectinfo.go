package varve

import (
	"context"
	"slices"

	"github.com/varvekv/varve/export"
)

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
