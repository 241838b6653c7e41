package mvcckv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/catalog"
)

var (
	_ export.Cataloger        = (*snapshot)(nil)
	_ export.CatalogHistorian = (*snapshot)(nil)
)

// Objects implements [export.Cataloger]. An open transaction that has changed the catalog
// before the snapshot is pushed.
func (s *snapshot) Objects(ctx context.Context) ([]export.Object, error) {
	tree, err := s.tree(ctx)
	if err != nil {
		return nil, fmt.Errorf("objects: %w", err)
	}
	return tree.Objects(), nil
}

func (s *snapshot) tree(ctx context.Context) (*catalog.Tree, error) {
	c, err := s.export(ctx, objectRequest())
	if err != nil {
		return nil, err
	}
	objects, err := readObjects(c)
	if err != nil {
		return nil, err
	}
	return catalog.NewTree(nil, objects)
}

func objectRequest() export.Request {
	return export.Request{Span: export.PrefixSpan([]byte(objectRows)), Locks: export.PushLocks}
}

// ObjectVersions implements [export.CatalogHistorian]. Where since is before Info.Oldest
// it is export.ErrNoBase. With a zero since it begins with what the objects were at
// Info.Oldest.
func (s *snapshot) ObjectVersions(ctx context.Context, since export.Timestamp) ([]export.ObjectVersion, error) {
	versions, err := s.objectVersions(ctx, since)
	if err != nil {
		return nil, fmt.Errorf("object versions: %w", err)
	}
	return versions, nil
}

// objectVersions reads all revisions that there are, for a drop is told with what was
// dropped: there are few.
func (s *snapshot) objectVersions(ctx context.Context, since export.Timestamp) (all []export.ObjectVersion, err error) {
	req := objectRequest()
	req.Revisions = true
	c, err := s.exportKnown(ctx, req, since)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	var one []export.Entry // of one object, newest first
	flush := func() error {
		versions, err := versionsOf(one, since)
		all, one = append(all, versions...), one[:0]
		return err
	}
	for c.Next() {
		if len(one) > 0 && string(one[0].Key) != string(c.Entry().Key) {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		one = append(one, c.Entry().Clone())
	}
	if err := errors.Join(c.Err(), flush()); err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b export.ObjectVersion) int {
		return cmp.Or(a.Timestamp.Compare(b.Timestamp), boolOrder(a.Dropped, b.Dropped))
	})
	return all, nil
}

// boolOrder puts true first: what takes the place of a dropped object comes after that.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// exportKnown is export, of a window that the store must still know.
func (s *snapshot) exportKnown(ctx context.Context, req export.Request, since export.Timestamp) (*cursor, error) {
	if err := s.store.begin(ctx); err != nil {
		return nil, err
	}
	defer s.store.mu.Unlock()
	if err := s.readable(since); err != nil {
		return nil, err
	}
	return s.open(ctx, req)
}

// versionsOf tells what the revisions of one row, newest first, made of the object after
// since. One that was written again as it was is none.
func versionsOf(revisions []export.Entry, since export.Timestamp) ([]export.ObjectVersion, error) {
	var versions []export.ObjectVersion
	var was *export.Object
	for _, e := range slices.Backward(revisions) {
		v := export.ObjectVersion{Timestamp: e.Timestamp}
		var now *export.Object
		if e.Kind == export.Set {
			o, err := decodeObject(e.Key, e.Value)
			if err != nil {
				return nil, err
			}
			now, v.Object = &o, o
		} else if was != nil {
			v.Object, v.Dropped = catalog.Clone(*was), true
		}
		if !reflect.DeepEqual(was, now) && e.Timestamp.Compare(since) > 0 {
			versions = append(versions, v)
		}
		was = now
	}
	return versions, nil
}
