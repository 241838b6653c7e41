package catalog

import (
	"fmt"
	"strings"

	"github.com/varvekv/varve/export"
)

// Place finds the objects of a catalog that stands still under the paths that are
// wanted. One that has not as many spans as it was backed up with has no place.
func (t *Tree) Place(wanted []export.Placement) ([]export.Object, error) {
	placed := make([]export.Object, len(wanted))
	for i, w := range wanted {
		o, ok := t.Find(w.Path)
		name := strings.Join(w.Path, ".")
		switch {
		case !ok:
			return nil, fmt.Errorf("place %s: %w", name, ErrUndeclared)
		case len(o.Spans) != len(w.Object.Spans):
			return nil, fmt.Errorf("place %s: it is declared with %d spans, and was backed up with %d", name, len(o.Spans), len(w.Object.Spans))
		}
		placed[i] = Clone(o)
	}
	return placed, nil
}

// Declares is why one of objects is not in a catalog that stands still, under its ID,
// name and parent.
func (t *Tree) Declares(objects []export.Object) error {
	for _, o := range objects {
		if there, ok := t.byID[o.ID]; !ok || there.Name != o.Name || there.Parent != o.Parent {
			return fmt.Errorf("publish %q: %w", o.Name, ErrUndeclared)
		}
	}
	return nil
}

// IsPrefix reports whether span is all keys that begin with one prefix, bytewise.
func IsPrefix(span export.Span) bool {
	return len(span.Start) > 0 && string(span.End) == string(export.PrefixSpan(span.Start).End)
}
