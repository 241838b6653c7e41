package memkv

import (
	"context"
	"fmt"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/catalog"
)

// objectWrite is what an object became at a moment. A version lists them from oldest to
// newest.
type objectWrite struct {
	at      export.Timestamp
	object  export.Object // if it was dropped, as it was before
	dropped bool
}

// PutObjects creates objects, or changes those that have their IDs, at a timestamp after
// all others, which it returns. Parents come first. It does not touch data, and is an
// error on a store with Options.Objects.
func (s *Store) PutObjects(objects ...export.Object) (export.Timestamp, error) {
	return s.changeCatalog(func(tree *catalog.Tree, at export.Timestamp) error {
		for _, o := range objects {
			if former, ok := tree.Get(o.ID); ok && former.Parent == o.Parent && former.Name == o.Name {
				continue
			}
			if other, ok := tree.Find(append(tree.Path(o.Parent), o.Name)); ok {
				return fmt.Errorf("object %q: object %d has that name", o.Name, other.ID)
			}
		}
		added, _, err := tree.Publish(catalog.CloneAll(objects), true)
		for _, o := range added {
			s.db.putObject(o, at)
		}
		return err
	})
}

// DropObjects drops objects and all that is in them, at a timestamp after all others,
// which it returns. It does not touch data, and is an error on a store with
// Options.Objects.
func (s *Store) DropObjects(ids ...uint64) (export.Timestamp, error) {
	return s.changeCatalog(func(tree *catalog.Tree, at export.Timestamp) error {
		for _, id := range ids {
			if _, ok := tree.Get(id); !ok {
				return fmt.Errorf("drop object %d: there is none", id)
			}
			s.db.dropObjects(tree.Drop(id), at)
		}
		return nil
	})
}

func (s *Store) changeCatalog(change func(*catalog.Tree, export.Timestamp) error) (export.Timestamp, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if s.closed {
		return export.Timestamp{}, export.ErrClosed
	}
	if s.db.static != nil {
		return export.Timestamp{}, fmt.Errorf("change the catalog: it is that of Options.Objects")
	}
	at, former := s.db.tick(), s.db.objects
	if err := change(treeAt(s.db.order, s.db.objects, at), at); err != nil {
		s.db.objects = former
		return export.Timestamp{}, err
	}
	return at, nil
}

// putObject needs mu.
func (db *database) putObject(o export.Object, at export.Timestamp) {
	db.objects = append(db.objects[:len(db.objects):len(db.objects)], objectWrite{at: at, object: o})
	db.lastID = max(db.lastID, o.ID)
}

// dropObjects needs mu.
func (db *database) dropObjects(dropped []export.Object, at export.Timestamp) {
	for _, o := range dropped {
		db.objects = append(db.objects[:len(db.objects):len(db.objects)], objectWrite{at: at, object: o, dropped: true})
	}
}

// treeAt is the catalog at t that writes come to. They were checked, so that there is
// nothing to be refused.
func treeAt(order *export.Order, writes []objectWrite, t export.Timestamp) *catalog.Tree {
	byID := map[uint64]export.Object{}
	var ids []uint64
	for _, w := range writes {
		if w.at.Compare(t) > 0 {
			continue
		}
		if w.dropped {
			delete(byID, w.object.ID)
			continue
		}
		byID[w.object.ID] = w.object
		ids = append(ids, w.object.ID)
	}
	var objects []export.Object
	for _, id := range ids {
		if o, ok := byID[id]; ok {
			objects = append(objects, o)
			delete(byID, id)
		}
	}
	tree, _ := catalog.NewTree(order, objects)
	return tree
}

// collectObjects is writes without what no reader at or after t can tell apart.
func collectObjects(writes []objectWrite, t export.Timestamp) []objectWrite {
	var left []objectWrite
	for i, w := range writes {
		covered := w.at.Compare(t) <= 0 && w.dropped
		for _, later := range writes[i+1:] {
			covered = covered || later.object.ID == w.object.ID && later.at.Compare(t) <= 0
		}
		if !covered {
			left = append(left, w)
		}
	}
	return left
}

var _ export.Cataloger = (*snapshot)(nil)

// Objects implements [export.Cataloger].
func (s *snapshot) Objects(ctx context.Context) ([]export.Object, error) {
	if err := s.usable(ctx); err != nil {
		return nil, fmt.Errorf("objects: %w", err)
	}
	if static := s.store.db.static; static != nil {
		return static.Objects(), nil
	}
	return treeAt(s.store.db.order, s.version.objects, s.until).Objects(), nil
}

// historical is a snapshot of a store with revisions.
type historical struct{ *snapshot }

var _ export.CatalogHistorian = (*historical)(nil)

// ObjectVersions implements [export.CatalogHistorian]. What is older than the oldest
// moment is told as it was then.
func (s *historical) ObjectVersions(ctx context.Context, since export.Timestamp) ([]export.ObjectVersion, error) {
	w, err := s.window(ctx, export.Request{Since: since})
	if err != nil {
		return nil, fmt.Errorf("object versions: %w", err)
	}
	if static := s.store.db.static; static != nil {
		return nil, nil
	}
	var versions []export.ObjectVersion
	for _, write := range s.version.objects {
		if w.holds(write.at) {
			versions = append(versions, export.ObjectVersion{
				Timestamp: write.at, Object: catalog.Clone(write.object), Dropped: write.dropped,
			})
		}
	}
	return versions, nil
}
