package varve

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
)

// objectRecord is a version of an object as the file list has it.
type objectRecord struct {
	ID         uint64             `json:"id,string"`
	At         Timestamp          `json:"at"` // zero: not known, or before the layer
	Dropped    bool               `json:"dropped,omitempty"`
	Parent     uint64             `json:"parent,string,omitempty"`
	Kind       string             `json:"kind"`
	Name       string             `json:"name"`
	Spans      []Span             `json:"spans,omitempty"`
	Definition []byte             `json:"definition,omitempty"`
	Grants     []byte             `json:"grants,omitempty"`
	Needs      []dependencyRecord `json:"needs,omitempty"`
	Regions    []string           `json:"regions,omitempty"`
	System     bool               `json:"system,omitempty"`

	Rows         int64 `json:"rows,string,omitempty"`
	IndexEntries int64 `json:"index_entries,string,omitempty"`
	Deletions    int64 `json:"deletions,string,omitempty"`
	LogicalBytes int64 `json:"logical_bytes,string,omitempty"`
}

type dependencyRecord struct {
	Kind string `json:"kind"`
	On   uint64 `json:"on,string"`
}

// objectKey orders versions by object, the newest first.
func objectKey(id uint64, at Timestamp) []byte {
	k := binary.BigEndian.AppendUint64([]byte{keyObject}, id)
	k = binary.BigEndian.AppendUint64(k, ^(uint64(at.WallNanos) ^ 1<<63))
	return binary.BigEndian.AppendUint32(k, ^at.Logical)
}

func (l *listedObject) record() objectRecord {
	o, c := l.Object, l.counts
	r := objectRecord{
		ID: o.ID, At: l.Timestamp, Dropped: l.Dropped, Parent: o.Parent, Kind: o.Kind, Name: o.Name, Spans: o.Spans,
		Definition: o.Definition, Grants: o.Grants, Regions: o.Regions, System: o.System,
		Rows: c.Rows, IndexEntries: c.IndexEntries, Deletions: c.Deletions, LogicalBytes: c.LogicalBytes,
	}
	for _, d := range o.Needs {
		r.Needs = append(r.Needs, dependencyRecord(d))
	}
	return r
}

func (r *objectRecord) listed() listedObject {
	o := export.Object{
		ID: r.ID, Parent: r.Parent, Kind: r.Kind, Name: r.Name, Spans: r.Spans,
		Definition: r.Definition, Grants: r.Grants, Regions: r.Regions, System: r.System,
	}
	for _, d := range r.Needs {
		o.Needs = append(o.Needs, export.Dependency(d))
	}
	return listedObject{
		ObjectVersion: export.ObjectVersion{Timestamp: r.At, Object: o, Dropped: r.Dropped},
		counts:        ObjectCounts{Rows: r.Rows, IndexEntries: r.IndexEntries, Deletions: r.Deletions, LogicalBytes: r.LogicalBytes},
	}
}

func (r *objectRecord) validate() error {
	switch {
	case r.ID == 0 || r.ID == r.Parent:
		return fmt.Errorf("object %q has the ID %d in %d", r.Name, r.ID, r.Parent)
	case r.Name == "" || r.Kind == "":
		return fmt.Errorf("object %d has no name or no kind", r.ID)
	case r.Rows < 0 || r.IndexEntries < 0 || r.Deletions < 0 || r.LogicalBytes < 0:
		return fmt.Errorf("object %d has negative counts", r.ID)
	}
	return checkNotEmpty("span of object "+r.Name, r.Spans)
}

func (c *contents) addObject(e *export.Entry) error {
	var r objectRecord
	if err := json.Unmarshal(e.Value, &r); err != nil {
		return fmt.Errorf("object %d: %w", len(c.objects), err)
	}
	if err := r.validate(); err != nil {
		return err
	}
	if string(e.Key) != string(objectKey(r.ID, r.At)) {
		return fmt.Errorf("object %d at %s stands under the key %q", r.ID, r.At, e.Key)
	}
	c.objects = append(c.objects, r.listed())
	return nil
}

// ManifestTargets are a layer's targets as they were named. Those of spans, and of a store
// without a catalog, have no Kind.
type ManifestTargets struct {
	Kind  string   `json:"kind,omitempty"` // cluster, databases or tables
	Names []string `json:"names,omitempty"`
}

func (t Targets) manifest(seen *sighting) ManifestTargets {
	if seen == nil || t.cluster() && len(seen.listed) == 0 {
		return ManifestTargets{}
	}
	return ManifestTargets{Kind: string(t.kind), Names: t.names}
}

func (t ManifestTargets) targets() Targets {
	return Targets{kind: targetKind(t.Kind), names: t.Names}
}

func (t ManifestTargets) equal(u ManifestTargets) bool {
	return t.Kind == u.Kind && slices.Equal(t.Names, u.Names)
}

func (t ManifestTargets) validate() error {
	named := t.targets().named()
	switch {
	case named && len(t.Names) > 0, !named && len(t.Names) == 0 && (t.Kind == "" || t.targets().cluster()):
		return nil
	}
	return fmt.Errorf("targets of the kind %q with %d names", t.Kind, len(t.Names))
}

// Missing is what an object of a layer needs and the layer does not have.
type Missing struct {
	Object string `json:"object"`
	Needs  string `json:"needs"`
	Kind   string `json:"kind"`
}

// tally counts what the layer has of each object.
func (s *sighting) tally(order *export.Order) *tally {
	if s == nil {
		return nil
	}
	return newTally(order, s.listed)
}

// counted are the objects to list, and what was counted of them.
func (s *sighting) counted(t *tally) []listedObject {
	if s == nil {
		return nil
	}
	out := make([]listedObject, len(s.listed))
	for i, v := range s.listed {
		out[i] = listedObject{ObjectVersion: v}
	}
	sortListed(out)
	for i := range out {
		if i == 0 || out[i].Object.ID != out[i-1].Object.ID {
			out[i].counts = t.counts[out[i].Object.ID]
		}
	}
	return out
}
