package varve

import (
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
)

// Dependency is a set of kinds of dependencies.
type Dependency uint

// Of objects that depend on what is not restored with them, the dependency is dropped; of
// Views, which are nothing without what they show, the view.
const (
	ForeignKeys Dependency = 1 << iota
	Sequences
	SequenceOwners
	Views
)

// skippable are the dependencies that a restore can go on without.
func skippable(kind string) Dependency {
	switch kind {
	case export.ForeignKeyDependency:
		return ForeignKeys
	case export.SequenceDependency:
		return Sequences
	case export.SequenceOwnerDependency:
		return SequenceOwners
	case export.ViewDependency:
		return Views
	}
	return 0
}

// without is the selection without what it needs and lacks, as far as that may be skipped,
// and what was left out, for people. A view that is left out may be what others need.
func (s *selection) without(skip Dependency) (_ *selection, skipped []string, _ error) {
	for {
		rest := &selection{catalog: s.catalog, ids: map[uint64]bool{}}
		for _, o := range s.objects {
			kept, left, err := s.skipOf(o, skip)
			if err != nil {
				return nil, nil, err
			}
			skipped = append(skipped, left...)
			if kept != nil {
				rest.objects = append(rest.objects, kept)
				rest.ids[o.ID] = true
			}
		}
		if len(rest.objects) == len(s.objects) {
			return rest, skipped, nil
		}
		s = rest
	}
}

// skipOf is one object without what it lacks; nil if it cannot be without.
func (s *selection) skipOf(o *export.Object, skip Dependency) (_ *export.Object, skipped []string, _ error) {
	out := *o
	out.Needs = nil
	gone := false
	for _, d := range o.Needs {
		if s.ids[d.On] {
			out.Needs = append(out.Needs, d)
			continue
		}
		lacks := &DependencyError{Object: s.catalog.path(o.ID), Needs: s.catalog.path(d.On), Kind: d.Kind}
		switch bit := skippable(d.Kind); {
		case bit == 0, skip&bit == 0:
			return nil, nil, lacks
		case bit == Views:
			gone = true
			skipped = append(skipped, fmt.Sprintf("%s %s, which needs %s", o.Kind, lacks.Object, lacks.Needs))
		default:
			skipped = append(skipped, fmt.Sprintf("%s of %s on %s", d.Kind, lacks.Object, lacks.Needs))
		}
	}
	if gone {
		return nil, slices.Compact(skipped), nil
	}
	return &out, skipped, nil
}
