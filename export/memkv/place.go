package memkv

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/catalog"
)

var (
	_ export.Placer          = (*Store)(nil)
	_ export.CatalogIngester = (*ingester)(nil)
)

// Place implements [export.Placer]. An object keeps its ID and spans if the ID was never
// given here and nothing is in the spans; else it gets a new ID and prefixes of that. With
// Options.Objects it gets what is declared under its path.
func (s *Store) Place(ctx context.Context, wanted []export.Placement) ([]export.Object, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, fmt.Errorf("place: %w", err)
	}
	if s.db.static != nil {
		return s.db.static.Place(wanted)
	}
	placed := make([]export.Object, len(wanted))
	lastID := s.db.lastID
	for i, w := range wanted {
		if len(w.Path) == 0 {
			return nil, fmt.Errorf("place object %q: its path is empty", w.Object.Name)
		}
		o := catalog.Clone(w.Object)
		o.Name = w.Path[len(w.Path)-1]
		given := o.ID <= lastID || slices.ContainsFunc(placed[:i], func(p export.Object) bool { return p.ID == o.ID })
		if given || !s.db.hasRoom(o.Spans, placed[:i]) {
			if err := s.db.move(&o, placed[:i]); err != nil {
				return nil, fmt.Errorf("place %s: %w", strings.Join(w.Path, "."), err)
			}
		}
		s.db.lastID = max(s.db.lastID, o.ID)
		placed[i] = o
	}
	return placed, nil
}

// hasRoom reports whether nothing is in spans, and no object has a part of them. It
// needs mu.
func (db *database) hasRoom(spans []export.Span, placed []export.Object) bool {
	overlap := func(o export.Object) bool {
		return slices.ContainsFunc(o.Spans, func(s export.Span) bool {
			return slices.ContainsFunc(spans, func(t export.Span) bool { return s.Overlaps(db.order, t) })
		})
	}
	return db.checkEmpty(export.IngestOptions{Spans: spans}) == nil && !slices.ContainsFunc(placed, overlap) &&
		!slices.ContainsFunc(db.objects, func(w objectWrite) bool { return overlap(w.object) })
}

// move gives o a new ID, and spans of its own. It needs mu.
func (db *database) move(o *export.Object, placed []export.Object) error {
	var same []export.Span
	db.lastID++
	o.ID = db.lastID
	for i, span := range o.Spans {
		prefix := fmt.Appendf(nil, "object-%d-%d/", o.ID, i)
		moved := export.PrefixSpan(prefix)
		if !catalog.IsPrefix(span) || moved.IsEmpty(db.order) || !db.order.CutPoint(moved.Start) || !db.order.CutPoint(moved.End) {
			same = append(same, span)
			continue
		}
		o.Spans[i] = moved
	}
	if !db.hasRoom(same, placed) {
		return fmt.Errorf("its span %s is not free, and not that of a prefix", same[0])
	}
	return nil
}

// Publish implements [export.CatalogIngester].
func (in *ingester) Publish(ctx context.Context, objects []export.Object) error {
	db := in.store.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := in.usable(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if db.static != nil {
		return db.static.Declares(objects)
	}
	in.published = append(in.published, catalog.CloneAll(objects)...)
	return nil
}

// publishObjects makes what was published part of the catalog. A load of everything that
// replaces what is there replaces the catalog, too. It needs mu.
func (db *database) publishObjects(in *ingester, at export.Timestamp) error {
	if db.static != nil {
		return nil
	}
	tree := treeAt(db.order, db.objects, at)
	everything := func(s export.Span) bool { return len(s.Start) == 0 && len(s.End) == 0 }
	if in.opts.Replace && slices.ContainsFunc(in.opts.Spans, everything) {
		for _, o := range tree.Children(0) {
			db.dropObjects(tree.Drop(o.ID), at)
		}
	}
	added, dropped, err := tree.Publish(in.published, in.opts.Replace)
	if err != nil {
		return err
	}
	db.dropObjects(dropped, at)
	for _, o := range added {
		db.putObject(o, at)
	}
	return nil
}
