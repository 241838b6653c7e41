package varve_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/faultblob"
)

// happening is what befalls one call of a run to the bucket.
type happening struct {
	name    string
	fault   faultblob.Fault
	only    []faultblob.Kind // calls that it can befall; nil: all
	cancel  bool             // the caller leaves before the call
	hurried bool             // the caller does not wait for an answer that is late
	dies    bool             // the process, with that call: of what comes after it nothing happens
}

func happenings() []happening {
	reads, writes := []faultblob.Kind{faultblob.Get}, []faultblob.Kind{faultblob.Put}
	return []happening{
		{name: "refused", fault: faultblob.Fault{Kind: faultblob.Denied}},
		{name: "lost", fault: faultblob.Fault{Kind: faultblob.Lost}},
		{name: "applied and reported as failed", fault: faultblob.Fault{Kind: faultblob.Applied}, only: writes},
		{name: "applied and repeated", fault: faultblob.Fault{Kind: faultblob.Repeated}, only: writes},
		{name: "truncated", fault: faultblob.Fault{Kind: faultblob.Truncated, At: 7}, only: reads},
		{name: "reset", fault: faultblob.Fault{Kind: faultblob.Reset, At: 100}, only: reads},
		{name: "later than storage may be", fault: faultblob.Fault{Kind: faultblob.Delayed}},
		{name: "later than the caller waits", fault: faultblob.Fault{Kind: faultblob.Delayed}, hurried: true},
		{name: "cancelled", cancel: true},
		{name: "killed before it", fault: faultblob.Fault{Kind: faultblob.Lost}, dies: true},
		{name: "killed after it", fault: faultblob.Fault{Kind: faultblob.Applied}, only: writes, dies: true},
	}
}

// endsRun reports whether a run that has not committed must fail.
func (h happening) endsRun() bool { return h.cancel || h.hurried || h.dies }

// patience is that of a caller in a hurry.
const patience = 30 * time.Second

// act is a verb in a situation.
type act struct {
	name  string
	begin setting
	run   func(ctx context.Context, s *scene) error
}

// mode is a kind of collection.
type mode struct {
	name string
	opts varve.BackupOptions
	keys []varve.Key
	more varve.Key // to be added
}

func modes(t testing.TB) []mode {
	first, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	second, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	keys := []varve.Key{varve.Recipient(first.Recipient().String()), varve.Identity(first.String())}
	return []mode{
		{name: "plain"},
		{name: "sealed", keys: keys, more: varve.Recipient(second.Recipient().String())},
		{name: "revisions", opts: varve.BackupOptions{RevisionHistory: true}},
	}
}

// acts are the verbs in one mode. Each scene has a full that must outlive what happens.
func (m mode) acts() []act {
	prepared := func(prepare func(*scene)) setting {
		return func(t testing.TB) *scene {
			s := newScene(t, m.opts)
			s.keys = m.keys
			require.NoError(t, s.attempt(t.Context()))
			prepare(s)
			return s
		}
	}
	chain := prepared(func(s *scene) {
		s.change(1)
		s.opts.Into = varve.Latest
		require.NoError(s, s.attempt(s.Context()))
		s.change(2)
	})
	backup := func(ctx context.Context, s *scene) error { return s.attempt(ctx) }
	all := []act{
		{"full", prepared(func(s *scene) { s.change(1) }), backup},
		{"incremental with base", chain, backup},
		{"incremental without base", prepared(func(s *scene) {
			for _, name := range s.kept() {
				require.NoError(s, s.store.Release(s.Context(), name))
			}
			s.change(1)
			s.opts.Into = varve.Latest
		}), backup},
		{"restore", chain, func(ctx context.Context, s *scene) error { return s.restoreUnseen(ctx) }},
		{"verify", chain, func(ctx context.Context, s *scene) error {
			report, err := s.collection().Verify(ctx, s.last.ID, &varve.VerifyOptions{Level: varve.VerifyDigest, Concurrency: 1})
			if report != nil {
				require.Empty(s, report.Problems, "what storage does is no problem of the layer")
			}
			return err
		}},
		{"compact the chain", prepared((*scene).deepen), func(ctx context.Context, s *scene) error {
			return s.compact(ctx, s.last.ID, varve.CompactOptions{})
		}},
	}
	if m.opts.RevisionHistory {
		return all // of which tables of a store are never copied
	}
	all = append(all, act{"synthetic full", m.shelf, backup})
	if m.keys == nil {
		all = append(all, act{"compact a window", prepared((*scene).deepen), func(ctx context.Context, s *scene) error {
			chain, err := s.collection().Resolve(ctx, s.last.ID, varve.Timestamp{})
			if err != nil || len(chain.Layers) < 2 {
				return err
			}
			return s.compact(ctx, s.last.ID, varve.CompactOptions{First: chain.Layers[1].ID})
		}})
	} else {
		all = append(all, act{"add key", chain, func(ctx context.Context, s *scene) error {
			return s.collection().AddKey(ctx, s.last.ID, m.more)
		}})
	}
	return all
}

// shelf is a scene of a database whose tables a full has copied, and of which a part was
// written again.
func (m mode) shelf(t testing.TB) *scene {
	s := newScene(t, varve.BackupOptions{Compression: varve.CompressNone, NoBase: true})
	s.keys = m.keys
	s.store = s.newStore()
	o := &pebble.Options{MemTableSize: 64 << 10}
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 16 << 10
	}
	engine := newPebbleEngine(t, o, pebblekv.Options{})
	s.engine = engine
	s.write = func(seed uint64) {
		from := int(seed*397) % 1000
		for i := from; i < from+50; i++ {
			key, value := fmt.Appendf(nil, "key-%06d", i), fmt.Appendf(nil, "value %d of change %d", i*i, seed)
			require.NoError(t, engine.db.Set(key, value, pebble.NoSync))
			s.store.Set(key, value)
		}
		require.NoError(t, engine.db.Compact(t.Context(), []byte("a"), []byte("z"), false))
	}
	for seed := range uint64(20) {
		s.write(seed)
	}
	s.opts.TargetFileBytes = 16 << 10
	require.NoError(t, s.attempt(t.Context()))
	require.Positive(t, s.last.Stats.CopiedBytes, "no table was copied")
	s.opts.Synthetic = true
	s.write(20)
	return s
}

// restoreUnseen restores the newest layer into a store in which nothing may show before
// all of it does.
func (s *scene) restoreUnseen(ctx context.Context) error {
	dst := s.newStore()
	s.unseen = func() { require.Empty(s, stateOf(dst), "half of a restore shows") }
	defer func() { s.unseen = nil }()
	_, err := s.collection().Restore(ctx, varve.Cluster(dst), &varve.RestoreOptions{From: s.last.ID, Concurrency: 1})
	if err != nil {
		require.Empty(s, stateOf(dst), "a restore that failed left something")
		return err
	}
	require.Equal(s, s.states[s.last.ID].entries, stateOf(dst))
	return nil
}

// TestFaultMatrix (I11): whatever happens to whichever call of whichever verb to the bucket,
// what was there before stays whole, nothing shows by half, nothing stays open, and the
// same verb succeeds when it is called again.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	m := newMatrix(t, 60)
	for _, mode := range modes(t) {
		for _, a := range mode.acts() {
			var calls []faultblob.Op
			synctest.Test(t, func(t *testing.T) {
				calls = a.begin.trace(t, func(s *scene) error { return a.run(s.Context(), s) })
			})
			done := false
			for i, op := range calls {
				committed := done
				for _, h := range happenings() {
					if h.only != nil && !slices.Contains(h.only, op.Kind) || !m.takes(false) {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/%d %s %s/%s", mode.name, a.name, i+1, op.Kind, role(op.Key), h.name), func(t *testing.T) {
						t.Parallel()
						synctest.Test(t, func(t *testing.T) { a.suffer(t, h, i+1, op, committed, i == len(calls)-1) })
						if !t.Failed() {
							m.pass(h.name)
						}
					})
				}
				done = done || op.Kind == faultblob.Put && role(op.Key) == "BACKUP_MANIFEST"
			}
		}
	}
}

// suffer lets it happen to call n, which is like op, and looks at what is left. After the last
// call there may be nothing to do that could notice.
func (a act) suffer(t *testing.T, h happening, n int, op faultblob.Op, committed, last bool) {
	s := a.begin.at(t)
	err := s.undergo(a, h, n)
	switch {
	case err == nil && isLastWord(op): // whatever becomes of that
	case h.endsRun() && committed:
		require.NoError(t, err, "what follows the commit must not undo it")
	case h.hurried:
		require.ErrorIs(t, err, context.DeadlineExceeded)
	case h.cancel && a.name == "verify" && err == nil:
		require.True(t, last, "read on although the caller had left")
	case h.cancel:
		require.ErrorIs(t, err, context.Canceled)
	case h.dies:
		require.Error(t, err)
	case h.fault.Kind == faultblob.Denied:
		var access *varve.AccessError
		require.True(t, err == nil || errors.As(err, &access), "%v", err)
	default: // also a table that was lost: it is small enough to be sent again
		require.NoError(t, err)
	}
	if err != nil {
		s.adopt(h.dies && h.fault.Kind == faultblob.Applied && role(op.Key) == "BACKUP_MANIFEST")
	}
	s.requireWhole()
	require.NoError(t, a.run(t.Context(), s), "the same again")
	s.write(9)
	*s.now = s.now.Add(25 * time.Hour) // after which nobody comes back for what a dead run has kept
	require.NoError(t, s.attempt(t.Context()))
	s.requireOneBase()
	s.requireWhole()
	s.requireClosed()
}

// undergo runs the verb with what happens to its n-th call.
func (s *scene) undergo(a act, h happening, n int) error {
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	if h.hurried {
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	parked := 0
	s.bucket.Park(func(_ context.Context, op faultblob.Op) {
		if s.unseen != nil && !isLastWord(op) {
			s.unseen()
		}
		if parked++; h.cancel && parked == n {
			cancel()
		}
	})
	s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		switch {
		case op.N == n && h.dies:
			s.store.Close()
			return h.fault
		case op.N == n && (h.only == nil || slices.Contains(h.only, op.Kind)):
			return h.fault
		case op.N > n && h.dies:
			return faultblob.Fault{Kind: faultblob.Lost}
		}
		return faultblob.Fault{}
	})
	err := a.run(ctx, s)
	s.bucket.Inject(nil)
	s.bucket.Park(nil)
	if h.dies {
		s.store = s.store.Reopen()
	}
	return err
}

// adopt makes a layer known that a run has committed with its last breath. There must be
// none where that cannot be.
func (s *scene) adopt(can bool) {
	s.Helper()
	for _, id := range s.listed() {
		if _, known := s.states[id]; known {
			continue
		}
		require.True(s, can, "a run that failed left layer %s", id)
		layer, err := s.collection().Layer(s.Context(), id)
		require.NoError(s, err)
		if layer.Manifest.StandsFor != "" {
			s.noteCompacted(layer)
			continue
		}
		s.states[id] = sceneState{spans: s.spans, entries: stateOf(s.store, s.spans...)}
		s.last = layer
	}
}

// requireClosed wants nothing open, in the bucket or in the store.
func (s *scene) requireClosed() {
	s.Helper()
	require.Zero(s, s.bucket.Readers(), "readers were left open")
	require.Zero(s, s.open.Load(), "snapshots or cursors were left open")
	kept, err := s.store.Snapshots(s.Context())
	require.NoError(s, err)
	for _, k := range kept {
		require.False(s, k.InUse, k.Name)
	}
}
