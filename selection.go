package varve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/varvekv/varve/export"
)

// selection is what targets are at one moment.
type selection struct {
	catalog *catalog
	objects []*export.Object // each after its parent
	ids     map[uint64]bool  // of objects
}

// selectAll is everything, with system objects.
func selectAll(c *catalog) *selection {
	s := &selection{catalog: c, ids: map[uint64]bool{}}
	for _, o := range c.objects {
		s.ids[o.ID] = true
	}
	s.objects = c.objects
	return s
}

// selectNamed are the objects that databases or tables of these names are.
func selectNamed(c *catalog, kind targetKind, names []string) (*selection, error) {
	s := &selection{catalog: c, ids: map[uint64]bool{}}
	for _, name := range names {
		if err := s.add(kind, name); err != nil {
			return nil, err
		}
	}
	for _, o := range c.objects {
		if s.ids[o.ID] {
			s.objects = append(s.objects, o)
		}
	}
	return s, nil
}

func (s *selection) add(kind targetKind, name string) error {
	container, all := strings.CutSuffix(name, ".*")
	switch {
	case kind == databasesTarget:
		o, err := s.catalog.find(name, "database", func(o *export.Object) bool { return o.Kind == export.DatabaseObject })
		if err != nil {
			return err
		}
		s.addWithin(o, true)
	case all:
		o, err := s.catalog.find(container, "database or schema", isContainer)
		if err != nil {
			return err
		}
		if s.addWithin(o, false) == 0 {
			return &TargetError{Name: name, Reason: "there is nothing in it"}
		}
	default:
		o, err := s.catalog.find(name, "table", func(o *export.Object) bool { return !isContainer(o) })
		if err != nil {
			return err
		}
		s.addWithin(o, true)
	}
	return nil
}

// addWithin takes what is in an object, and if they are meant those that others are in,
// too. System objects are in a system.
func (s *selection) addWithin(top *export.Object, containers bool) (n int) {
	for _, o := range s.catalog.within(top.ID) {
		if o.System && !top.System || isContainer(o) && !containers {
			continue
		}
		s.ids[o.ID] = true
		n++
	}
	return n
}

// around are the objects that those selected are in or need, and that are not selected
// themselves.
func (s *selection) around() []*export.Object {
	around := map[uint64]bool{}
	add := func(id uint64) {
		for o := s.catalog.byID[id]; o != nil; o = s.catalog.byID[o.Parent] {
			around[o.ID] = !s.ids[o.ID]
		}
	}
	for _, o := range s.objects {
		add(o.Parent)
		for _, d := range o.Needs {
			add(d.On)
		}
	}
	var out []*export.Object
	for _, o := range s.catalog.objects {
		if around[o.ID] {
			out = append(out, o)
		}
	}
	return out
}

// spans are where the data of the objects lies, touching ones joined: small tables
// share files.
func (s *selection) spans(order *export.Order) []Span {
	var out []Span
	for _, o := range s.objects {
		out = append(out, o.Spans...)
	}
	return joinSpans(order, out)
}

// missing are the dependencies on objects that are not selected.
func (s *selection) missing() []*DependencyError {
	var out []*DependencyError
	for _, o := range s.objects {
		for _, d := range o.Needs {
			if !s.ids[d.On] {
				out = append(out, &DependencyError{Object: s.catalog.path(o.ID), Needs: s.catalog.path(d.On), Kind: d.Kind})
			}
		}
	}
	return out
}

// find is the one object of a kind that has a name: its path, or this without schemas.
func (c *catalog) find(name, kind string, is func(*export.Object) bool) (*export.Object, error) {
	var full, short, others []*export.Object
	for _, o := range c.objects {
		path := c.path(o.ID)
		switch {
		case path != name && c.short(o.ID) != name:
		case !is(o):
			others = append(others, o)
		case path == name:
			full = append(full, o)
		default:
			short = append(short, o)
		}
	}
	found := full
	if len(found) == 0 {
		found = short
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, &TargetError{Name: name, Reason: "is ambiguous: there are " + c.list(found)}
	case len(others) > 0:
		return nil, &TargetError{Name: name, Reason: fmt.Sprintf("is a %s and no %s", others[0].Kind, kind)}
	}
	reason := "there is no such " + kind
	if near := c.near(name, is); len(near) > 0 {
		reason += "; near are " + c.list(near)
	}
	return nil, &TargetError{Name: name, Reason: reason}
}

// list is for messages.
func (c *catalog) list(objects []*export.Object) string {
	var paths []string
	for _, o := range objects {
		paths = append(paths, c.path(o.ID))
	}
	slices.Sort(paths)
	return strings.Join(paths, ", ")
}
