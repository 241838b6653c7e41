package mvcckv

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

// collectBytes is how large a batch of removals gets.
const collectBytes = 1 << 20

// Collect forgets what only readers before the timestamp could tell apart, and is the
// new Info.Oldest: before, or as near to it as snapshots, open transactions and the
// clock let it be. It reads the whole store. That history is gone is durable before
// any of it is; where Collect ends early, or the process does, the next one removes
// what is left.
//
// It also deletes, at a timestamp of its own, what dropped and truncated objects have left
// under their prefixes: a later Collect forgets that.
func (s *Store) Collect(ctx context.Context, before export.Timestamp) (export.Timestamp, error) {
	oldest, err := s.collect(ctx, before)
	if err != nil {
		return oldest, fmt.Errorf("collect before %s: %w", before, err)
	}
	return oldest, nil
}

func (s *Store) collect(ctx context.Context, before export.Timestamp) (export.Timestamp, error) {
	if err := s.sweep(ctx); err != nil {
		return export.Timestamp{}, err
	}
	it, oldest, err := s.openGarbage(ctx, before)
	if err != nil {
		return oldest, err
	}
	defer s.running.Done()
	g := garbage{store: s, ctx: ctx, it: it, oldest: oldest, batch: s.db.NewBatch()}
	return oldest, errors.Join(g.remove(), it.Close(), g.batch.Close())
}

// openGarbage moves the threshold as far as it may, and opens an iterator in which
// nothing up to there is provisional.
func (s *Store) openGarbage(ctx context.Context, before export.Timestamp) (*pebble.Iterator, export.Timestamp, error) {
	if err := s.begin(ctx); err != nil {
		return nil, export.Timestamp{}, err
	}
	defer s.mu.Unlock()
	now, err := s.clock.present()
	if err != nil {
		return nil, s.meta.Oldest, err
	}
	dying := func() []lock { return s.locksIn(export.Span{}, s.protected(earlier(before, now)), nil) }
	push := func(l lock) error { return s.push(l.holder, l.key, "a collection") }
	if err := s.pass(ctx, dying, push); err != nil {
		return nil, s.meta.Oldest, err
	}
	m := s.meta
	m.Oldest = later(m.Oldest, s.protected(earlier(before, now)))
	if err := s.saveMeta(m); err != nil {
		return nil, s.meta.Oldest, err
	}
	it, err := s.iterate(ctx, export.Span{}, nil)
	if err == nil {
		s.running.Add(1)
	}
	return it, m.Oldest, err
}

// garbage is what no reader at oldest or later can tell apart.
type garbage struct {
	store  *Store
	ctx    context.Context
	it     *pebble.Iterator
	oldest export.Timestamp
	batch  *pebble.Batch

	key       []byte
	covered   bool   // a version of key at or before oldest was seen
	tombstone []byte // that version, if it is a deletion
	steps     int
}

func (g *garbage) remove() error {
	for ok := g.it.First(); ok; ok = g.it.Next() {
		if g.steps%checkEvery == 0 && g.ctx.Err() != nil {
			return g.ctx.Err()
		}
		g.steps++
		if !isData(g.it.Key()) {
			continue
		}
		if err := g.look(); err != nil {
			return err
		}
	}
	return errors.Join(g.it.Error(), g.endKey(), g.flush(pebble.Sync))
}

func (g *garbage) look() error {
	key, at, err := splitVersion(g.it.Key())
	if err != nil {
		return err
	}
	if string(key) != string(g.key) {
		if err := g.endKey(); err != nil {
			return err
		}
		g.key, g.covered = append(g.key[:0], key...), false
	}
	switch {
	case at.Compare(g.oldest) > 0:
		return nil
	case g.covered:
		return g.drop(g.it.Key())
	}
	g.covered = true
	stored, err := g.it.ValueAndErr()
	if err == nil && len(stored) == 0 {
		g.tombstone = append(g.tombstone[:0], g.it.Key()...)
	}
	return err
}

// endKey drops a deletion after what it covers, so that at no moment, and after no
// crash, that shows again.
func (g *garbage) endKey() error {
	if len(g.tombstone) == 0 {
		return nil
	}
	err := g.drop(g.tombstone)
	g.tombstone = g.tombstone[:0]
	return err
}

// drop removes one version: by its own key, for a range deletion would be out of sight
// to an iterator that goes by time.
func (g *garbage) drop(physical []byte) error {
	if err := g.batch.Delete(physical, nil); err != nil || g.batch.Len() < collectBytes {
		return err
	}
	return g.flush(pebble.NoSync)
}

func (g *garbage) flush(how *pebble.WriteOptions) error {
	if g.batch.Empty() {
		return nil
	}
	if err := g.batch.Commit(how); err != nil {
		return err
	}
	err := g.batch.Close()
	g.batch = g.store.db.NewBatch()
	return err
}
