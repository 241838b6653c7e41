package varve_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestCompactTogether (I5, I9): compactions of one chain, of all of it and of a part, whose calls
// to the bucket come in any order with those of a backup that extends it, of a restore, and of
// a run that expires it. Each commits or is told why not; whatever is listed then restores to its
// own moment, also when what was to go has gone; and the newest layer is the newest moment.
func TestCompactTogether(t *testing.T) {
	t.Parallel()
	seeds := uint64(10)
	switch {
	case testing.Short():
		seeds = 3
	case *tortureAll:
		seeds = 300
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { compactTogether(t, rand.New(rand.NewPCG(seed, 4))) })
		})
	}
}

func compactTogether(t *testing.T, rng *rand.Rand) {
	r := &rivals{T: t, turnstile: &turnstile{rng: rng}, bucket: faultblob.New(t, nil)}
	r.stores = []*witness{newWitness(t, 40)}
	r.stores = append(r.stores, r.stores[0])
	into := ""
	for range 4 {
		require.NoError(t, r.add(r.backup(0, &varve.BackupOptions{Into: into, TargetFileBytes: 300})))
		into = varve.Latest
		for range 20 {
			r.write()
		}
		time.Sleep(time.Hour)
	}
	time.Sleep(25 * time.Hour)
	tip, first := r.layers[3].ID, r.layers[1].ID
	r.bucket.Park(r.park)
	rewrite := rng.IntN(2) == 0
	r.start(func() { r.requireReason(r.compact(tip, varve.CompactOptions{Rewrite: rewrite})) })
	r.start(func() { r.requireReason(r.compact(tip, varve.CompactOptions{First: first})) })
	switch rng.IntN(3) {
	case 0:
		r.start(func() { r.requireReason(r.compact(tip, varve.CompactOptions{})) })
	case 1:
		r.start(func() { r.expire() })
	}
	r.start(func() { r.requireReason(r.add(r.backup(0, &varve.BackupOptions{Into: varve.Latest}))) })
	r.start(func() { r.restoreAny(varve.Latest) })
	r.drive(r.write)
	r.bucket.Park(nil)
	r.requireAny()
	for range 2 {
		time.Sleep(25 * time.Hour)
		r.expire()
		r.requireAny()
	}
	r.write()
	require.NoError(t, r.add(r.backup(0, &varve.BackupOptions{Into: varve.Latest})))
	r.requireAny()
}

func (r *rivals) compact(from string, opts varve.CompactOptions) error {
	opts.Concurrency, opts.TargetFileBytes = 1, 300
	_, err := r.collection().Compact(r.Context(), from, &opts)
	return err
}

func (r *rivals) expire() {
	c := r.collection()
	plan, err := c.PlanExpire(r.Context(), varve.Policy{KeepLast: 1})
	if err == nil {
		_, err = c.Expire(r.Context(), plan)
	}
	if err != nil {
		r.Errorf("expire: %v", err)
	}
}

// requireReason accepts that something was expired meanwhile, or is about to be.
func (r *rivals) requireReason(err error) {
	if err != nil && !errors.Is(err, varve.ErrConflict) && !errors.Is(err, varve.ErrNoLayer) {
		r.Errorf("refused: %v", err)
	}
}

// restoreAny restores a layer to the state of that which it was, or stands for.
func (r *rivals) restoreAny(from string) {
	c := r.collection()
	layer, err := c.Layer(r.Context(), from)
	if err != nil {
		r.Errorf("layer %s: %v", from, err)
		return
	}
	id := layer.ID
	for origin := layer.Manifest.StandsFor; origin != ""; origin = "" {
		id = origin
	}
	dst := newStore(r, &memkv.Options{SingleRevision: true})
	if _, err := c.Restore(r.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: layer.ID, Concurrency: 1}); err != nil {
		r.Errorf("restore %s: %v", layer.ID, err)
		return
	}
	want, known := r.stores[0].state(id)
	require.True(r, known, id)
	require.Equal(r, want, stateOf(dst))
}

// requireAny wants each layer that is listed and not on its way out whole, and the newest moment in
// the newest layer.
func (r *rivals) requireAny() {
	r.Helper()
	var newest varve.Timestamp
	for l, err := range r.collection().Layers(r.Context()) {
		require.NoError(r, err)
		if newest.Compare(l.End) < 0 {
			newest = l.End
		}
		if _, err := r.collection().Layer(r.Context(), l.ID); err == nil {
			r.restoreAny(l.ID)
		}
	}
	latest, err := r.collection().Layer(r.Context(), varve.Latest)
	require.NoError(r, err)
	require.Equal(r, newest, latest.End)
	r.restoreAny(varve.Latest)
}
