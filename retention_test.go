package varve_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

var retentionSeeds = flag.Uint64("retention.seeds", 60, "how many interleavings of backups, restores and expiry are tried")

// sleepers use one collection at the same time: backups, restores, and runs that expire
// it. Any of them may sleep at any call to the bucket, for longer than anything is waited
// for; each has a clock of its own.
type sleepers struct {
	*rivals
	faulty bool

	noted   sync.Mutex
	retired map[string]bool // that any run said it retired or deleted
}

// TestRetentionInterleaved (I1, I5, I10): whatever the order of calls, what is listed and
// not retired can be restored, a restore that succeeds has the right state, nobody
// deletes what another needs (the bucket judges that), and only what was retired is gone.
func TestRetentionInterleaved(t *testing.T) {
	t.Parallel()
	seeds := *retentionSeeds
	if testing.Short() {
		seeds = min(seeds, 12)
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { sleepTogether(t, rand.New(rand.NewPCG(seed, 17))) })
		})
	}
}

func sleepTogether(t *testing.T, rng *rand.Rand) {
	s := &sleepers{rivals: &rivals{T: t, turnstile: &turnstile{rng: rng}}, retired: map[string]bool{}, faulty: rng.IntN(2) == 0}
	s.bucket = faultblob.New(t, &faultblob.Options{Now: time.Now, Allow: faultblob.EarlyVoids})
	s.stores = []*witness{newWitness(t, 30), newWitness(t, 30)}
	if rng.IntN(4) == 0 { // whoever expires it has no key
		s.keys = []varve.Key{varve.KMS("base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=")}
	}
	for i := range 3 + rng.IntN(3) {
		opts := &varve.BackupOptions{Into: varve.Latest}
		if i == 0 || rng.IntN(3) == 0 {
			opts.Into = ""
		}
		require.NoError(t, s.add(s.backup(0, opts)))
		time.Sleep(time.Duration(rng.IntN(30)) * time.Hour)
		s.write()
	}
	if rng.IntN(2) == 0 {
		s.expireOnce(rand.New(rand.NewPCG(rng.Uint64(), 0))) // some are retired already
		time.Sleep(time.Duration(rng.IntN(30)) * time.Hour)
	}
	s.bucket.Reset()
	s.bucket.Inject(s.faults(rng.Uint64()))
	s.bucket.Park(s.sleep)
	for i := range 2 {
		opts := s.sleeperOptions(rng)
		s.start(func() { s.requireReason(s.add(s.backup(i, opts))) })
	}
	for range 2 {
		own := rand.New(rand.NewPCG(rng.Uint64(), 0))
		s.start(func() {
			for range 2 {
				s.expireOnce(own)
			}
		})
	}
	from := varve.Latest
	if l := s.layers[rng.IntN(len(s.layers))]; rng.IntN(2) == 0 {
		from = l.ID
	}
	s.start(func() { s.tryRestore(from) })
	s.drive(func() {
		s.write()
		if rng.IntN(12) == 0 {
			time.Sleep([]time.Duration{time.Hour, 7 * time.Hour, 25 * time.Hour, 60 * time.Hour}[rng.IntN(4)])
		}
	})
	s.bucket.Park(nil)
	s.bucket.Inject(nil)
	s.requireKept()
	for range 2 {
		time.Sleep(30 * time.Hour)
		s.expireOnce(rng)
		s.requireKept()
	}
	opts := &varve.BackupOptions{Into: varve.Latest, FullEvery: 10000 * time.Hour}
	require.NoError(t, s.add(s.backup(0, opts)), "it goes on")
	s.requireKept()
}

// sleep is park for those who may sleep longer than a request may take: they do not wake
// up because it is over.
func (s *sleepers) sleep(_ context.Context, op faultblob.Op) { s.park(context.Background(), op) }

// faults lose some requests or their replies, and show old listings.
func (s *sleepers) faults(seed uint64) func(faultblob.Op) faultblob.Fault {
	rng := rand.New(rand.NewPCG(seed, 1))
	return func(op faultblob.Op) faultblob.Fault {
		if !s.faulty {
			return faultblob.Fault{}
		}
		switch n := rng.IntN(100); {
		case n < 3:
			return faultblob.Fault{Kind: faultblob.Lost}
		case n < 6 && op.Kind != faultblob.Get:
			return faultblob.Fault{Kind: faultblob.Applied}
		case n < 30 && op.Kind == faultblob.List && op.Key == "":
			return faultblob.Fault{Kind: faultblob.Stale, At: int64(rng.IntN(12))}
		}
		return faultblob.Fault{}
	}
}

func (s *sleepers) sleeperOptions(rng *rand.Rand) *varve.BackupOptions {
	opts := &varve.BackupOptions{Into: varve.Latest, NoBase: rng.IntN(3) == 0, FullEvery: 100000 * time.Hour}
	switch rng.IntN(5) {
	case 0:
		opts.Into, opts.FullEvery = "", 0
	case 1:
		opts.Into, opts.FullEvery = s.layers[rng.IntN(len(s.layers))].ID, 0
	}
	return opts
}

// clocked is the collection as somebody sees it whose clock is wrong.
func (s *sleepers) clocked(rng *rand.Rand) *varve.Collection {
	skew := time.Duration(rng.IntN(2)*(rng.IntN(4000)-2000)) * time.Hour
	return collectionIn(s, s.bucket, &varve.CollectionOptions{Now: func() time.Time {
		return time.Now().Add(skew)
	}})
}

// expireOnce carries a plan out that may be old by then.
func (s *sleepers) expireOnce(rng *rand.Rand) {
	policy := varve.Policy{KeepLast: 1 + rng.IntN(2), Force: rng.IntN(3) == 0}
	if rng.IntN(4) == 0 {
		policy = varve.Policy{KeepWithin: time.Minute, Force: true}
	}
	c := s.clocked(rng)
	plan, err := c.PlanExpire(s.Context(), policy)
	if err != nil {
		s.requireFaulty(err)
		return
	}
	report, err := c.Expire(s.Context(), plan)
	if err != nil {
		s.requireFaulty(err)
	}
	s.noted.Lock()
	defer s.noted.Unlock()
	for _, l := range slices.Concat(report.Retired, report.Expired) {
		s.retired[l.ID] = true
	}
	for _, l := range plan.Drops() { // the mark may be there although it was reported as failed
		s.retired[l.ID] = true
	}
}

// requireFaulty accepts that storage failed, or slept.
func (s *sleepers) requireFaulty(err error) {
	text := err.Error()
	if !errors.Is(err, faultblob.ErrInjected) && !strings.Contains(text, "injected") && !strings.Contains(text, "no progress in time") && !strings.Contains(text, "stands still") &&
		!strings.Contains(text, "just written") && !errors.Is(err, context.Canceled) {
		s.Errorf("expire: %v", err)
	}
}

// requireReason accepts that a backup lost: what it was to extend is going, or it was
// declared dead; or that storage failed for too long.
func (s *sleepers) requireReason(err error) {
	var corrupt *varve.CorruptError
	var gap *varve.ChainGapError
	var lineage *varve.LineageError
	switch {
	case err == nil, errors.Is(err, varve.ErrConflict), errors.Is(err, varve.ErrNoLayer), errors.Is(err, varve.ErrNoFull):
	case errors.As(err, &corrupt), errors.As(err, &gap), errors.As(err, &lineage): // it read what went away while it slept
	default:
		s.requireFaulty(err)
	}
}

// tryRestore must fail or have the right state. It may read what goes away if it sleeps
// for a day.
func (s *sleepers) tryRestore(from string) {
	dst := newStore(s, &memkv.Options{SingleRevision: true})
	restored, err := s.collection().Restore(s.Context(), varve.Cluster(dst), &varve.RestoreOptions{From: from, Concurrency: 1})
	if err != nil {
		s.requireReason(err)
		if got := stateOf(dst); len(got) > 0 {
			s.Errorf("a restore that failed left %d entries", len(got))
		}
		return
	}
	want := s.stateAt(restored.From.ID)
	if fmt.Sprint(want) != fmt.Sprint(stateOf(dst)) {
		s.Errorf("restore of %s has another state", restored.From.ID)
	}
}

func (s *sleepers) stateAt(layer string) []export.Entry {
	state, known := s.stores[0].state(layer)
	if !known {
		state, _ = s.stores[1].state(layer)
	}
	return state
}

// requireKept restores all that is listed and not retired, and wants every layer there
// that was committed and that nobody retired.
func (s *sleepers) requireKept() {
	s.Helper()
	keys := s.bucket.Keys()
	listed := map[string]bool{}
	for l, err := range s.collection().Layers(s.Context()) {
		require.NoError(s, err)
		listed[l.ID] = true
		if slices.Contains(keys, "retired/"+l.ID) {
			continue
		}
		_, err := s.collection().Verify(s.Context(), l.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
		require.NoError(s, err)
		require.Equal(s, l.ID, s.restore(l.ID))
	}
	for _, l := range s.layers {
		if !listed[l.ID] {
			require.True(s, s.retired[l.ID], "layer %s is gone, and nobody retired it", l.ID)
		}
	}
}
