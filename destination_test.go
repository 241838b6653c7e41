package varve_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/faultblob"
)

// destination is something to restore into.
type destination struct {
	name   string
	store  export.Store
	opened func() export.Store // to see what is there, once it was restored
	after  func(s *scribe)     // may be nil
}

func (s *scribe) pebbleOptions() *pebble.Options {
	if s.mvcc {
		return suffixOptions()
	}
	return &pebble.Options{}
}

func (s *scribe) destinations() []destination {
	s.Helper()
	same := func(store export.Store) func() export.Store { return func() export.Store { return store } }
	entries := newStore(s, &memkv.Options{Order: s.order, SingleRevision: true})
	open := newPebbleEngine(s, s.pebbleOptions(), pebblekv.Options{})
	linked := unopenedPebble(s, s.pebbleOptions(), pebblekv.Options{})
	stacked := unopenedPebble(s, s.pebbleOptions(), pebblekv.Options{})
	// Layers stay on one another, as they were linked, until all are compacted.
	linked.popts.DisableAutomaticCompactions = true
	stacked.popts.DisableAutomaticCompactions = true
	out := []destination{
		{"entries", entries, same(entries), nil},
		{"an open database", open, same(open), func(s *scribe) { require.NoError(s, open.close()) }},
		{"a directory", linked.folder(), linked.reopened(s), linked.requireUncovered},
		{"a directory of two levels", &shallow{stacked.folder(), 2}, stacked.reopened(s), stacked.requireUncovered},
	}
	if !s.mvcc {
		revisions := newStore(s, nil)
		out = append(out, destination{"revisions", revisions, same(revisions), nil})
	}
	return out
}

func (p *pebbleEngine) reopened(s *scribe) func() export.Store {
	return func() export.Store {
		require.NoError(s, p.open())
		return p
	}
}

// requireUncovered deletes every key as an application may that has set it once:
// nothing older comes back.
func (p *pebbleEngine) requireUncovered(s *scribe) {
	s.Helper()
	for _, e := range s.content(p) {
		if e.Kind == export.Set {
			require.NoError(s, p.db.SingleDelete(e.Key, pebble.NoSync))
		}
	}
	require.NoError(s, p.db.Compact(s.Context(), s.key(0, 0), s.key(modelNames+10, 0), false))
	for _, e := range s.content(p) {
		require.NotEqual(s, export.Set, e.Kind, "%q came back", e.Key)
	}
	require.NoError(s, p.close())
}

// TestSingleDeleteAfterLayeredRestore: a key that lies in several layers, which were
// linked over one another, is gone for good when it is deleted as one that was set
// once: the sets of the upper layers hide what is below also then.
func TestSingleDeleteAfterLayeredRestore(t *testing.T) {
	t.Parallel()
	c := collectionIn(t, faultblob.New(t, nil), nil)
	from := newPebbleEngine(t, &pebble.Options{}, pebblekv.Options{})
	for _, value := range []string{"first", "second", "third"} {
		for i := range 100 {
			require.NoError(t, from.db.Set(fmt.Appendf(nil, "key-%03d", i), []byte(value), pebble.NoSync))
		}
		opts := new(varve.BackupOptions)
		if value != "first" {
			opts.Into = varve.Latest
		}
		_, err := c.Backup(t.Context(), varve.Cluster(from), opts)
		require.NoError(t, err)
	}
	// Compactions that come by themselves would leave one set of each key.
	to := unopenedPebble(t, &pebble.Options{DisableAutomaticCompactions: true}, pebblekv.Options{})
	_, err := c.Restore(t.Context(), varve.Cluster(to.folder()), nil)
	require.NoError(t, err)
	require.NoError(t, to.open())
	for i := range 100 {
		require.NoError(t, to.db.SingleDelete(fmt.Appendf(nil, "key-%03d", i), pebble.NoSync))
	}
	require.NoError(t, to.db.Compact(t.Context(), []byte("a"), []byte("z"), false))
	it, err := to.db.NewIter(nil)
	require.NoError(t, err)
	left, key := it.First(), string(it.Key())
	require.NoError(t, it.Close())
	require.False(t, left, "%q came back", key)
}

// shallow is a destination that takes fewer levels of tables than it could.
type shallow struct {
	export.Store
	levels int
}

type shallowIngester struct {
	export.Ingester
	export.TableLoader
	levels int
}

func (d *shallow) Ingest(ctx context.Context, opts export.IngestOptions) (export.Ingester, error) {
	in, err := d.Store.Ingest(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &shallowIngester{in, in.(export.TableLoader), d.levels}, nil
}

func (i *shallowIngester) TableSupport() export.TableSupport {
	t := i.TableLoader.TableSupport()
	t.Levels = i.levels
	return t
}

// check restores a page into everything, by one of its names each time, and climbs
// all levels of Verify.
func (s *scribe) check(p *page) {
	s.Helper()
	want, digested := clip(s.order, p.state, p.spans), p.Manifest.Digest != nil
	s.verify(p)
	s.read(p)
	for _, d := range s.destinations() {
		opts := s.named(p)
		opts.Prove = digested && s.rng.IntN(2) == 0
		r, err := s.c.Restore(s.Context(), p.targets(d.store), opts)
		require.NoError(s, err, "%s into %s", s.what, d.name)
		require.Contains(s, s.likes(p), r.From.ID)
		if opts.Prove {
			require.Equal(s, varve.ProofDigest, r.Proof)
		}
		s.same(want, s.holds(d.opened(), everywhere), fmt.Sprintf("%s from %s into %s", s.what, p.Stats.Changes, d.name))
		if d.after != nil {
			d.after(s)
		}
	}
	s.part(p)
}

// named calls the page by its ID, its path, or its end and the name of a later one.
func (s *scribe) named(p *page) *varve.RestoreOptions {
	later := s.layers[s.rng.IntN(len(s.layers))]
	switch how := s.rng.IntN(3); {
	case how == 0:
		return &varve.RestoreOptions{From: p.Path}
	case how == 1 && later.below(p):
		return &varve.RestoreOptions{From: later.ID, AsOf: p.End}
	}
	return &varve.RestoreOptions{From: p.ID}
}

// likes are the IDs of what has the state of a page: it, and what stands for it, or it for.
func (s *scribe) likes(p *page) []string {
	ids := []string{p.ID}
	for _, q := range s.layers {
		if q.stands == p || p.stands == q || p.stands != nil && q.stands == p.stands {
			ids = append(ids, q.ID)
		}
	}
	return ids
}

func (s *scribe) verify(p *page) {
	s.Helper()
	level := varve.VerifyOrder
	if p.Manifest.Digest != nil {
		level = varve.VerifyRehearsal
	}
	scratch := newPebbleEngine(s, s.pebbleOptions(), pebblekv.Options{})
	_, err := s.c.Verify(s.Context(), p.ID, &varve.VerifyOptions{Level: level, Scratch: scratch})
	require.NoError(s, err, "%s from %s", s.what, p.Stats.Changes)
	require.NoError(s, scratch.close())
}

// merged is the page as it comes out of the simplest restore.
func (s *scribe) merged(p *page) []export.Entry {
	s.Helper()
	dst := newStore(s, &memkv.Options{Order: s.order, SingleRevision: true})
	_, err := s.c.Restore(s.Context(), p.targets(dst), &varve.RestoreOptions{From: p.ID})
	require.NoError(s, err)
	return dst.State(varve.Span{})
}

// part restores a part of what was backed up, beside nothing else.
func (s *scribe) part(p *page) {
	s.Helper()
	var parts []varve.Span
	for _, a := range s.spans() {
		for _, b := range p.spans {
			if part, ok := a.Intersect(s.order, b); ok {
				parts = append(parts, part)
			}
		}
	}
	if len(parts) == 0 {
		return
	}
	dst := newPebbleEngine(s, s.pebbleOptions(), pebblekv.Options{})
	_, err := s.c.Restore(s.Context(), varve.Spans(dst, parts...), s.named(p))
	require.NoError(s, err)
	s.same(clip(s.order, p.state, parts), s.holds(dst, everywhere), fmt.Sprintf("the parts %s", parts))
	require.NoError(s, dst.close())
}

// within are the entries of a state in spans, which cut its range keys.
func within(order *export.Order, state []export.Entry, spans []varve.Span) (all []export.Entry) {
	for _, span := range spans {
		all = append(all, kvtest.Clip(order, kvtest.Timeless(state), span)...)
	}
	return all
}
