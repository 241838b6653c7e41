package mvcckv

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

// ErrNotFound is returned by Get where a key has no value.
var ErrNotFound = errors.New("key not found")

// Get is a copy of the value of key, or an error that wraps [ErrNotFound]. A
// *[RetryError] says that another open transaction has locked the key.
func (t *Tx) Get(ctx context.Context, key []byte) ([]byte, error) {
	value, err := t.get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("get %q: %w", key, err)
	}
	return value, nil
}

func (t *Tx) get(ctx context.Context, key []byte) ([]byte, error) {
	it, seen, err := t.openKey(ctx, key)
	if err != nil {
		return nil, err
	}
	value, err := firstValue(it, seen)
	return value, errors.Join(err, it.Close())
}

// openKey notes the read and opens an iterator over the versions of key, both before
// anybody can lock it.
func (t *Tx) openKey(ctx context.Context, key []byte) (*pebble.Iterator, visible, error) {
	s := t.store
	if err := t.enter(ctx); err != nil {
		return nil, visible{}, err
	}
	defer s.mu.Unlock()
	if s.writing() {
		s.reads.key(key, t.read)
	}
	err := s.pass(ctx, func() []lock { return s.lockAt(key, t.read, t) }, t.settle)
	if err == nil {
		err = t.ended()
	}
	if err != nil {
		return nil, visible{}, err
	}
	it, err := s.iterate(ctx, single(key), nil)
	return it, t.sees(), err
}

// visible says which versions a reader sees.
type visible struct{ until, own export.Timestamp }

// sees is what t sees: what was committed when it began, and what it has written. No
// other transaction writes at its timestamp.
func (t *Tx) sees() visible { return visible{until: t.read, own: t.write} }

func (v visible) has(t export.Timestamp) bool {
	return t.Compare(v.until) <= 0 || t == v.own
}

func firstValue(it *pebble.Iterator, seen visible) ([]byte, error) {
	for ok := it.First(); ok; ok = it.Next() {
		if !isData(it.Key()) {
			continue
		}
		_, at, err := splitVersion(it.Key())
		if err != nil {
			return nil, err
		}
		if !seen.has(at) {
			continue
		}
		stored, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		kind, value, err := splitValue(stored)
		if err == nil && kind == export.Delete {
			err = ErrNotFound
		}
		return append([]byte{}, value...), err
	}
	return nil, errors.Join(it.Error(), ErrNotFound)
}

// newest is the timestamp of the newest version of key, zero if there is none. It
// needs mu.
func (s *Store) newest(key []byte) (export.Timestamp, error) {
	it, err := s.iterate(context.Background(), single(key), nil)
	if err != nil {
		return export.Timestamp{}, err
	}
	var at export.Timestamp
	for ok := it.First(); ok; ok = it.Next() {
		if isData(it.Key()) {
			_, at, err = splitVersion(it.Key())
			break
		}
	}
	return at, errors.Join(err, it.Error(), it.Close())
}

// iterate opens an iterator over the versions in span. It needs mu.
func (s *Store) iterate(ctx context.Context, span export.Span, filters []pebble.BlockPropertyFilter) (*pebble.Iterator, error) {
	return s.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound:      bareBound(span.Start),
		UpperBound:      bareBound(span.End),
		PointKeyFilters: filters,
	})
}

// Scan opens a cursor over what the transaction sees in span, as Sets that ascend by
// key. What it writes later does not show there. A *[RetryError] says that another
// open transaction has locked a key of span. The cursor must be closed.
func (t *Tx) Scan(ctx context.Context, span export.Span) (export.Cursor, error) {
	c, err := t.scan(ctx, span)
	if err != nil {
		return nil, fmt.Errorf("scan %s: %w", span, err)
	}
	return c, nil
}

func (t *Tx) scan(ctx context.Context, span export.Span) (*cursor, error) {
	s := t.store
	if err := t.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	err := t.pass(ctx, span)
	if err == nil {
		err = t.ended()
	}
	if err != nil {
		return nil, err
	}
	it, err := s.iterate(ctx, span, nil)
	if err != nil {
		return nil, err
	}
	return &cursor{ctx: ctx, it: it, span: span, seen: t.sees()}, nil
}
