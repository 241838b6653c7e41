package varve_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
)

// TestModelOfHistory takes random histories of a store that keeps revisions, and forgets
// them, through random chains of layers with and without history, as of random moments, and
// restores moments between any two revisions (I2, I4, I8).
func TestModelOfHistory(t *testing.T) {
	t.Parallel()
	tryPasts(t, func(p *past) annals { return &memAnnals{Store: p.store, past: p} })
}

// TestModelOfTransactions is TestModelOfHistory of the store of versions, with transactions
// that are open during backups, conflict and die.
func TestModelOfTransactions(t *testing.T) {
	t.Parallel()
	tryPasts(t, newTxAnnals)
}

// tryPasts takes one seed after the other, for a sixth of the time that TestModel has.
func tryPasts(t *testing.T, begin func(p *past) annals) {
	deadline, seed := time.Now().Add(*modelTime/6), *modelSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	for n := 0; n == 0 || n != *modelCount && time.Now().Before(deadline); n++ {
		works := t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			p := newPast(t, seed)
			a := &annalist{past: p, annals: begin(p)}
			a.run()
		})
		if !works {
			t.Fatalf("replay with: go test -run %s . -args -model.seed %d -model.count 1", t.Name(), seed)
		}
		seed++
	}
}

// annals are a store and all that was in it.
type annals interface {
	export.Store
	export.SnapshotKeeper
	write() // something
	when() []export.Timestamp
	at(t export.Timestamp) []export.Entry
	collect(before export.Timestamp)
	reopen()
	destination() (dst export.Store, holds func() []export.Entry)
}

// annalist backs a store up, and knows what is in each layer.
type annalist struct {
	*past
	annals annals
	layers []*annal
}

// annal is a layer and of what it is.
type annal struct {
	*varve.Layer
	span varve.Span
}

func (a *annalist) run() {
	a.writes(a.rng.IntN(60))
	for range 2 + a.rng.IntN(6) {
		a.writes(a.rng.IntN(40))
		a.stir()
		a.backup()
		if len(a.layers) > 0 && a.rng.IntN(3) == 0 {
			a.compact()
		}
	}
	for _, l := range a.layers {
		if l.Manifest.Digest != nil {
			_, err := a.c.Verify(a.Context(), l.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
			require.NoError(a, err)
		}
		for range 5 {
			a.check(l)
		}
	}
}

func (a *annalist) writes(n int) {
	for range n {
		a.annals.write()
	}
}

func (a *annalist) moment() export.Timestamp {
	moments := a.annals.when()
	if len(moments) == 0 {
		return a.now()
	}
	at := moments[a.rng.IntN(len(moments))]
	if a.rng.IntN(2) == 0 {
		return at.Next()
	}
	return at
}

// stir is what happens to a store between two backups.
func (a *annalist) stir() {
	switch a.rng.IntN(5) {
	case 0, 1:
		a.annals.collect(a.moment())
	case 2:
		kept, err := a.annals.Snapshots(a.Context())
		require.NoError(a, err)
		for _, k := range kept {
			require.NoError(a, a.annals.Release(a.Context(), k.Name))
		}
	case 3:
		a.annals.reopen()
	}
}

func (a *annalist) backup() {
	a.Helper()
	opts := varve.BackupOptions{
		RevisionHistory: a.rng.IntN(3) > 0, TargetFileBytes: 1 << a.rng.IntN(12), Concurrency: 1 + a.rng.IntN(3),
		NoBase: a.rng.IntN(5) == 0, NoDigest: a.rng.IntN(5) == 0, Compression: varve.CompressNone,
		Locks: varve.LockOptions{RetryDelay: time.Millisecond, PushAfter: time.Duration(1 + a.rng.IntN(2)*int(20*time.Millisecond))},
	}
	opts.Audit = !opts.NoDigest && a.rng.IntN(4) == 0
	span := []varve.Span{{}, {}, {Start: []byte("k05")}, {Start: []byte("k03"), End: []byte("k12")}}[a.rng.IntN(4)]
	want, after := varve.Everything, export.Timestamp{}
	var parent *annal
	if n := len(a.layers); n > 0 && a.rng.IntN(5) > 0 {
		parent = a.layers[max(a.rng.IntN(n), a.rng.IntN(n))]
		opts.Into, after = parent.ID, parent.End
		if parent.Full() {
			opts.Into = parent.Path
			parent = a.tip(parent)
			after = parent.End
		}
	}
	info, err := a.annals.Info(a.Context())
	require.NoError(a, err)
	if parent != nil {
		want = varve.Revisions
		if info.Oldest.Compare(after) > 0 {
			want = varve.FromChain
		}
	}
	var refused any
	if a.rng.IntN(3) == 0 {
		opts.AsOf = a.moment()
		switch {
		case opts.AsOf.Compare(info.Oldest) < 0:
			refused = new(*varve.BeforeGCError)
		case opts.AsOf.Compare(after) <= 0:
			refused = new(*varve.OptionError)
		}
	}
	layer, err := a.c.Backup(a.Context(), varve.Spans(a.annals, span), &opts)
	if refused != nil {
		require.ErrorAs(a, err, refused)
		return
	}
	require.NoError(a, err)
	if want == varve.FromChain && layer.Stats.Changes == varve.Everything {
		// Of a range key that was cut in two since, each part has the moment of the whole: by
		// comparing, it looks as if the store had been written to in its past.
		want = varve.Everything
	}
	require.Equal(a, want, layer.Stats.Changes)
	if opts.AsOf != (export.Timestamp{}) {
		require.Equal(a, opts.AsOf, layer.End)
	}
	oldest := layer.End
	if opts.RevisionHistory && want != varve.FromChain {
		if oldest = after; want == varve.Everything {
			oldest = info.Oldest
		}
	}
	require.Equal(a, oldest, layer.Manifest.Oldest)
	a.layers = append(a.layers, &annal{Layer: layer, span: span})
}

// tip is the layer that a chain is continued from, if it is named by its full. What extends a
// layer extends those that stand for it.
func (a *annalist) tip(full *annal) *annal {
	a.Helper()
	depth := map[string]int{full.ID: 1}
	best := full
	for _, l := range slices.SortedFunc(slices.Values(a.layers), func(l, m *annal) int { return l.End.Compare(m.End) }) {
		for _, p := range a.layers {
			if depth[p.ID] > 0 && !l.Full() && (p.ID == l.ParentID || p.Manifest.StandsFor == l.ParentID) {
				depth[l.ID] = max(depth[l.ID], depth[p.ID]+max(1, len(l.Manifest.Covers)))
			}
		}
		first := cmp.Or(depth[l.ID]-depth[best.ID], l.End.Compare(best.End), len(best.Manifest.Covers)-len(l.Manifest.Covers), strings.Compare(best.ID, l.ID))
		if first > 0 {
			best = l
		}
	}
	return best
}

// check restores a moment that the layer has, or should not have.
func (a *annalist) check(l *annal) {
	a.Helper()
	at := a.moment()
	if a.rng.IntN(3) == 0 {
		at = []export.Timestamp{l.End, l.Manifest.Oldest, l.End.Next(), l.Start.Next()}[a.rng.IntN(4)]
	}
	if at.Compare(l.Start) <= 0 && !at.IsZero() || at.IsZero() {
		return // of a layer below
	}
	dst, holds := a.annals.destination()
	_, err := a.c.Restore(a.Context(), varve.Spans(dst, l.span), &varve.RestoreOptions{From: l.ID, AsOf: at})
	if at.Compare(l.End) > 0 || at.Compare(l.Manifest.Oldest) < 0 {
		var miss *varve.NoRestorePointError
		require.ErrorAs(a, err, &miss)
		return
	}
	require.NoError(a, err)
	want := kvtest.Canonical(nil, kvtest.Timeless(kvtest.Clip(nil, a.annals.at(at), l.span)))
	require.Equal(a, want, holds(), "layer %d as of %s", slices.Index(a.layers, l), at)
	a.read(l, at)
}
