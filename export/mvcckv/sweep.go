package mvcckv

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/varvekv/varve/export"
)

// sweepKeys is how many keys one transaction of a sweep deletes.
const sweepKeys = 1000

// sweep deletes what dropped and truncated objects have left: as any writer would, so
// that it stays readable as of before, and backups learn of it.
func (s *Store) sweep(ctx context.Context) error {
	last, claimed, err := s.claims(ctx)
	if err != nil || last == 0 {
		return err
	}
	for from := []byte(dataPrefix); ; {
		prefix, err := s.nextPrefix(ctx, from)
		if err != nil || prefix == nil {
			return err
		}
		from = export.PrefixSpan(prefix).End
		if id, _, _ := splitPrefix(prefix); id > last || claimed[string(prefix)] {
			continue
		}
		if err := s.sweepPrefix(ctx, prefix); err != nil {
			return fmt.Errorf("sweep what object %x has left: %w", prefix, err)
		}
	}
}

// claims are the prefixes that objects have now, committed or not, and the greatest ID
// that was given before. Nothing is deleted of an object with a greater one, which may be
// new.
func (s *Store) claims(ctx context.Context) (last uint64, claimed map[string]bool, err error) {
	if err := s.join(ctx); err != nil {
		return 0, nil, err
	}
	defer s.running.Done()
	span := export.PrefixSpan([]byte(objectRows))
	c := &cursor{ctx: ctx, span: span, seen: visible{until: endOfTime()}}
	s.mu.Lock()
	last = s.meta.LastID
	err = c.open(s, span, false)
	s.mu.Unlock()
	if err != nil {
		return 0, nil, err
	}
	objects, err := readObjects(c)
	if err != nil {
		return 0, nil, err
	}
	claimed = map[string]bool{}
	for _, o := range objects {
		for _, span := range o.Spans {
			claimed[string(span.Start)] = true
		}
	}
	return last, claimed, nil
}

// nextPrefix is that of the first version at or after from, nil if there is none.
func (s *Store) nextPrefix(ctx context.Context, from []byte) (prefix []byte, err error) {
	if err := s.join(ctx); err != nil {
		return nil, err
	}
	defer s.running.Done()
	span := export.Span{Start: from, End: export.PrefixSpan([]byte(dataPrefix)).End}
	if span.IsEmpty(nil) {
		return nil, nil
	}
	it, err := s.iterate(ctx, span, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		if !isData(it.Key()) {
			continue
		}
		key, _, err := splitVersion(it.Key())
		if err != nil {
			return nil, err
		}
		if _, _, ok := splitPrefix(key); ok {
			return append([]byte(nil), key[:objectPrefixLength]...), nil
		}
	}
	return nil, it.Error()
}

// sweepPrefix deletes all under a prefix that no object has. A prefix that one had is
// never given again, so what a transaction sees under it is of no object either.
func (s *Store) sweepPrefix(ctx context.Context, prefix []byte) error {
	opts := &TxOptions{Name: "a collection", Priority: math.MaxInt}
	for {
		more := false
		_, err := s.Update(ctx, opts, func(t *Tx) (err error) {
			more, err = t.sweep(ctx, prefix)
			return err
		})
		if err != nil || !more {
			return err
		}
	}
}

// sweep reports whether there may be more to delete.
func (t *Tx) sweep(ctx context.Context, prefix []byte) (more bool, err error) {
	id, _, _ := splitPrefix(prefix)
	span := export.PrefixSpan(prefix)
	o, err := t.object(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	if slices.ContainsFunc(o.Spans, func(s export.Span) bool { return s.Overlaps(nil, span) }) {
		return false, nil
	}
	c, err := t.scan(ctx, span)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for range sweepKeys {
		if !c.Next() {
			return false, c.Err()
		}
		if err := t.put(ctx, c.Entry().Key, nil); err != nil {
			return false, err
		}
	}
	return true, nil
}
