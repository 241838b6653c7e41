package varve

import (
	"slices"
	"strings"

	"github.com/varvekv/varve/export"
)

// Rename restores an object under another name, and what is in it below that: {"bank",
// "bank_old"} or {"bank.accounts", "rescue.accounts"}. What the new name is in must be
// restored as well, or be in the destination.
type Rename struct{ From, To string }

// Rewrite restores keys that begin with From with To in its place, of the spans that lie
// in that prefix.
type Rewrite struct{ From, To []byte }

// renaming is what objects of a layer will be called.
type renaming struct {
	catalog *catalog
	to      map[uint64][]string // new names, of those that a rule is about
}

func newRenaming(s *selection, rules []Rename) (*renaming, error) {
	r := &renaming{catalog: s.catalog, to: map[uint64][]string{}}
	for _, rule := range rules {
		o, err := s.catalog.find(rule.From, "object", func(*export.Object) bool { return true })
		if err != nil {
			return nil, err
		}
		names := strings.Split(rule.To, ".")
		switch {
		case r.to[o.ID] != nil:
			return nil, &OptionError{Field: "Rename", Reason: rule.From + " is renamed twice"}
		case slices.Contains(names, ""):
			return nil, &OptionError{Field: "Rename", Reason: rule.From + " gets a name with an empty part"}
		case o.Kind == export.DatabaseObject != (len(names) == 1):
			return nil, &OptionError{Field: "Rename", Reason: rule.From + " is a " + o.Kind + ", which cannot be called " + rule.To}
		case !slices.ContainsFunc(s.catalog.within(o.ID), func(p *export.Object) bool { return s.ids[p.ID] }):
			return nil, &TargetError{Name: rule.From, Reason: "is renamed and not restored"}
		}
		r.to[o.ID] = names
	}
	return r, nil
}

// names are the new names of an object, from its database down.
func (r *renaming) names(id uint64) []string {
	if id == 0 {
		return nil
	}
	if to := r.to[id]; to != nil {
		return to
	}
	o := r.catalog.byID[id]
	return append(slices.Clone(r.names(o.Parent)), o.Name)
}

func (r *renaming) path(id uint64) string { return strings.Join(r.names(id), ".") }

// parent is the new path of what an object will be in; "" if it will be in nothing.
func (r *renaming) parent(id uint64) string {
	names := r.names(id)
	return strings.Join(names[:len(names)-1], ".")
}

// placements are the objects, each under its new name.
func (r *renaming) placements(objects []*export.Object) []export.Placement {
	var out []export.Placement
	for _, o := range objects {
		path, renamed := r.names(o.ID), *o
		renamed.Name = path[len(path)-1]
		out = append(out, export.Placement{Path: path, Object: renamed})
	}
	return out
}

// checkApart says which two objects would get one name.
func (r *renaming) checkApart(objects []*export.Object) error {
	taken := map[string]uint64{}
	for _, o := range objects {
		name := r.path(o.ID)
		if other, ok := taken[name]; ok {
			return &OptionError{Field: "Rename", Reason: r.catalog.path(other) + " and " + r.catalog.path(o.ID) + " would both be " + name}
		}
		taken[name] = o.ID
	}
	return nil
}
