package mvcckv

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

// Put gives key the value, and locks it: others who want to write to it, or to read
// it from now on, have to give way until the transaction ends. A *[RetryError] says
// that this one has to. Lock and value are in the log when it returns, and durable
// with the next commit of anybody.
func (t *Tx) Put(ctx context.Context, key, value []byte) error {
	if err := t.putRow(ctx, key, liveValue(value)); err != nil {
		return fmt.Errorf("put %q: %w", key, err)
	}
	return nil
}

// Delete removes key, whether it is there or not. It is Put in all else.
func (t *Tx) Delete(ctx context.Context, key []byte) error {
	if err := t.putRow(ctx, key, nil); err != nil {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	return nil
}

// DeleteRange removes each key that the transaction sees in [start, end), by itself;
// an empty end reaches to the last key. Keys that others write there meanwhile stay, and
// so do the rows of the catalog.
func (t *Tx) DeleteRange(ctx context.Context, start, end []byte) error {
	span := export.Span{Start: start, End: end}
	if err := t.deleteRange(ctx, span); err != nil {
		return fmt.Errorf("delete range %s: %w", span, err)
	}
	return nil
}

func (t *Tx) deleteRange(ctx context.Context, span export.Span) (err error) {
	if span.IsEmpty(nil) {
		return nil
	}
	c, err := t.Scan(ctx, span)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for c.Next() {
		if isCatalog(c.Entry().Key) {
			continue
		}
		if err := t.put(ctx, c.Entry().Key, nil); err != nil {
			return err
		}
	}
	return c.Err()
}

// putRow is put of a key that is the application's.
func (t *Tx) putRow(ctx context.Context, key, stored []byte) error {
	if isCatalog(key) {
		return errCatalogKey
	}
	return t.put(ctx, key, stored)
}

func (t *Tx) put(ctx context.Context, key, stored []byte) error {
	if err := t.enter(ctx); err != nil {
		return err
	}
	defer t.store.mu.Unlock()
	if t.past {
		return errReadOnly
	}
	if !t.keys[string(key)] {
		if err := t.acquire(ctx, key); err != nil {
			return err
		}
	}
	b := t.store.db.NewBatch()
	if err := t.putLocks(b, string(key)); err != nil {
		return err
	}
	if err := b.Set(versionKey(nil, key, t.write), stored, nil); err != nil {
		return err
	}
	if err := t.store.apply(b); err != nil {
		return err
	}
	t.lock(key)
	return nil
}

// acquire sees to it that t may lock key: nobody else has, nobody has written to it
// since t began, and nobody has read it at or above the timestamp that t writes at. It
// needs mu, which it may let go of; t is running still when it returns nil.
func (t *Tx) acquire(ctx context.Context, key []byte) error {
	s := t.store
	if err := s.pass(ctx, func() []lock { return s.lockAt(key, endOfTime(), t) }, t.settle); err != nil {
		return err
	}
	if err := t.ended(); err != nil {
		return err
	}
	newest, err := s.newest(key)
	if err != nil {
		return err
	}
	if newest.Compare(t.read) > 0 {
		return &RetryError{Conflict: WrittenSince, Key: append([]byte(nil), key...)}
	}
	if t.write.IsZero() {
		t.write, err = s.clock.tick()
		return err
	}
	if s.reads.newest(key).Compare(t.write) >= 0 {
		return t.move()
	}
	return nil
}

// move takes what t has written to a new timestamp, above all that was read.
func (t *Tx) move() error {
	s := t.store
	from := t.write
	to, err := s.clock.tick()
	if err != nil {
		return err
	}
	b := s.db.NewBatch()
	for key := range t.keys {
		if err := s.moveVersion(b, []byte(key), from, to); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	keys := make([]string, 0, len(t.keys))
	for key := range t.keys {
		keys = append(keys, key)
	}
	t.write = to
	err = t.putLocks(b, keys...)
	if err == nil {
		err = s.apply(b)
	}
	if err != nil {
		t.write = from
	}
	return err
}

func (s *Store) moveVersion(b *pebble.Batch, key []byte, from, to export.Timestamp) error {
	stored, closer, err := s.db.Get(versionKey(nil, key, from))
	if err != nil {
		return err
	}
	err = errors.Join(
		b.Set(versionKey(nil, key, to), stored, nil),
		b.Delete(versionKey(nil, key, from), nil),
	)
	return errors.Join(err, closer.Close())
}
