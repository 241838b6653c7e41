package varve

import (
	"context"
	"errors"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/sink"
)

// objectHistory is what objects became, the oldest version first, by ID.
type objectHistory map[uint64][]export.ObjectVersion

// append goes on with what a layer lists, which is that of its targets from its start on, and
// what each was before. What the layer below lists and this one does not is no more among the
// targets: it ends there. What this one lists alone begins there.
func (h objectHistory) append(listed []listedObject, start Timestamp) {
	below := len(h) > 0
	seen := map[uint64]bool{}
	for _, o := range slices.Backward(listed) {
		seen[o.Object.ID] = true
		if !below || o.Timestamp.Compare(start) > 0 {
			h.put(o.ObjectVersion)
		} else {
			h.meet(o.ObjectVersion, start)
		}
	}
	for id, versions := range h {
		if last := versions[len(versions)-1]; !seen[id] && !last.Dropped {
			last.Timestamp, last.Dropped = start.Next(), true
			h.put(last)
		}
	}
}

// put adds the newest version of an object.
func (h objectHistory) put(v export.ObjectVersion) {
	versions := h[v.Object.ID]
	if n := len(versions); n > 0 && versions[n-1].Timestamp == v.Timestamp {
		versions = versions[:n-1] // a version that began with the layer
	}
	h[v.Object.ID] = append(versions, v)
}

// meet is for what an object was before the layer. The layer below has that, too, but if the
// object was no target there it is listed for its name alone.
func (h objectHistory) meet(v export.ObjectVersion, start Timestamp) {
	versions := h[v.Object.ID]
	n := len(versions)
	switch {
	case n > 0 && v.Timestamp.Compare(versions[n-1].Timestamp) > 0 && !versions[n-1].Dropped:
		h.put(v)
	case n > 0 && !versions[n-1].Dropped:
		if len(versions[n-1].Object.Spans) == 0 {
			versions[n-1].Object = v.Object
		}
	case !v.Dropped:
		v.Timestamp = start.Next()
		h.put(v)
	}
}

// listObjects finds out which objects the new layer lists, by what those of the window do:
// those of the last one and, as far as history is promised, what they were before.
func (m *compaction) listObjects(listed map[*Manifest][]listedObject) {
	history := objectHistory{}
	for i, l := range m.window {
		if i == len(m.window)-1 || l.End.Compare(m.oldest) > 0 {
			history.append(listed[l.Manifest], l.Start)
		}
	}
	var all []export.ObjectVersion
	for _, versions := range history {
		all = append(all, versions...)
	}
	for _, v := range all {
		m.objects = append(m.objects, listedObject{ObjectVersion: v})
	}
	sortListed(m.objects)
	if len(all) > 0 {
		m.tally = newTally(m.order, all)
	}
}

// join adds what a task has counted.
func (m *compaction) join(part *tally) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tally.join(part)
}

// counted are the objects to list, and what was counted of them.
func (m *compaction) counted() []listedObject {
	for i := range m.objects {
		if o := &m.objects[i]; i == 0 || o.Object.ID != m.objects[i-1].Object.ID {
			o.counts = m.tally.counts[o.Object.ID]
		}
	}
	return m.objects
}

// count counts the entries of a file that stays. It is read only where its bounds leave open
// whose they are.
func (m *compaction) count(ctx context.Context, v view) (err error) {
	if m.tally == nil || len(m.tally.owned) == 0 {
		return nil
	}
	part := m.tally.part()
	defer m.join(part)
	if part.takes(v.File) {
		return nil
	}
	r, err := sink.Open(ctx, m.bucket.Bucket, v.form, v.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	c, err := r.Cursor(ctx, v.span)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for c.Next() {
		part.add(c.Entry())
	}
	return c.Err()
}

// takes counts a whole file, if all of it belongs to one span of an object.
func (t *tally) takes(f sink.File) bool {
	s := t.find(f.Smallest)
	if s == nil || !s.Contains(t.order, f.Largest) || f.Counts.RangeDeletes+f.Counts.RangeKeys > 0 {
		return false
	}
	c := ObjectCounts{Deletions: f.Counts.Deletes, LogicalBytes: f.Counts.LogicalBytes}
	if s.rows {
		c.Rows = f.Counts.Sets
	} else {
		c.IndexEntries = f.Counts.Sets
	}
	t.counts[s.object] = t.counts[s.object].plus(c)
	return true
}
