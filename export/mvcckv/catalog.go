package mvcckv

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/varvekv/varve/export"
)

// The catalog is rows like any other, so that it has their history, their transactions
// and their backups:
//
//	\xff\x00varve/o <id>              what the object is
//	\xff\x00varve/n <parent> <name>   its ID: two of one name conflict here
//	\xff\x00varve/p <parent>          written by who puts an object into another, and by
//	                                  who drops that one: these conflict here
//	\xffo <id> <index>                begins the keys of a span of an object
//
// IDs have eight bytes, indexes four. A span of an object is never used again: one that
// is truncated goes on with indexes of its own that it never had.
const (
	catalogPrefix = "\xff\x00varve/"
	objectRows    = catalogPrefix + "o"
	nameRows      = catalogPrefix + "n"
	parentRows    = catalogPrefix + "p"
	dataPrefix    = "\xffo"
)

func catalogSpan() export.Span { return export.PrefixSpan([]byte(catalogPrefix)) }

func objectKey(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte(objectRows), id) }

func nameKey(parent uint64, name string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte(nameRows), parent), name...)
}

func parentKey(parent uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(parentRows), parent)
}

// objectPrefix begins the keys of a span.
func objectPrefix(id uint64, index uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64([]byte(dataPrefix), id), index)
}

const objectPrefixLength = len(dataPrefix) + 8 + 4

// splitPrefix is whose span begins with key, and which.
func splitPrefix(key []byte) (id uint64, index uint32, ok bool) {
	if len(key) < objectPrefixLength || string(key[:len(dataPrefix)]) != dataPrefix {
		return 0, 0, false
	}
	rest := key[len(dataPrefix):]
	return binary.BigEndian.Uint64(rest), binary.BigEndian.Uint32(rest[8:]), true
}

// isOwn reports whether a span is one that this package has made for an object.
func isOwn(span export.Span, id uint64) bool {
	of, index, ok := splitPrefix(span.Start)
	return ok && of == id && isSpan(span, objectPrefix(id, index))
}

func isSpan(span export.Span, prefix []byte) bool {
	want := export.PrefixSpan(prefix)
	return string(span.Start) == string(want.Start) && string(span.End) == string(want.End)
}

// addSpans gives o spans under its own ID that it never had.
func addSpans(o *export.Object, n int) {
	var next uint32
	for _, s := range o.Spans {
		if isOwn(s, o.ID) {
			_, index, _ := splitPrefix(s.Start)
			next = max(next, index+1)
		}
	}
	for range n {
		o.Spans = append(o.Spans, export.PrefixSpan(objectPrefix(o.ID, next)))
		next++
	}
}

// KeyPrefix begins the keys of the span of an object with that index: 0 is that of its
// rows, 1 that of the first index. It is the caller's.
func KeyPrefix(o export.Object, index int) []byte {
	return append([]byte(nil), o.Spans[index].Start...)
}

// isCatalog reports whether key is that of a row of the catalog.
func isCatalog(key []byte) bool { return bytes.HasPrefix(key, []byte(catalogPrefix)) }

var errCatalogKey = errors.New("the key is one of the catalog, which transactions change by its objects")

// objectRow is what is stored of an object.
type objectRow struct {
	Parent     uint64              `json:"parent,omitempty"`
	Kind       string              `json:"kind"`
	Name       string              `json:"name"`
	Spans      []export.Span       `json:"spans,omitempty"`
	Definition []byte              `json:"definition,omitempty"`
	Grants     []byte              `json:"grants,omitempty"`
	Needs      []export.Dependency `json:"needs,omitempty"`
	Regions    []string            `json:"regions,omitempty"`
	System     bool                `json:"system,omitempty"`
}

func encodeObject(o export.Object) ([]byte, error) {
	return json.Marshal(objectRow{
		Parent: o.Parent, Kind: o.Kind, Name: o.Name, Spans: o.Spans, Definition: o.Definition,
		Grants: o.Grants, Needs: o.Needs, Regions: o.Regions, System: o.System,
	})
}

// decodeObject takes a row apart. The object shares no bytes with it.
func decodeObject(key, value []byte) (export.Object, error) {
	if len(key) != len(objectRows)+8 {
		return export.Object{}, fmt.Errorf("key %q is not that of an object", key)
	}
	id := binary.BigEndian.Uint64(key[len(objectRows):])
	var r objectRow
	if err := json.Unmarshal(value, &r); err != nil {
		return export.Object{}, fmt.Errorf("object %d: %w", id, err)
	}
	return export.Object{
		ID: id, Parent: r.Parent, Kind: r.Kind, Name: r.Name, Spans: r.Spans, Definition: r.Definition,
		Grants: r.Grants, Needs: r.Needs, Regions: r.Regions, System: r.System,
	}, nil
}

func encodeID(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// readObjects is the objects among what a cursor yields, which it closes.
func readObjects(c export.Cursor) (objects []export.Object, err error) {
	defer func() { err = errors.Join(err, c.Close()) }()
	for c.Next() {
		o, err := decodeObject(c.Entry().Key, c.Entry().Value)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, c.Err()
}

// reserveIDs gives n IDs that nobody had, after the one that it returns. That is durable
// before anybody uses one. It needs mu.
func (s *Store) reserveIDs(n uint64) (uint64, error) {
	m := s.meta
	if m.LastID > math.MaxUint64-n {
		return 0, errors.New("there are no more IDs")
	}
	m.LastID += n
	if err := s.saveMeta(m); err != nil {
		return 0, err
	}
	return m.LastID - n, nil
}

// passIDs moves beyond the IDs of rows that were loaded: they are durable as these are.
// It needs mu, or nobody else to be there.
func (s *Store) passIDs() error {
	it, err := s.iterate(context.Background(), export.PrefixSpan([]byte(objectRows)), nil)
	if err != nil {
		return err
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		if !isData(it.Key()) {
			continue
		}
		key, _, err := splitVersion(it.Key())
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if len(key) == len(objectRows)+8 {
			s.meta.LastID = max(s.meta.LastID, binary.BigEndian.Uint64(key[len(objectRows):]))
			break
		}
	}
	return errors.Join(it.Error(), it.Close())
}
