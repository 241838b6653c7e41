package varve

import (
	"context"
	"errors"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/sink"
)

// listObjects finds out which objects the new layer lists, by what those of the window do:
// those of the last one and, as far as history is promised, what they were before.
func (m *compaction) listObjects(listed map[*Manifest][]listedObject) {
	type version struct {
		id uint64
		at Timestamp
	}
	place := map[version]int{}
	for _, l := range slices.Backward(m.window) {
		if l.Manifest != m.last() && l.End.Compare(m.oldest) <= 0 {
			break
		}
		for _, o := range listed[l.Manifest] {
			v := version{o.Object.ID, o.Timestamp}
			i, known := place[v]
			switch {
			case !known:
				place[v] = len(m.objects)
				m.objects = append(m.objects, listedObject{ObjectVersion: o.ObjectVersion})
			case len(m.objects[i].Object.Spans) == 0: // it may be listed for its name
				m.objects[i].ObjectVersion = o.ObjectVersion
			}
		}
	}
	sortListed(m.objects)
	if len(m.objects) == 0 {
		return
	}
	versions := make([]export.ObjectVersion, len(m.objects))
	for i, o := range m.objects {
		versions[i] = o.ObjectVersion
	}
	m.tally = newTally(m.order, versions)
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
