package mvcckv

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

// commitTries is how often a commit is built beside readers and writers. When each
// time somebody has read or written where it lands, the last one is built while
// everybody waits.
const commitTries = 3

// Commit implements [export.Ingester]. The versions of a load must come above all that
// was read, and their timestamp is in the tables: so it is taken, the tables are built
// with it, and if nobody has read or written in the spans meanwhile they become part
// of the database with one ingest, else they are built again.
//
// A new lineage is made durable before: a crash in between leaves the former data
// under it, of which nobody has a base or a chain, and never new data under the former
// one.
func (in *ingester) Commit(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return fmt.Errorf("commit: %w", export.ErrClosed)
	}
	if err := in.commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	in.over = true
	// The load is in the database. What this leaves behind the next ingest clears.
	_ = in.remove()
	return nil
}

func (in *ingester) commit(ctx context.Context) error {
	if err := in.store.join(ctx); err != nil {
		return err
	}
	defer in.store.running.Done()
	loaded, linked, err := in.seal()
	if err != nil {
		return err
	}
	newest, err := in.inspect(ctx, linked)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		c := &commit{ingester: in, ctx: ctx, loaded: loaded, linked: linked, alone: try == commitTries}
		done, err := c.run(newest)
		if done || err != nil {
			return err
		}
	}
}

// seal ends loading, and hands over the tables of loaders and the whole ones.
func (in *ingester) seal() (loaded, linked []string, err error) {
	levels, err := in.entries.Seal()
	if err != nil {
		return nil, nil, err
	}
	loaded = slices.Concat(levels...)
	if in.tables == nil {
		return loaded, nil, nil
	}
	levels, err = in.tables.Seal()
	return loaded, slices.Concat(levels...), err
}

// commit is one try.
type commit struct {
	*ingester
	ctx            context.Context
	loaded, linked []string
	alone          bool // mu is held throughout
	at             export.Timestamp
}

// run reports whether the load is in the database: without an error it may only have
// to be tried again.
func (c *commit) run(newest export.Timestamp) (bool, error) {
	s := c.store
	if err := s.flush(c.ctx); err != nil { // or the tables would hang on the log
		return false, err
	}
	if err := s.begin(c.ctx); err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	s.building++
	defer func() {
		s.building--
		if !s.writing() {
			s.reads.forget()
		}
	}()
	paths, err := c.build(newest)
	if err == nil {
		err = s.usable(c.ctx)
	}
	if err == nil {
		err = c.checkFree()
	}
	if err != nil {
		return false, err
	}
	if disturbed, err := c.disturbed(); disturbed || err != nil {
		return false, err
	}
	return true, c.publish(paths)
}

// build takes the timestamp and writes the tables with it, without mu unless it is
// alone. It returns the paths of all that become part of the database.
func (c *commit) build(newest export.Timestamp) ([]string, error) {
	s := c.store
	if s.clock.last.Compare(newest) < 0 { // what is linked comes from a clock ahead of this one
		if _, err := s.clock.give(newest); err != nil {
			return nil, err
		}
	}
	if err := c.clearCatalog(); err != nil {
		return nil, err
	}
	// Who has a timestamp to write at already must not write here below that of the load.
	for _, span := range c.guarded() {
		s.reads.span(span, s.clock.last)
	}
	at, err := s.clock.tick()
	if err != nil {
		return nil, err
	}
	c.at = at
	there, err := c.openCatalog()
	if err != nil {
		return nil, err
	}
	former, err := c.former()
	if err != nil {
		if there != nil {
			err = errors.Join(err, there.Close())
		}
		return nil, err
	}
	if !c.alone {
		s.mu.Unlock()
		defer s.mu.Lock()
	}
	b := builder{
		store: s, ctx: c.ctx, at: at, dir: s.opts.Pebble.FS.PathJoin(c.dir, "built"),
		staged: staged{store: s, ctx: c.ctx, paths: c.loaded}, former: former,
	}
	rows, err := c.catalogRows(there)
	if err == nil {
		b.rows, b.linked, err = c.divide(rows)
	}
	if err != nil {
		return nil, errors.Join(err, b.closeFormer())
	}
	return b.build()
}

// former are cursors over what is to be replaced, span by span. It needs mu.
func (c *commit) former() ([]*cursor, error) {
	if !c.replace {
		return nil, nil
	}
	spans := slices.Clone(c.spans)
	slices.SortFunc(spans, func(a, b export.Span) int { return slices.Compare(a.Start, b.Start) })
	var all []*cursor
	for _, span := range spans {
		cur := &cursor{ctx: c.ctx, span: span, seen: visible{until: c.at}}
		if err := cur.open(c.store, span, false); err != nil {
			for _, opened := range all {
				err = errors.Join(err, opened.Close())
			}
			return nil, err
		}
		all = append(all, cur)
	}
	return all, nil
}

// checkFree says what is in the way: locks, data in spans that must be empty, or
// versions that would hide linked ones. It needs mu.
func (c *commit) checkFree() error {
	s := c.store
	if err := c.clearCatalog(); err != nil {
		return err
	}
	for _, span := range c.spans {
		if met := s.locksIn(span, endOfTime(), nil); len(met) > 0 {
			return &export.LockedError{Span: span, Key: []byte(met[0].key), Holder: met[0].holder.name}
		}
	}
	if err := c.checkEmpty(c.ctx); err != nil || len(c.linked) == 0 {
		return err
	}
	versions, err := s.anyVersion(c.ctx)
	if err == nil && versions {
		err = &export.NotEmptyError{Span: c.spans[0]}
	}
	return err
}

// disturbed reports whether somebody has read or written in the spans at or after the
// timestamp of the load. It needs mu.
func (c *commit) disturbed() (bool, error) {
	if c.alone {
		return false, nil
	}
	for _, span := range c.guarded() {
		if c.store.reads.newestIn(span).Compare(c.at) >= 0 {
			return true, nil
		}
		written, err := c.store.anyIn(c.ctx, span, c.at)
		if written || err != nil {
			return written, err
		}
	}
	return false, nil
}

// publish makes the tables part of the database, durably. It needs mu.
func (c *commit) publish(paths []string) error {
	s := c.store
	former := s.meta
	for _, o := range c.published { // durable by its row
		s.meta.LastID = max(s.meta.LastID, o.ID)
	}
	if c.lineage != "" {
		m := s.meta
		m.Lineage, m.Oldest = c.lineage, c.at
		if err := s.saveMeta(m); err != nil {
			return err
		}
	}
	if len(paths) > 0 {
		if err := s.db.Ingest(c.ctx, paths); err != nil {
			if c.lineage != "" {
				err = errors.Join(err, s.saveMeta(former))
			}
			return err
		}
	}
	if c.lineage != "" {
		s.forgetLineage()
	}
	if c.bringsCatalog() {
		return s.passIDs()
	}
	return nil
}

// forgetLineage drops the snapshots of a history that has ended. One that stays behind
// after a crash is of no use, and is dropped by the next. It needs mu.
func (s *Store) forgetLineage() {
	for _, k := range s.named {
		if k.record.Lineage != s.meta.Lineage {
			_ = s.db.Delete(snapshotKey(k.name), pebble.NoSync)
			k.released = true
			s.dropUnused(k)
		}
	}
}
