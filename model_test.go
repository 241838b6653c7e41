package varve_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/faultblob"
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "begin with the history of this seed; 0: others each time")
	modelCount = flag.Int("model.count", 0, "how many random histories to try; 0: as many as there is time for")
	modelTime  = flag.Duration("model.time", 25*time.Second, "how long to try random histories")
)

// TestModel takes random histories of random stores and backs them up with random
// options while they are written to: in chains that fork, whose targets change, of
// stores that crash, are rolled back, moved, or lose what the next backup would be
// compared with. Each layer is restored into everything that takes it (I2, I5, I13).
// What comes out must be what the model held at the moment of the snapshot. The
// history of a seed is the same each time, but for how far writers got while a backup
// ran, and for what a database did by itself.
func TestModel(t *testing.T) {
	t.Parallel()
	limit := *modelTime
	if asserting && testing.Short() {
		limit /= 3
	}
	deadline, seed := time.Now().Add(limit), *modelSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	for n := 0; n == 0 || n != *modelCount && time.Now().Before(deadline); n++ {
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { newScribe(t, seed).run() }) {
			t.Fatalf("replay with: go test -run TestModel . -args -model.seed %d -model.count 1", seed)
		}
		seed++
	}
}

// scribe backs a history up.
type scribe struct {
	*history
	c      *varve.Collection
	layers []*page
	turned bool // the clock was set back
}

// page is a layer and what it must restore.
type page struct {
	*varve.Layer
	parent *page // nil: a full
	stands *page // for which it stands; nil: it was backed up
	spans  []varve.Span
	state  []export.Entry
}

func newScribe(t *testing.T, seed uint64) *scribe {
	s := &scribe{history: newHistory(t, seed)}
	opts := &varve.CollectionOptions{Now: s.clock.now}
	if s.order != nil {
		opts.Orders = []export.Order{*s.order}
	}
	s.c = collectionIn(t, faultblob.New(t, nil), opts)
	return s
}

func (s *scribe) run() {
	s.writes(s.rng.IntN(800))
	for range 2 + s.rng.IntN(7) {
		s.backup()
		if s.rng.IntN(3) == 0 {
			s.compact()
		}
		for range s.rng.IntN(3) {
			s.stir()
			s.writes(s.rng.IntN(100))
		}
	}
	changes, copied, shared := map[varve.ChangeSource]int{}, 0, 0
	for _, p := range s.layers {
		changes[p.Stats.Changes]++
		copied, shared = copied+int(min(p.Stats.CopiedBytes, 1)), shared+len(p.Manifest.Refers)
		s.check(p)
	}
	s.Logf("%s: %d layers, %v, %d of them copy tables, %d share some", s.what, len(s.layers), changes, copied, shared)
}

// stir is what happens to a store between two backups.
func (s *scribe) stir() {
	s.Helper()
	what := s.rng.IntN(10)
	s.Logf("stir %d after %d writes", what, s.past())
	switch what {
	case 0, 1:
		require.NoError(s, s.db.crash(rand.New(rand.NewPCG(s.rng.Uint64(), 0))))
		s.follow()
	case 2:
		require.NoError(s, s.db.save())
		s.saved = s.past()
	case 3:
		if _, memory := s.db.(*memEngine); memory || s.saved < 0 {
			break
		}
		require.NoError(s, s.db.rollBack())
		s.backTo(s.saved)
		s.same(clip(s.order, s.after(s.saved), everywhere), s.holds(s.db, everywhere), "rolled back")
	case 4:
		kept, err := s.db.Snapshots(s.Context())
		require.NoError(s, err)
		for _, k := range kept {
			require.NoError(s, s.db.Release(s.Context(), k.Name))
		}
	case 5:
		s.move()
	case 6:
		s.clock.set(time.Duration(s.rng.IntN(1000)-500) * time.Hour)
		s.turned = true
	}
}

// move goes on with a store that a layer was restored into, or an empty one.
func (s *scribe) move() {
	s.Helper()
	require.NoError(s, s.db.close())
	next, opts := s.fresh(), varve.RestoreOptions{}
	if len(s.layers) == 0 || s.rng.IntN(4) == 0 {
		s.begin(next, nil)
		return
	}
	p := s.layers[s.rng.IntN(len(s.layers))]
	opts.From = p.ID
	if pebble, ok := next.(*pebbleEngine); ok && s.rng.IntN(2) == 0 {
		fresh := unopenedPebble(s, pebble.popts, pebble.opts)
		_, err := s.c.Restore(s.Context(), p.targets(fresh.folder()), &opts)
		require.NoError(s, err)
		require.NoError(s, errors.Join(pebble.close(), fresh.open()))
		next = fresh
	} else {
		_, err := s.c.Restore(s.Context(), p.targets(next), &opts)
		require.NoError(s, err)
	}
	s.begin(next, p.state)
}

// targets are those of the page, in another store.
func (p *page) targets(store export.Store) varve.Targets {
	if p.Manifest.Complete {
		return varve.Cluster(store)
	}
	return varve.Spans(store, p.spans...)
}

// backup takes a layer, which must be that of one moment while it was taken, or is
// refused, if it must be.
func (s *scribe) backup() {
	s.Helper()
	targets, spans := varve.Cluster(s.db), []varve.Span{{Start: s.first()}}
	if part := s.rng.IntN(3) == 0; part || asserting {
		if part {
			spans = s.spans()
		}
		targets = varve.Spans(s.db, spans...)
	}
	opts := s.options()
	parent := s.choose(opts)
	if parent == nil && s.rng.IntN(4) > 0 {
		require.NoError(s, s.db.compact(varve.Span{Start: s.key(-1, 0), End: s.key(modelNames+9, 0)}))
	}
	want := s.refusal(parent, spans, opts)
	changes := s.changes(parent)
	before := s.past()
	layer, err := s.backupWhileWriting(targets, opts)
	s.Logf("backup between %d and %d writes, into %q by %s, refused as %T: %v", before, s.past(), opts.Into, changes, want, err)
	if want != nil {
		require.ErrorAs(s, err, want)
		return
	}
	require.NoError(s, err, "%s by %s", s.what, changes)
	p := &page{Layer: layer, parent: parent, spans: spans}
	p.state = s.moment(p, before)
	require.Equal(s, changes, layer.Stats.Changes)
	if parent != nil {
		require.Equal(s, parent.ID, layer.ParentID)
	}
	s.layers = append(s.layers, p)
	s.requireBase(p, opts)
}

func (s *scribe) options() *varve.BackupOptions {
	noDigest := s.rng.IntN(4) == 0
	return &varve.BackupOptions{
		TargetFileBytes: 1 << (8 + s.rng.IntN(12)), Compression: varve.Compression(s.rng.IntN(3)),
		Concurrency: 1 + s.rng.IntN(4), NoDigest: noDigest, Audit: s.rng.IntN(4) == 0 && !noDigest,
		NoBase: s.rng.IntN(6) == 0,
	}
}

// choose says what to extend, and is the page that this means.
func (s *scribe) choose(opts *varve.BackupOptions) *page {
	into, one := s.rng.IntN(8), s.rng.Uint64()
	if len(s.layers) == 0 || into == 0 {
		opts.Synthetic = one%2 == 0
		return nil
	}
	opts.Adopt = s.rng.IntN(4) > 0
	p := s.layers[one%uint64(len(s.layers))]
	switch into {
	case 1:
		opts.Into = p.Path
	case 2, 3:
		opts.Into = p.ID
	default:
		opts.Into = varve.Latest
		return s.latest()
	}
	if p.Full() {
		return s.newest(p)
	}
	return p
}

// latest is the page that ends the latest chain.
func (s *scribe) latest() *page {
	var full *page
	for _, p := range s.layers {
		if p.Full() && (full == nil || comparePages(p, full) > 0) {
			full = p
		}
	}
	return s.newest(full)
}

// newest ends the longest of the ways up from p. What extends a page extends those that stand
// for it.
func (s *scribe) newest(p *page) *page {
	best, depth := p, map[*page]int{p: 1}
	for _, q := range slices.SortedFunc(slices.Values(s.layers), comparePages) {
		for _, r := range s.layers {
			if depth[r] > 0 && q.parent != nil && (q.parent == r || q.parent == r.stands) {
				depth[q] = max(depth[q], depth[r]+max(1, len(q.Manifest.Covers)))
			}
		}
		first := cmp.Or(depth[q]-depth[best], q.End.Compare(best.End), len(best.Manifest.Covers)-len(q.Manifest.Covers), comparePages(q, best))
		if first > 0 {
			best = q
		}
	}
	return best
}

// below reports whether p's chain contains q.
func (p *page) below(q *page) bool {
	for ; p != nil && p != q; p = p.parent {
	}
	return p != nil
}

// comparePages orders by end, and the smaller ID is the later one.
func comparePages(p, q *page) int {
	if c := p.End.Compare(q.End); c != 0 {
		return c
	}
	return strings.Compare(q.ID, p.ID)
}

// refusal is a place for the error that a backup must end with, nil if it must not.
func (s *scribe) refusal(parent *page, spans []varve.Span, opts *varve.BackupOptions) any {
	s.Helper()
	if parent == nil {
		return nil
	}
	info, err := s.db.Info(s.Context())
	require.NoError(s, err)
	foreign := info.Lineage != parent.Manifest.Lineage
	switch {
	case foreign && !opts.Adopt:
		return new(*varve.LineageError)
	case foreign && info.Revisions:
		return new(*varve.OptionError)
	case !meet(s.order, spans, parent.spans):
		return new(*varve.TargetError)
	}
	return nil
}

func meet(order *export.Order, a, b []varve.Span) bool {
	return slices.ContainsFunc(a, func(x varve.Span) bool {
		return slices.ContainsFunc(b, func(y varve.Span) bool {
			_, ok := x.Intersect(order, y)
			return ok
		})
	})
}

// changes is how what changed must be found: by the store if it can tell, else by
// the chain.
func (s *scribe) changes(parent *page) varve.ChangeSource {
	s.Helper()
	if parent == nil {
		return varve.Everything
	}
	info, err := s.db.Info(s.Context())
	require.NoError(s, err)
	if info.Revisions {
		return varve.Revisions
	}
	if info.Lineage == parent.Manifest.Lineage && (s.keeps(parent.ID) || parent.stands != nil && s.keeps(parent.stands.ID)) {
		return varve.Checkpoints
	}
	return varve.FromChain
}

// keeps reports whether the store has a snapshot of that name.
func (s *scribe) keeps(name string) bool {
	s.Helper()
	kept, err := s.db.Snapshots(s.Context())
	require.NoError(s, err)
	return slices.ContainsFunc(kept, func(k export.SnapshotInfo) bool { return k.Name == name })
}

// requireBase wants the layer's own snapshot kept, for the next one, and not that of
// its parent. Of layers in no order, as a clock that was set back makes them, another
// one's may be the better one.
func (s *scribe) requireBase(p *page, opts *varve.BackupOptions) {
	s.Helper()
	if opts.NoBase {
		require.False(s, s.keeps(p.ID), "a base that was not wanted")
	} else if !s.turned {
		require.True(s, s.keeps(p.ID), "a base is kept")
	}
	if p.parent != nil {
		require.False(s, s.keeps(p.parent.ID), "the parent's base is kept")
	}
}

func (s *scribe) backupWhileWriting(targets varve.Targets, opts *varve.BackupOptions) (*varve.Layer, error) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	pending := s.drawn(100 >> (2 * s.rng.IntN(4)))
	go func() {
		defer close(stopped)
		for _, w := range pending {
			select {
			case <-stop:
				return
			default:
				s.write(w)
			}
		}
	}()
	layer, err := s.c.Backup(s.Context(), targets, opts)
	close(stop)
	<-stopped
	return layer, err
}

// moment is the state of a new layer, which the model had after so many writes or
// later.
func (s *scribe) moment(p *page, before int) []export.Entry {
	s.Helper()
	got := clip(s.order, s.merged(p), p.spans)
	for n := before; n <= s.past(); n++ {
		if state := s.after(n); slices.Equal(clip(s.order, state, p.spans), got) {
			return within(s.order, state, p.spans)
		}
	}
	s.same(clip(s.order, s.after(before), p.spans), got, fmt.Sprintf("%s from %s: no moment between %d and %d writes is like that; this is the first",
		s.what, p.Stats.Changes, before, s.past()))
	return nil
}
