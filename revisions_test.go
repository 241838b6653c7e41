package varve_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// past is a store that keeps revisions, a collection, and all moments at which something
// was written.
type past struct {
	*testing.T
	rng     *rand.Rand
	clock   *clock
	store   *memkv.Store
	c       *varve.Collection
	moments []export.Timestamp
}

func newPast(t *testing.T, seed uint64) *past {
	p := &past{T: t, rng: rand.New(rand.NewPCG(seed, 7)), clock: newClock()}
	p.store = newStore(t, &memkv.Options{PartitionBytes: int64(1 << (8 + p.rng.IntN(6))), Now: p.clock.now})
	p.c = collectionIn(t, faultblob.New(t, nil), &varve.CollectionOptions{Now: p.clock.now})
	return p
}

const pastKeys = 20

func (p *past) key() []byte { return fmt.Appendf(nil, "k%02d", p.rng.IntN(pastKeys)) }

// write makes n random changes to few keys, so that each has many revisions.
func (p *past) write(n int) {
	for range n {
		key, lo, hi := p.key(), p.key(), append(p.key(), '~')
		if bytes.Compare(lo, hi) > 0 {
			lo, hi = hi, lo
		}
		value := fmt.Appendf(nil, "%d", p.rng.IntN(1000))
		var at export.Timestamp
		switch p.rng.IntN(12) {
		case 0, 1:
			at = p.store.Delete(key)
		case 2:
			at = p.store.DeleteRange(key, append(slices.Clone(key), '~'))
		case 3:
			at = p.store.RangeKeySet(lo, hi, []byte("@1"), value)
		case 4:
			at = p.store.RangeKeyUnset(lo, hi, []byte("@1"))
		case 5:
			at = p.store.RangeKeyDelete(lo, hi)
		case 6:
			at = p.store.Apply(export.Entry{Kind: export.Set, Key: key, Value: value},
				export.Entry{Kind: export.Set, Key: p.key(), Value: value}, export.Entry{Kind: export.Delete, Key: p.key()})
		default:
			at = p.store.Set(key, value)
		}
		if !at.IsZero() {
			p.moments = append(p.moments, at)
		}
	}
}

func (p *past) backup(opts varve.BackupOptions) *varve.Layer {
	p.Helper()
	layer, err := p.c.Backup(p.Context(), varve.Cluster(p.store), &opts)
	require.NoError(p, err)
	_, err = p.c.Verify(p.Context(), layer.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
	require.NoError(p, err)
	return layer
}

// restored is what comes out, in the one form in which states are compared.
func (p *past) restored(from string, asOf varve.Timestamp) ([]export.Entry, error) {
	p.Helper()
	dst := newStore(p, &memkv.Options{SingleRevision: p.rng.IntN(2) == 0})
	got, err := p.c.Restore(p.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: from, AsOf: asOf})
	if err != nil {
		return nil, err
	}
	if !asOf.IsZero() {
		require.Equal(p, asOf, got.AsOf)
	}
	return stateOf(dst), nil
}

func (p *past) requireAt(asOf varve.Timestamp, from string) {
	p.Helper()
	got, err := p.restored(from, asOf)
	require.NoError(p, err, "as of %s", asOf)
	require.Equal(p, kvtest.Canonical(nil, kvtest.Timeless(p.store.StateAt(asOf, varve.Span{}))), got, "as of %s", asOf)
}

// requireWindows restores every moment around a write: it must be what was there if a
// window of the chain has it, else the error says what is nearest (I2).
func (p *past) requireWindows(from string) {
	p.Helper()
	chain, err := p.c.Resolve(p.Context(), from, varve.Timestamp{})
	require.NoError(p, err)
	points := chain.Points()
	var all []export.Timestamp
	for _, at := range p.moments {
		all = append(all, at, at.Next())
	}
	for _, w := range points {
		all = append(all, w.Oldest, w.Newest, w.Newest.Next())
	}
	for _, at := range all {
		if at.IsZero() {
			continue // the window reaches to the beginning, which means the end if asked for
		}
		if slices.ContainsFunc(points, func(w varve.Window) bool { return w.Oldest.Compare(at) <= 0 && at.Compare(w.Newest) <= 0 }) {
			p.requireAt(at, from)
			continue
		}
		want := varve.NoRestorePointError{AsOf: at}
		for _, w := range points {
			if w.Newest.Compare(at) < 0 && w.Newest.Compare(want.Before) > 0 {
				want.Before = w.Newest
			}
			if w.Oldest.Compare(at) > 0 && (want.After.IsZero() || w.Oldest.Compare(want.After) < 0) {
				want.After = w.Oldest
			}
		}
		_, err := p.restored(from, at)
		var got *varve.NoRestorePointError
		require.ErrorAs(p, err, &got)
		require.Equal(p, want, *got)
	}
}

// TestRevisionHistory: every moment in the window of a layer comes back as it was, and of
// a layer without history its end.
func TestRevisionHistory(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := newPast(t, seed)
			p.write(40)
			threshold := p.store.Collect(p.moments[15])
			opts := varve.BackupOptions{RevisionHistory: true, TargetFileBytes: int64(1 << (5 * seed)), Audit: seed == 2}
			full := p.backup(opts)
			require.Equal(t, threshold, full.Manifest.Oldest)
			opts.Into = varve.Latest
			end := full.End
			for i := range 4 {
				p.write(25)
				opts.RevisionHistory = i != 1
				layer := p.backup(opts)
				require.Equal(t, varve.Revisions, layer.Stats.Changes)
				want := layer.End
				if opts.RevisionHistory {
					want = end
				}
				require.Equal(t, want, layer.Manifest.Oldest)
				end = layer.End
			}
			p.requireWindows(varve.Latest)
			for _, at := range p.moments[45:55] {
				p.requireAt(at, "")
			}
		})
	}
}

// TestHistoryOverPlainFull: of the layers below only their newest revisions are needed.
func TestHistoryOverPlainFull(t *testing.T) {
	t.Parallel()
	p := newPast(t, 11)
	p.write(50)
	p.backup(varve.BackupOptions{})
	p.write(30)
	p.backup(varve.BackupOptions{Into: varve.Latest, RevisionHistory: true})
	p.requireWindows(varve.Latest)
}

// TestHistoryOfIntroducedSpan: it is there from its beginning, and what was restored
// before it was introduced has nothing of it.
func TestHistoryOfIntroducedSpan(t *testing.T) {
	t.Parallel()
	p := newPast(t, 12)
	p.write(50)
	narrow, wide := span("k05", "k10"), span("k03", "k15")
	take := func(s varve.Span, into string) *varve.Layer {
		layer, err := p.c.Backup(t.Context(), varve.Spans(p.store, s), &varve.BackupOptions{RevisionHistory: true, Into: into, TargetFileBytes: 100})
		require.NoError(t, err)
		return layer
	}
	full := take(narrow, "")
	p.write(50)
	layer := take(wide, varve.Latest)
	for i, at := range p.moments {
		s := narrow
		if at.Compare(full.End) > 0 {
			s = wide
		}
		dst := newStore(t, &memkv.Options{SingleRevision: true})
		_, err := p.c.Restore(t.Context(), varve.Spans(dst, s), &varve.RestoreOptions{From: layer.ID, AsOf: at})
		require.NoError(t, err)
		require.Equal(t, kvtest.Canonical(nil, kvtest.Timeless(p.store.StateAt(at, s))), stateOf(dst), "moment %d", i)
	}
}

// TestHistoryShrinksWhileExported: what the store forgets meanwhile is not promised.
func TestHistoryShrinksWhileExported(t *testing.T) {
	t.Parallel()
	p := newPast(t, 13)
	p.write(50)
	w := &watched{Store: p.store}
	collected := p.moments[30]
	w.fail = func(op string, done bool) error {
		if op == "close cursor" && done {
			p.store.Collect(collected)
		}
		return nil
	}
	layer, err := p.c.Backup(t.Context(), varve.Cluster(w), &varve.BackupOptions{RevisionHistory: true})
	require.NoError(t, err)
	require.Equal(t, collected, layer.Manifest.Oldest)
	p.moments = p.moments[30:]
	p.requireWindows(varve.Latest)
	_, err = p.restored("", collected.Next())
	require.NoError(t, err)
}

// TestMomentsOfTheStore: what cannot be seen is refused, with what there is.
func TestMomentsOfTheStore(t *testing.T) {
	t.Parallel()
	p := newPast(t, 14)
	p.write(30)
	threshold := p.store.Collect(p.moments[10])
	refused := func(opts varve.BackupOptions, field string) {
		t.Helper()
		var option *varve.OptionError
		_, err := p.c.Backup(t.Context(), varve.Cluster(p.store), &opts)
		require.ErrorAs(t, err, &option)
		require.Equal(t, field, option.Field)
	}
	future := varve.At(p.clock.now().Add(1e9))
	refused(varve.BackupOptions{AsOf: future}, "AsOf")
	refused(varve.BackupOptions{AsOf: p.moments[20], Lag: 1}, "Lag")

	var gone *varve.BeforeGCError
	_, err := p.c.Backup(t.Context(), varve.Cluster(p.store), &varve.BackupOptions{AsOf: p.moments[9]})
	require.ErrorAs(t, err, &gone)
	require.Equal(t, varve.BeforeGCError{AsOf: p.moments[9], Threshold: threshold}, *gone)
	_, err = p.c.Backup(t.Context(), varve.Cluster(p.store), &varve.BackupOptions{Lag: 1e15})
	require.ErrorAs(t, err, &gone)

	full := p.backup(varve.BackupOptions{AsOf: p.moments[20], RevisionHistory: true})
	require.Equal(t, p.moments[20], full.End)
	refused(varve.BackupOptions{Into: varve.Latest, AsOf: p.moments[20]}, "AsOf")
	refused(varve.BackupOptions{Into: varve.Latest, AsOf: p.moments[12]}, "AsOf")
	layer := p.backup(varve.BackupOptions{Into: varve.Latest, AsOf: p.moments[25], RevisionHistory: true})
	require.Equal(t, p.moments[25], layer.End)
	p.backup(varve.BackupOptions{Into: varve.Latest, Lag: 1, RevisionHistory: true})
	p.requireWindows(varve.Latest)

	plain := varve.Cluster(newStore(t, &memkv.Options{SingleRevision: true}))
	for _, opts := range []varve.BackupOptions{{AsOf: p.moments[3]}, {Lag: 1}, {RevisionHistory: true}} {
		var option *varve.OptionError
		_, err := p.c.Backup(t.Context(), plain, &opts)
		require.ErrorAs(t, err, &option)
		require.Contains(t, option.Reason, "keeps no history")
	}
}

// TestForgottenMeanwhile: the store has forgotten the moment between the first look at it
// and the snapshot.
func TestForgottenMeanwhile(t *testing.T) {
	t.Parallel()
	p := newPast(t, 15)
	p.write(30)
	w := &watched{Store: p.store}
	w.fail = func(op string, done bool) error {
		if op == "info" && done {
			p.store.Collect(p.moments[20])
		}
		return nil
	}
	_, err := p.c.Backup(t.Context(), varve.Cluster(w), &varve.BackupOptions{AsOf: p.moments[9]})
	var gone *varve.BeforeGCError
	require.ErrorAs(t, err, &gone)
	require.Equal(t, varve.BeforeGCError{AsOf: p.moments[9], Threshold: p.moments[20]}, *gone)
}

// TestProveWithinWindow: there is no digest of a moment in the window.
func TestProveWithinWindow(t *testing.T) {
	t.Parallel()
	p := newPast(t, 16)
	p.write(30)
	layer := p.backup(varve.BackupOptions{RevisionHistory: true})
	dst := varve.Cluster(newStore(t, nil))
	for _, from := range []string{"", layer.ID} {
		var option *varve.OptionError
		_, err := p.c.Restore(t.Context(), dst, &varve.RestoreOptions{From: from, AsOf: p.moments[20], Prove: true})
		require.ErrorAs(t, err, &option)
		require.Equal(t, "Prove", option.Field)
	}
	restored, err := p.c.Restore(t.Context(), dst, &varve.RestoreOptions{AsOf: p.moments[20]})
	require.NoError(t, err)
	require.Equal(t, varve.ProofHashes, restored.Proof)
	restored, err = p.c.Restore(t.Context(), dst, &varve.RestoreOptions{AsOf: layer.End, Prove: true, Replace: true})
	require.NoError(t, err)
	require.Equal(t, varve.ProofDigest, restored.Proof)
}

// TestStoreBreaksHistory: revisions out of order, twice, or of another time are no
// history.
func TestStoreBreaksHistory(t *testing.T) {
	t.Parallel()
	key := []byte("k")
	at := func(ns int64) export.Timestamp { return export.Timestamp{WallNanos: ns} }
	set := func(ns int64) export.Entry { return export.Entry{Kind: export.Set, Key: key, Timestamp: at(ns)} }
	for name, entries := range map[string][]export.Entry{
		"ascending": {set(5), set(6)}, "twice": {set(5), set(5)}, "after the snapshot": {set(1 << 62)}, "no time": {set(0)},
	} {
		p := newPast(t, 17)
		p.write(5)
		w := &watched{Store: p.store, edit: func(varve.Span, []export.Entry) []export.Entry { return entries }}
		_, err := p.c.Backup(t.Context(), varve.Cluster(w), &varve.BackupOptions{RevisionHistory: true})
		require.ErrorContains(t, err, "store broke its contract", name)
	}
}
