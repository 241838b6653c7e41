package varve

import (
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
)

// settling makes objects of a layer those of the destination.
type settling struct {
	names   *renaming
	there   *catalog          // nil: the destination cannot be read
	parents map[uint64]uint64 // IDs there, for each object that will be in one which is there
	ids     map[uint64]uint64 // of the destination, by those of the layer
	byName  map[string]uint64 // likewise, by new name
}

// findParents finds what is there for others to be in. A destination that cannot be read
// knows it itself.
func (s *settling) findParents(objects []*export.Object) (map[uint64]uint64, error) {
	own := map[string]bool{}
	for _, o := range objects {
		own[s.names.path(o.ID)] = true
	}
	out := map[uint64]uint64{}
	for _, o := range objects {
		parent := s.names.parent(o.ID)
		if parent == "" || own[parent] || s.there == nil {
			continue
		}
		p, err := s.there.find(parent, "database or schema", isContainer)
		if err != nil {
			return nil, fmt.Errorf("%s in the destination: %w", s.names.path(o.ID), err)
		}
		out[o.ID] = p.ID
	}
	return out, nil
}

// settleIn puts the objects where they were placed, and their keys with them.
func (r *restore) settleIn(s *settling, placed []export.Object) error {
	s.ids, s.byName = map[uint64]uint64{}, map[string]uint64{}
	for i, o := range r.selected.objects {
		s.ids[o.ID], s.byName[s.names.path(o.ID)] = placed[i].ID, placed[i].ID
	}
	depth := map[uint64]int{}
	for i, o := range r.selected.objects {
		path, name := s.names.names(o.ID), s.names.path(o.ID)
		if s.there != nil && s.there.taken(path, placed[i].ID) && !r.opts.Replace {
			return &NotEmptyError{Name: name}
		}
		if err := r.moveSpans(name, o.Spans, placed[i].Spans); err != nil {
			return err
		}
		depth[placed[i].ID] = len(path)
		r.placed = append(r.placed, s.settled(o, placed[i]))
		r.names = append(r.names, Rename{From: r.selected.catalog.path(o.ID), To: name})
	}
	slices.SortStableFunc(r.placed, func(a, b export.Object) int { return depth[a.ID] - depth[b.ID] })
	err := r.arrange()
	r.placedSpans = joinSpans(r.info.Order, r.placedSpans)
	return err
}

// settled is what an object will be: all that it was, with the ID, the name and the keys that
// it gets, among those of the destination.
func (s *settling) settled(o *export.Object, placed export.Object) export.Object {
	path := s.names.names(o.ID)
	out := *o
	out.ID, out.Name, out.Spans, out.Parent = placed.ID, path[len(path)-1], placed.Spans, placed.Parent
	if id, ok := s.byName[s.names.parent(o.ID)]; ok {
		out.Parent = id
	} else if s.there != nil {
		out.Parent = s.parents[o.ID]
	}
	out.Needs = nil
	for _, d := range o.Needs {
		out.Needs = append(out.Needs, export.Dependency{Kind: d.Kind, On: s.ids[d.On]})
	}
	return out
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
