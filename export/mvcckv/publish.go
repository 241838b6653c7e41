package mvcckv

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/catalog"
	"github.com/varvekv/varve/export/internal/tables"
)

// row is what Commit adds to a load: a row of the catalog.
type row struct {
	key    []byte
	stored []byte // empty: it is deleted
}

// rowSet are rows by key, the last one of each.
type rowSet map[string][]byte

func (r rowSet) put(o export.Object) error {
	stored, err := encodeObject(o)
	if err != nil {
		return err
	}
	r[string(objectKey(o.ID))] = liveValue(stored)
	r[string(nameKey(o.Parent, o.Name))] = liveValue(encodeID(o.ID))
	if o.Parent != 0 {
		r[string(parentKey(o.Parent))] = liveValue(nil)
	}
	return nil
}

func (r rowSet) drop(o export.Object) {
	r[string(objectKey(o.ID))] = nil
	r[string(nameKey(o.Parent, o.Name))] = nil
	r[string(parentKey(o.ID))] = nil
}

func (r rowSet) sorted() []row {
	rows := make([]row, 0, len(r))
	for key, stored := range r {
		rows = append(rows, row{[]byte(key), stored})
	}
	slices.SortFunc(rows, func(a, b row) int { return bytes.Compare(a.key, b.key) })
	return rows
}

// bringsCatalog reports whether the load has the rows of a catalog of its own, which it
// puts in the place of what is there.
func (c *commit) bringsCatalog() bool {
	return slices.ContainsFunc(c.spans, func(s export.Span) bool { return s.Covers(nil, catalogSpan()) })
}

// guarded are the spans whose reads and writes a commit must know of.
func (c *commit) guarded() []export.Span {
	if len(c.published) == 0 || c.bringsCatalog() {
		return c.spans
	}
	return append(slices.Clone(c.spans), catalogSpan())
}

// clearCatalog pushes transactions that have changed the catalog and are not committed:
// a load took longer, and they only have to be tried again. It needs mu, which it may let
// go of.
func (c *commit) clearCatalog() error {
	if len(c.published) == 0 || c.bringsCatalog() {
		return nil
	}
	s := c.store
	locks := func() []lock { return s.locksIn(catalogSpan(), endOfTime(), nil) }
	return s.pass(c.ctx, locks, func(l lock) error { return s.push(l.holder, l.key, "a load") })
}

// openCatalog opens a cursor over the objects that are there before the load, nil where
// it brings them itself. It needs mu, and no lock in the catalog.
func (c *commit) openCatalog() (*cursor, error) {
	if len(c.published) == 0 || c.bringsCatalog() {
		return nil, nil
	}
	span := export.PrefixSpan([]byte(objectRows))
	cur := &cursor{ctx: c.ctx, span: span, seen: visible{until: c.at}}
	return cur, cur.open(c.store, span, false)
}

// catalogRows are those that make what was published part of the catalog.
func (c *commit) catalogRows(there *cursor) ([]row, error) {
	if len(c.published) == 0 {
		return nil, nil
	}
	var objects []export.Object
	var err error
	if there != nil {
		objects, err = readObjects(there)
	} else {
		objects, err = c.loadedObjects()
	}
	if err != nil {
		return nil, err
	}
	tree, err := catalog.NewTree(nil, objects)
	if err != nil {
		return nil, err
	}
	rows := rowSet{}
	// The tree forgets what it replaces, which has a name that nobody has any more.
	former := map[uint64]export.Object{}
	for _, o := range objects {
		former[o.ID] = o
	}
	added, dropped, err := tree.Publish(c.published, c.replace)
	if err != nil {
		return nil, err
	}
	for _, o := range dropped {
		rows.drop(o)
	}
	for _, o := range added {
		if f, ok := former[o.ID]; ok && (f.Parent != o.Parent || f.Name != o.Name) {
			rows[string(nameKey(f.Parent, f.Name))] = nil
		}
	}
	for _, o := range added {
		if err := rows.put(o); err != nil {
			return nil, err
		}
	}
	return rows.sorted(), nil
}

// loadedObjects are those whose rows are in the load itself.
func (c *commit) loadedObjects() ([]export.Object, error) {
	span := physicalSpan(export.PrefixSpan([]byte(objectRows)))
	var objects []export.Object
	seen := map[string]bool{} // whole tables hold several versions of a row, the newest first
	for _, path := range slices.Concat(c.loaded, c.linked) {
		err := c.eachIn(path, span, func(physical, value []byte) error {
			key, err := userKey(physical)
			if err != nil || seen[string(key)] {
				return err
			}
			seen[string(key)] = true
			if isData(physical) { // in a whole table values have their mark
				var kind export.Kind
				if kind, value, err = splitValue(value); err != nil || kind == export.Delete {
					return err
				}
			}
			o, err := decodeObject(key, value)
			objects = append(objects, o)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// eachIn visits the points of a table within physical bounds. Keys and values are valid
// until visit returns.
func (c *commit) eachIn(path string, span export.Span, visit func(physical, value []byte) error) (err error) {
	o := c.store.opts.Pebble
	r, err := tables.OpenAhead(c.ctx, o.FS, path, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	it, err := r.NewIter(sstable.NoTransforms, span.Start, span.End, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for kv := it.SeekGE(span.Start, 0); kv != nil; kv = it.Next() {
		value, _, err := kv.Value(nil)
		if err == nil {
			err = visit(kv.K.UserKey, value)
		}
		if err != nil {
			return err
		}
	}
	return it.Error()
}

// bounds are the first and the last user key of a table.
func (c *commit) bounds(path string) (first, last []byte, err error) {
	o := c.store.opts.Pebble
	r, err := tables.OpenAhead(c.ctx, o.FS, path, o)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if kv := it.First(); kv != nil {
		if first, err = userKey(kv.K.UserKey); err != nil {
			return nil, nil, err
		}
		first = bytes.Clone(first)
	}
	if kv := it.Last(); kv != nil {
		if last, err = userKey(kv.K.UserKey); err != nil {
			return nil, nil, err
		}
		last = bytes.Clone(last)
	}
	return first, last, it.Error()
}

// linkedTable is a whole table, and the rows that fall into it.
type linkedTable struct {
	path        string
	first, last []byte
	rows        []row
}

// divide gives each row to the whole table into which it falls, and returns the others.
// Tables and rows that overlap could not become part of the database in one step.
func (c *commit) divide(rows []row) (left []row, linked []linkedTable, err error) {
	for _, path := range c.linked {
		t := linkedTable{path: path}
		if t.first, t.last, err = c.bounds(path); err != nil {
			return nil, nil, err
		}
		linked = append(linked, t)
	}
	slices.SortFunc(linked, func(a, b linkedTable) int { return strings.Compare(string(a.first), string(b.first)) })
	for _, r := range rows {
		i := slices.IndexFunc(linked, func(t linkedTable) bool {
			return bytes.Compare(t.first, r.key) <= 0 && bytes.Compare(r.key, t.last) <= 0
		})
		if i < 0 {
			left = append(left, r)
		} else {
			linked[i].rows = append(linked[i].rows, r)
		}
	}
	return left, linked, nil
}
