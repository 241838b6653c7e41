// Package catalog is what adapters share that have catalogs of named objects.
package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/varvekv/varve/export"
)

// Tree is a catalog that finds its objects by ID and by name. It is used by one
// goroutine at a time, and so are the objects that it was given.
type Tree struct {
	order *export.Order
	byID  map[uint64]export.Object
	names map[place]uint64
	ids   []uint64 // in the order in which they came; some may be gone
}

// place is where no two objects may be.
type place struct {
	parent uint64
	name   string
}

// NewTree is the tree of objects in any order, or says why they are no catalog: IDs and
// names in a parent must be unique, parents there, spans cut at bare prefixes and apart.
func NewTree(order *export.Order, objects []export.Object) (*Tree, error) {
	t := &Tree{order: order, byID: map[uint64]export.Object{}, names: map[place]uint64{}}
	for _, o := range objects {
		if err := t.checkSelf(o); err != nil {
			return nil, err
		}
		if _, ok := t.byID[o.ID]; ok {
			return nil, fmt.Errorf("object %q: another has the ID %d", o.Name, o.ID)
		}
		if other, ok := t.names[place{o.Parent, o.Name}]; ok {
			return nil, fmt.Errorf("object %d: object %d has the name %q, too", o.ID, other, o.Name)
		}
		t.put(o)
	}
	for _, o := range objects {
		if err := t.checkParents(o); err != nil {
			return nil, err
		}
	}
	return t, t.checkApart()
}

// checkSelf is what can be said of an object alone.
func (t *Tree) checkSelf(o export.Object) error {
	if o.ID == 0 {
		return fmt.Errorf("object %q: it has no ID", o.Name)
	}
	if o.Name == "" {
		return fmt.Errorf("object %d: it has no name", o.ID)
	}
	for _, s := range o.Spans {
		if s.IsEmpty(t.order) || !t.order.CutPoint(s.Start) || !t.order.CutPoint(s.End) {
			return fmt.Errorf("object %q: span %s: want a span that is not empty, between bare prefixes", o.Name, s)
		}
	}
	return nil
}

// checkParents refuses objects whose parents are missing, or go round in a circle.
func (t *Tree) checkParents(o export.Object) error {
	seen := map[uint64]bool{}
	for at := o; at.Parent != 0; {
		seen[at.ID] = true
		parent, ok := t.byID[at.Parent]
		if !ok || seen[parent.ID] {
			return fmt.Errorf("object %q: it has no parent %d", at.Name, at.Parent)
		}
		at = parent
	}
	return nil
}

// checkApart refuses spans that share a key.
func (t *Tree) checkApart() error {
	type owned struct {
		span export.Span
		id   uint64
	}
	var all []owned
	for id, o := range t.byID {
		for _, s := range o.Spans {
			all = append(all, owned{s, id})
		}
	}
	compare := t.order.WithDefaults().Compare
	slices.SortFunc(all, func(a, b owned) int {
		return cmp.Or(compare(a.span.Start, b.span.Start), cmp.Compare(a.id, b.id))
	})
	for i := 1; i < len(all); i++ {
		if a, b := all[i-1], all[i]; a.span.Overlaps(t.order, b.span) {
			return fmt.Errorf("span %s of %s: %s has a part of it", b.span, t.Name(b.id), t.Name(a.id))
		}
	}
	return nil
}

func (t *Tree) put(o export.Object) {
	if former, ok := t.byID[o.ID]; ok {
		delete(t.names, place{former.Parent, former.Name})
	} else {
		t.ids = append(t.ids, o.ID)
	}
	t.byID[o.ID] = o
	t.names[place{o.Parent, o.Name}] = o.ID
}

// Get is the object with an ID, and whether there is one.
func (t *Tree) Get(id uint64) (export.Object, bool) {
	o, ok := t.byID[id]
	return o, ok
}

// Find is the object under a path, and whether there is one.
func (t *Tree) Find(path []string) (o export.Object, ok bool) {
	for _, name := range path {
		if o, ok = t.byID[t.names[place{o.ID, name}]]; !ok {
			break
		}
	}
	return o, ok
}

// Path is the names from the database of an object down to its own.
func (t *Tree) Path(id uint64) []string {
	var path []string
	for o, ok := t.byID[id]; ok; o, ok = t.byID[o.Parent] {
		path = append(path, o.Name)
	}
	slices.Reverse(path)
	return path
}

// Name is the path of an object for people.
func (t *Tree) Name(id uint64) string { return strings.Join(t.Path(id), ".") }

// Objects are copies of all objects, each after its parent.
func (t *Tree) Objects() []export.Object {
	all := make([]export.Object, 0, len(t.byID))
	depth := map[uint64]int{}
	listed := map[uint64]bool{} // an ID that was dropped and came again is in ids twice
	for _, id := range t.ids {
		if o, ok := t.byID[id]; ok && !listed[id] {
			listed[id] = true
			depth[id] = len(t.Path(id))
			all = append(all, Clone(o))
		}
	}
	slices.SortStableFunc(all, func(a, b export.Object) int { return cmp.Compare(depth[a.ID], depth[b.ID]) })
	return all
}

// Overlapping is an object that has a part of span, and whether there is one.
func (t *Tree) Overlapping(span export.Span) (export.Object, bool) {
	for _, o := range t.byID {
		if slices.ContainsFunc(o.Spans, func(s export.Span) bool { return s.Overlaps(t.order, span) }) {
			return o, true
		}
	}
	return export.Object{}, false
}

// Drop removes an object and all that is in it, and returns them, parents last.
func (t *Tree) Drop(id uint64) []export.Object {
	var dropped []export.Object
	for _, child := range t.Children(id) {
		dropped = append(dropped, t.Drop(child.ID)...)
	}
	o := t.byID[id]
	delete(t.byID, id)
	delete(t.names, place{o.Parent, o.Name})
	return append(dropped, o)
}

// Children are the objects that are in an object.
func (t *Tree) Children(id uint64) []export.Object {
	var children []export.Object
	for _, o := range t.byID {
		if o.Parent == id {
			children = append(children, o)
		}
	}
	slices.SortFunc(children, func(a, b export.Object) int { return cmp.Compare(a.ID, b.ID) })
	return children
}

// Publish adds objects, parents first, and returns those that it has dropped for them:
// with replace what bears the name of one of them in its parent, and all that is in it;
// without, that is a *export.NotEmptyError. What is there as it is to be is left alone,
// and not among the added ones.
func (t *Tree) Publish(objects []export.Object, replace bool) (added, dropped []export.Object, err error) {
	published := map[uint64]bool{}
	for _, o := range objects {
		if published[o.ID] {
			return nil, nil, fmt.Errorf("publish %q: the ID %d twice", o.Name, o.ID)
		}
		published[o.ID] = true
		former, ok := t.byID[o.ID]
		if ok && reflect.DeepEqual(normal(former), normal(o)) {
			continue
		}
		if ok && !replace {
			return nil, nil, &export.NotEmptyError{Name: t.Name(o.ID)}
		}
		if other, taken := t.names[place{o.Parent, o.Name}]; taken && other != o.ID {
			if !replace || published[other] {
				return nil, nil, &export.NotEmptyError{Name: t.Name(other)}
			}
			dropped = append(dropped, t.Drop(other)...)
		}
		if err := t.checkSelf(o); err != nil {
			return nil, nil, fmt.Errorf("publish: %w", err)
		}
		t.put(o)
		if err := t.checkParents(o); err != nil {
			return nil, nil, fmt.Errorf("publish: %w", err)
		}
		added = append(added, o)
	}
	if err := t.checkApart(); err != nil {
		return nil, nil, fmt.Errorf("publish: %w", err)
	}
	return added, dropped, nil
}

// normal is o with nil for what is empty, to compare.
func normal(o export.Object) export.Object {
	c := Clone(o)
	if len(c.Definition) == 0 {
		c.Definition = nil
	}
	if len(c.Grants) == 0 {
		c.Grants = nil
	}
	for i := range c.Spans {
		if len(c.Spans[i].End) == 0 {
			c.Spans[i].End = nil
		}
		if len(c.Spans[i].Start) == 0 {
			c.Spans[i].Start = nil
		}
	}
	return c
}

// Clone is a copy of o that shares nothing with it.
func Clone(o export.Object) export.Object {
	o.Definition = slices.Clone(o.Definition)
	o.Grants = slices.Clone(o.Grants)
	o.Needs = append([]export.Dependency(nil), o.Needs...)
	o.Regions = append([]string(nil), o.Regions...)
	spans := o.Spans
	o.Spans = nil
	for _, s := range spans {
		o.Spans = append(o.Spans, s.Clone())
	}
	return o
}

// CloneAll is Clone of each.
func CloneAll(objects []export.Object) []export.Object {
	all := make([]export.Object, len(objects))
	for i, o := range objects {
		all[i] = Clone(o)
	}
	return all
}

// ErrUndeclared is wrapped where a catalog that stands still lacks an object.
var ErrUndeclared = errors.New("it must be declared in Options.Objects, or its keys be restored by Rewrite")
