package varve

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/varvekv/varve/export"
)

// catalog is what data was called at one moment, in a store or in a layer.
type catalog struct {
	objects  []*export.Object // each after its parent
	byID     map[uint64]*export.Object
	children map[uint64][]*export.Object // 0: what is in nothing
	paths    map[uint64][]string         // names from the database down
}

// newCatalog says which objects cannot be those of one moment. They may come in any
// order.
func newCatalog(order *export.Order, objects []export.Object) (*catalog, error) {
	c := &catalog{byID: map[uint64]*export.Object{}, children: map[uint64][]*export.Object{}, paths: map[uint64][]string{}}
	for i := range objects {
		o := &objects[i]
		if err := checkObject(order, o); err != nil {
			return nil, err
		}
		if other := c.byID[o.ID]; other != nil {
			return nil, fmt.Errorf("objects %q and %q have one ID, %d", other.Name, o.Name, o.ID)
		}
		c.byID[o.ID] = o
		c.children[o.Parent] = append(c.children[o.Parent], o)
	}
	c.arrange(0)
	if len(c.objects) != len(objects) {
		return nil, fmt.Errorf("%d of %d objects are in none that there is", len(objects)-len(c.objects), len(objects))
	}
	for parent, children := range c.children {
		if err := checkNames(children); err != nil {
			return nil, fmt.Errorf("in %q: %w", strings.Join(c.paths[parent], "."), err)
		}
	}
	return c, c.checkSpans(order)
}

// arrange puts parents before what is in them. What is in a circle is not reached.
func (c *catalog) arrange(parent uint64) {
	for _, o := range c.children[parent] {
		c.objects = append(c.objects, o)
		c.paths[o.ID] = append(slices.Clone(c.paths[parent]), o.Name)
		c.arrange(o.ID)
	}
}

func checkObject(order *export.Order, o *export.Object) error {
	switch {
	case o.ID == 0:
		return fmt.Errorf("object %q has no ID", o.Name)
	case o.Name == "" || o.Kind == "":
		return fmt.Errorf("object %d has no name or no kind", o.ID)
	}
	for _, s := range o.Spans {
		if s.IsEmpty(order) || !order.CutPoint(s.Start) || !order.CutPoint(s.End) {
			return fmt.Errorf("object %q: its span %s is empty or cuts a prefix", o.Name, s)
		}
	}
	return nil
}

func checkNames(children []*export.Object) error {
	seen := map[string]bool{}
	for _, o := range children {
		if seen[o.Name] {
			return fmt.Errorf("two objects have the name %q", o.Name)
		}
		seen[o.Name] = true
	}
	return nil
}

func (c *catalog) checkSpans(order *export.Order) error {
	var all []Span
	for _, o := range c.objects {
		all = append(all, o.Spans...)
	}
	if all = sortSpans(order, all); !areApart(order, all) {
		return errors.New("spans of objects overlap")
	}
	return nil
}

// path is the name of an object by which no other is meant.
func (c *catalog) path(id uint64) string {
	if c.byID[id] == nil {
		return fmt.Sprintf("object %d", id)
	}
	return strings.Join(c.paths[id], ".")
}

// short is the path without schemas.
func (c *catalog) short(id uint64) string {
	var out []string
	for o := c.byID[id]; o != nil; o = c.byID[o.Parent] {
		if o.Kind != export.SchemaObject || o.ID == id {
			out = append(out, o.Name)
		}
	}
	slices.Reverse(out)
	return strings.Join(out, ".")
}

// within are an object and all that is in it, each after its parent.
func (c *catalog) within(id uint64) []*export.Object {
	out := []*export.Object{c.byID[id]}
	for _, o := range c.children[id] {
		out = append(out, c.within(o.ID)...)
	}
	return out
}

// sameObject reports whether two objects have all in common.
func sameObject(a, b *export.Object) bool {
	return a.ID == b.ID && a.Parent == b.Parent && a.Kind == b.Kind && a.Name == b.Name && a.System == b.System &&
		equalSpans(a.Spans, b.Spans) && slices.Equal(a.Needs, b.Needs) && slices.Equal(a.Regions, b.Regions) &&
		bytes.Equal(a.Definition, b.Definition) && bytes.Equal(a.Grants, b.Grants)
}

// isContainer reports whether the object is there for others to be in.
func isContainer(o *export.Object) bool {
	return o.Kind == export.DatabaseObject || o.Kind == export.SchemaObject
}
