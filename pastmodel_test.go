package varve_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
)

// TestModelOfHistory takes random histories of a store that keeps revisions, and forgets
// them, through random chains of layers with and without history, as of random moments, and
// restores moments between any two revisions (I2, I4, I8).
func TestModelOfHistory(t *testing.T) {
	t.Parallel()
	deadline, seed := time.Now().Add(min(*modelTime, 4*time.Second)), *modelSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	for n := 0; n == 0 || n != *modelCount && time.Now().Before(deadline); n++ {
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { newAnnalist(t, seed).run() }) {
			t.Fatalf("replay with: go test -run TestModelOfHistory . -args -model.seed %d -model.count 1", seed)
		}
		seed++
	}
}

// annalist backs a past up, and knows all that was.
type annalist struct {
	*past
	states [][]export.Entry // after the moments
	layers []*annal
}

// annal is a layer and of what it is.
type annal struct {
	*varve.Layer
	span varve.Span
}

func newAnnalist(t *testing.T, seed uint64) *annalist { return &annalist{past: newPast(t, seed)} }

func (a *annalist) run() {
	a.writes(a.rng.IntN(60))
	for range 2 + a.rng.IntN(6) {
		a.writes(a.rng.IntN(40))
		a.stir()
		a.backup()
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
		a.write(1)
		for len(a.states) < len(a.moments) {
			a.states = append(a.states, a.store.State(varve.Span{}))
		}
	}
}

// at is what was there at a moment.
func (a *annalist) at(t export.Timestamp, span varve.Span) []export.Entry {
	n := sort.Search(len(a.moments), func(i int) bool { return a.moments[i].Compare(t) > 0 })
	if n == 0 {
		return kvtest.Canonical(nil, nil)
	}
	return kvtest.Canonical(nil, kvtest.Timeless(kvtest.Clip(nil, a.states[n-1], span)))
}

func (a *annalist) moment() export.Timestamp {
	if len(a.moments) == 0 {
		return a.now()
	}
	at := a.moments[a.rng.IntN(len(a.moments))]
	if a.rng.IntN(2) == 0 {
		return at.Next()
	}
	return at
}

// stir is what happens to a store between two backups.
func (a *annalist) stir() {
	switch a.rng.IntN(5) {
	case 0, 1:
		a.store.Collect(a.moment())
	case 2:
		for _, name := range a.kept() {
			require.NoError(a, a.store.Release(a.Context(), name))
		}
	case 3:
		a.store = a.store.Reopen()
	}
}

func (a *annalist) backup() {
	a.Helper()
	opts := varve.BackupOptions{
		RevisionHistory: a.rng.IntN(3) > 0, TargetFileBytes: 1 << a.rng.IntN(12), Concurrency: 1 + a.rng.IntN(3),
		NoBase: a.rng.IntN(5) == 0, NoDigest: a.rng.IntN(5) == 0, Compression: varve.CompressNone,
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
	info, err := a.store.Info(a.Context())
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
	layer, err := a.c.Backup(a.Context(), varve.Spans(a.store, span), &opts)
	if refused != nil {
		require.ErrorAs(a, err, refused)
		return
	}
	require.NoError(a, err)
	require.Equal(a, want, layer.Stats.Changes)
	if opts.AsOf != (export.Timestamp{}) {
		require.Equal(a, opts.AsOf, layer.End)
	}
	oldest := layer.End
	if opts.RevisionHistory && want != varve.FromChain {
		if oldest = after; parent == nil {
			oldest = info.Oldest
		}
	}
	require.Equal(a, oldest, layer.Manifest.Oldest)
	a.layers = append(a.layers, &annal{Layer: layer, span: span})
}

// tip is the layer that a chain is continued from, if it is named by its full.
func (a *annalist) tip(full *annal) *annal {
	a.Helper()
	depth := map[string]int{full.ID: 1}
	best := full
	for _, l := range a.layers { // parents come first
		if depth[l.ParentID] == 0 {
			continue
		}
		depth[l.ID] = depth[l.ParentID] + 1
		longer := depth[l.ID] - depth[best.ID]
		if longer > 0 || longer == 0 && (l.End.Compare(best.End) > 0 || l.End == best.End && l.ID < best.ID) {
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
	dst := newStore(a, &memkv.Options{SingleRevision: a.rng.IntN(2) == 0})
	_, err := a.c.Restore(a.Context(), varve.Spans(dst, l.span), &varve.RestoreOptions{From: l.ID, AsOf: at})
	if at.Compare(l.End) > 0 || at.Compare(l.Manifest.Oldest) < 0 {
		var miss *varve.NoRestorePointError
		require.ErrorAs(a, err, &miss)
		return
	}
	require.NoError(a, err)
	require.Equal(a, a.at(at, l.span), stateOf(dst), "layer %d as of %s", slices.Index(a.layers, l), at)
}
