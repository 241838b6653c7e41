package varve_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/internal/faultblob"
)

// archive is a scene over months. Its bucket has a clock of its own.
type archive struct {
	*scene
	skew    time.Duration // of all clients, against the bucket
	bucketN *time.Time
}

func newArchive(t testing.TB) *archive {
	t.Helper()
	a := &archive{scene: newScene(t, varve.BackupOptions{})}
	now := *a.now
	a.bucketN = &now
	a.bucket = faultblob.New(t, &faultblob.Options{Now: func() time.Time { return now }})
	return a
}

// wait lets time pass, for all.
func (a *archive) wait(d time.Duration) {
	*a.bucketN = a.bucketN.Add(d)
	*a.now = a.bucketN.Add(a.skew)
}

// layer is taken d after the one before.
func (a *archive) layer(d time.Duration, into string) *varve.Layer {
	a.Helper()
	a.wait(d)
	a.opts.Into = into
	if len(a.states) > 0 {
		a.change(uint64(len(a.states)))
	}
	require.NoError(a, a.attempt(a.Context()))
	return a.last
}

// nights takes a full each fourth night, and incrementals in between.
func (a *archive) nights(n int) (layers []*varve.Layer) {
	a.Helper()
	for i := range n {
		into := varve.Latest
		if i%4 == 0 {
			into = ""
		}
		layers = append(layers, a.layer(24*time.Hour, into))
	}
	return layers
}

func (a *archive) plan(policy varve.Policy) *varve.ExpirePlan {
	a.Helper()
	plan, err := a.collection().PlanExpire(a.Context(), policy)
	require.NoError(a, err)
	return plan
}

// expire plans and carries it out at once.
func (a *archive) expire(policy varve.Policy) (*varve.ExpireReport, error) {
	a.Helper()
	report, err := a.collection().Expire(a.Context(), a.plan(policy))
	if err == nil {
		require.NotNil(a, report)
	}
	return report, err
}

// settle expires for as long as it takes.
func (a *archive) settle(policy varve.Policy) *varve.ExpireReport {
	a.Helper()
	_, err := a.expire(policy)
	require.NoError(a, err)
	a.wait(25 * time.Hour)
	report, err := a.expire(policy)
	require.NoError(a, err)
	return report
}

// requireExactly wants these layers restored and verified, and no others listed.
func (a *archive) requireExactly(layers ...*varve.Layer) {
	a.Helper()
	states := map[string]sceneState{}
	for _, l := range layers {
		states[l.ID] = a.states[l.ID]
	}
	a.states = states
	require.ElementsMatch(a, slices.Collect(maps.Keys(states)), a.listed())
	for id := range states {
		_, err := a.collection().Verify(a.Context(), id, &varve.VerifyOptions{Level: varve.VerifyDigest})
		require.NoError(a, err)
		require.NoError(a, a.restore(a.newStore(), id))
	}
}

// requireNothingOf wants no object that mentions one of the layers.
func (a *archive) requireNothingOf(layers ...*varve.Layer) {
	a.Helper()
	for _, key := range a.bucket.Keys() {
		for _, l := range layers {
			require.NotContains(a, key, l.ID)
			require.False(a, strings.HasPrefix(key, l.Path+"/BACKUP_MANIFEST"), key)
		}
	}
}

func fateOf(plan *varve.ExpirePlan, l *varve.Layer) (keep bool, why string) {
	for _, pt := range plan.Points {
		if pt.ID == l.ID {
			return pt.Keep, strings.Join(pt.Reasons, "; ")
		}
	}
	return false, "not in the plan"
}

// TestExpire: a retired layer is no restore point at once, is gone after a day, and
// nothing of it is left. What is kept is kept with all that it needs.
func TestExpire(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(10) // fulls are 0, 4 and 8
	policy := varve.Policy{KeepLast: 3}
	before := a.bucket.Keys()
	plan := a.plan(policy)
	require.Equal(t, before, a.bucket.Keys(), "a plan writes nothing")
	for i, l := range n {
		keep, why := fateOf(plan, l)
		require.Equal(t, i >= 4 && i != 7 || i == 7, keep, "%d: %s", i, why)
		if i >= 4 && i < 7 {
			require.Contains(t, why, "needed by")
		}
	}
	require.Len(t, plan.Drops(), 4)

	report, err := a.expire(policy)
	require.NoError(t, err)
	require.Len(t, report.Retired, 4)
	require.Len(t, report.Waiting, 4)
	require.Zero(t, report.Objects)
	require.ErrorIs(t, a.restore(a.newStore(), n[1].ID), varve.ErrNoLayer)
	retired, err := a.collection().Retired(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]bool{n[0].ID: true, n[1].ID: true, n[2].ID: true, n[3].ID: true}, retired)
	latest, err := a.collection().Layer(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, n[9].ID, latest.ID)

	report, err = a.expire(policy)
	require.NoError(t, err)
	require.Empty(t, report.Expired, "the day is not over")
	a.wait(25 * time.Hour)
	report, err = a.expire(policy)
	require.NoError(t, err)
	require.Len(t, report.Expired, 4)
	require.NotZero(t, report.Bytes)
	a.requireNothingOf(n[:4]...)
	a.requireExactly(n[4:]...)

	report, err = a.expire(policy)
	require.NoError(t, err)
	require.Zero(t, report.Objects, "there is nothing left to do")
	require.Equal(t, n[9].ID, a.layer(time.Hour, varve.Latest).ParentID)
	a.requireExactly(append(n[4:], a.last)...)
}

// TestExpireRecords are kept for a month, so that they do not pile up.
func TestExpireRecords(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.nights(2)
	for range 100 {
		a.wait(24 * time.Hour)
		_, err := a.expire(varve.Policy{KeepLast: 9})
		require.NoError(t, err)
	}
	records := slices.DeleteFunc(a.bucket.Keys(), func(key string) bool { return !strings.HasPrefix(key, "expired/") })
	require.Len(t, records, 31)
}

// TestExpireCrash ends the process at each operation of a run that sweeps, as far as
// storage can tell, after it took effect or before. The next run finishes, and at no time
// is anything missing of what is kept.
func TestExpireCrash(t *testing.T) {
	t.Parallel()
	expireCrash(t, newArchive(t), 1)
}

func TestExpireCrashSealed(t *testing.T) {
	t.Parallel()
	a, _ := sealedArchive(t)
	expireCrash(t, a, 5)
}

func expireCrash(t *testing.T, a *archive, step int) {
	n := a.nights(6)
	if a.keys != nil {
		require.NoError(t, a.collection().AddKey(t.Context(), n[1].ID, a.keys[0]))
	}
	policy := varve.Policy{KeepLast: 1}
	dead := a.deadRun(n[5])
	_, err := a.collection().Verify(t.Context(), n[2].ID, &varve.VerifyOptions{Record: true})
	require.NoError(t, err)
	_, err = a.collection().Verify(t.Context(), n[5].ID, &varve.VerifyOptions{Record: true})
	require.NoError(t, err)
	_, err = a.expire(policy)
	require.NoError(t, err)
	a.wait(25 * time.Hour)

	whole := a.bucket.Clone()
	a.bucket = whole.Clone()
	a.bucket.Reset()
	report, err := a.expire(policy)
	require.NoError(t, err)
	require.Len(t, report.Expired, 4)
	require.Len(t, report.Dead, 1)
	a.requireNothingOf(n[:4]...)
	require.NotContains(t, strings.Join(a.bucket.Keys(), " "), "data/"+dead)
	want := withoutRecords(a.bucket.Keys())
	ops := a.bucket.Trace()
	require.Greater(t, a.bucket.Count(faultblob.Delete), 30)

	if testing.Short() {
		step = 7
	}
	for i := 0; i < len(ops); i += step {
		kind := faultblob.Lost
		if i%2 == 0 {
			kind = faultblob.Applied
		}
		bubble(t, fmt.Sprintf("%d %s", i+1, ops[i].Kind), func(t *testing.T) {
			now := *a.bucketN
			b := &archive{scene: &scene{TB: t, bucket: whole.Clone(), store: a.store, now: &now, opts: a.opts, states: maps.Clone(a.states), last: a.last}, bucketN: &now}
			keys := a.keys
			b.bucket.Inject(crashAt(ops[i].N, kind))
			plan, err := b.collection().PlanExpire(t.Context(), policy)
			if err == nil {
				_, err = b.collection().Expire(t.Context(), plan)
			}
			if kind == faultblob.Lost {
				require.Error(t, err)
			}
			b.bucket.Inject(nil)
			b.keys = keys // expiry has none
			for _, l := range n[4:] {
				require.NoError(t, b.restore(b.newStore(), l.ID))
			}
			b.blind(func() { _, err = b.expire(policy) })
			require.NoError(t, err)
			got := withoutRecords(b.bucket.Keys())
			require.Equal(t, want, got)
			b.requireExactly(n[4:]...)
		})
	}
}

// crashAt lets one operation fail, after it took effect or not, and all after it.
func crashAt(n int, first faultblob.FaultKind) func(faultblob.Op) faultblob.Fault {
	return func(op faultblob.Op) faultblob.Fault {
		switch {
		case op.N == n:
			return faultblob.Fault{Kind: first}
		case op.N > n:
			return faultblob.Fault{Kind: faultblob.Lost}
		}
		return faultblob.Fault{}
	}
}

// withoutRecords leaves out what each run writes of itself, expiry and restores.
func withoutRecords(keys []string) []string {
	return slices.DeleteFunc(keys, func(key string) bool {
		return strings.HasPrefix(key, "expired/") || strings.HasPrefix(key, "jobs/")
	})
}

// deadRun leaves what a backup leaves that ends before its manifest, and returns the ID
// of what would have been its layer.
func (a *archive) deadRun(parent *varve.Layer) string {
	a.Helper()
	var died string
	a.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == faultblob.Put && strings.HasPrefix(op.Key, "refs/"+parent.ID+"/") {
			died = op.Key[len("refs/"+parent.ID+"/"):]
		}
		if op.Kind == faultblob.Put && role(op.Key) == "BACKUP_MANIFEST" {
			return faultblob.Fault{Kind: faultblob.Denied}
		}
		return faultblob.Fault{}
	})
	defer a.bucket.Inject(nil)
	a.opts.Into = varve.Latest
	a.change(99)
	require.Error(a, a.attempt(a.Context()))
	return died
}

// TestDeadRuns: what a run has left that never committed is swept a day later. Its
// place is taken for ever, so that it cannot commit.
func TestDeadRuns(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(1)
	dead := a.deadRun(n[0])
	policy := varve.Policy{KeepLast: 9}
	require.Empty(t, a.plan(policy).Dead)
	a.wait(23 * time.Hour)
	_, err := a.expire(policy)
	require.NoError(t, err)
	require.Contains(t, strings.Join(a.bucket.Keys(), " "), dead, "it may wake up")
	later := a.layer(2*time.Hour, varve.Latest)
	plan := a.plan(policy)
	require.Len(t, plan.Dead, 1)
	require.Equal(t, dead, plan.Dead[0].Layer)
	require.Contains(t, plan.String(), "dead run")
	report, err := a.expire(policy)
	require.NoError(t, err)
	require.Len(t, report.Dead, 1)
	require.Equal(t, report.Dead[0].Path, plan.Dead[0].Path)
	require.NotContains(t, strings.Join(a.bucket.Keys(), " "), dead)
	require.Contains(t, a.bucket.Keys(), plan.Dead[0].Path+"/BACKUP_MANIFEST")
	require.Contains(t, a.bucket.Keys(), plan.Dead[0].Path+"/progress/0")
	require.Empty(t, a.plan(policy).Dead)
	a.requireExactly(n[0], later, a.layer(time.Hour, varve.Latest))
}

// TestSleepers: a backup stops at one of its writes, for longer than anything is waited
// for, while all but the newest layer is expired, or everything. It loses, or what it
// commits is whole.
func TestSleepers(t *testing.T) {
	t.Parallel()
	trace := func(a *archive) []faultblob.Op {
		a.bucket.Reset()
		a.layer(time.Hour, varve.Latest)
		return slices.DeleteFunc(a.bucket.Trace(), func(op faultblob.Op) bool { return op.Kind == faultblob.List })
	}
	a := newArchive(t)
	a.nights(3)
	for _, op := range trace(a) {
		for _, fault := range []faultblob.FaultKind{faultblob.None, faultblob.Lost, faultblob.Applied} {
			for _, everything := range []bool{false, true} {
				name := fmt.Sprintf("%d %s %s %s everything=%t", op.N, op.Kind, role(op.Key), faultblob.Fault{Kind: fault}, everything)
				bubble(t, name, func(t *testing.T) { sleepAt(t, op.N, fault, everything) })
			}
		}
	}
}

func sleepAt(t *testing.T, at int, fault faultblob.FaultKind, everything bool) {
	a := newArchive(t)
	n := a.nights(3)
	a.bucket.Reset()
	asleep := false
	a.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.N != at {
			return faultblob.Fault{}
		}
		asleep = true
		return faultblob.Fault{Kind: fault}
	})
	policy := varve.Policy{KeepLast: 1, Force: everything}
	if everything {
		policy = varve.Policy{KeepWithin: time.Minute, Force: true}
	}
	sleep := func() {
		asleep = false
		a.bucket.Inject(nil)
		a.wait(48 * time.Hour)
		a.settle(policy)
		a.wait(48 * time.Hour)
		_, err := a.expire(policy)
		require.NoError(t, err)
	}
	// The hook may not call the bucket: the next operation sleeps before it begins.
	a.bucket.Park(func(context.Context, faultblob.Op) {
		if asleep {
			sleep()
		}
	})
	a.opts.Into = varve.Latest
	a.change(7)
	known := maps.Clone(a.states)
	err := a.attempt(t.Context())
	a.bucket.Park(nil)
	if err != nil {
		lost := errors.Is(err, varve.ErrConflict) || errors.Is(err, varve.ErrNoFull) || errors.Is(err, varve.ErrNoLayer)
		require.True(t, lost || fault != faultblob.None && strings.Contains(err.Error(), faultblob.ErrInjected.Error()), "%v", err)
		a.states = known
	}
	var kept []*varve.Layer
	for _, l := range append(n, a.last) {
		if slices.Contains(a.listed(), l.ID) && !slices.Contains(a.bucket.Keys(), "retired/"+l.ID) && !slices.ContainsFunc(kept, func(o *varve.Layer) bool { return o.ID == l.ID }) {
			kept = append(kept, l)
		}
	}
	for _, l := range kept {
		require.NoError(t, a.restore(a.newStore(), l.ID))
	}
	a.opts.Into, a.opts.FullEvery = varve.Latest, 1000*time.Hour
	require.NoError(t, a.attempt(t.Context()), "and the next run goes on")
	require.NoError(t, a.restore(a.newStore(), a.last.ID))
	a.settle(varve.Policy{KeepLast: 99})
	require.NoError(t, a.restore(a.newStore(), a.last.ID))
}

// TestHold: what is held stays with all below it, can be restored by its name even if it
// was retired, and goes when it is released.
func TestHold(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(6)
	c := a.collection()
	hold, err := c.Hold(t.Context(), n[1].ID, "audit of 2026")
	require.NoError(t, err)
	policy := varve.Policy{KeepLast: 1}
	plan := a.plan(policy)
	keep, why := fateOf(plan, n[1])
	require.True(t, keep)
	require.Contains(t, why, "held: audit of 2026")
	keep, why = fateOf(plan, n[0])
	require.True(t, keep)
	require.Contains(t, why, "needed by "+n[1].Path)
	a.settle(policy)
	a.requireExactly(n[0], n[1], n[4], n[5])

	var holds []*varve.Hold
	for h, err := range c.Holds(t.Context(), n[1].Path) {
		require.NoError(t, err)
		holds = append(holds, h)
	}
	require.Equal(t, []*varve.Hold{hold}, holds)

	// Somebody retired it before he saw the hold.
	a.bucket.Replace("retired/"+n[1].ID, []byte("{}"))
	a.settle(policy)
	require.NoError(t, a.restore(a.newStore(), n[1].ID))
	_, err = c.Hold(t.Context(), n[1].ID, "too late")
	require.ErrorIs(t, err, varve.ErrConflict)
	for h, err := range c.Holds(t.Context(), n[1].ID) {
		require.NoError(t, err)
		require.Equal(t, hold, h, "nobody else holds it")
		require.NoError(t, a.collection().Release(t.Context(), h))
	}
	require.NoError(t, c.Release(t.Context(), hold), "again")
	a.settle(policy)
	a.requireNothingOf(n[:4]...)
	a.requireExactly(n[4:]...)

	var option *varve.OptionError
	require.ErrorAs(t, c.Release(t.Context(), &varve.Hold{ID: n[5].ID, Layer: n[4].ID}), &option)
}

// TestUnknownStays: objects that nobody knows, layers that cannot be read, and what
// these need.
func TestUnknownStays(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(8)
	foreign := []string{
		"notes.txt", n[0].Path + "/notes.txt", n[0].Path + "/data/notes.sst", "refs/README", "retired/README",
		"jobs/" + n[0].ID + "/0", "elsewhere/progress/0", "elsewhere/BACKUP_MANIFEST.bak",
		n[5].Path + "/notes.txt", n[5].Path + "/data/notes.sst",
	}
	for _, key := range foreign {
		a.bucket.Replace(key, []byte("mine"))
	}
	a.bucket.Flip(n[2].Path+"/BACKUP_MANIFEST", 4000)
	a.bucket.Replace("refs/"+n[4].ID+"/"+strings.Repeat("e", 32), []byte("of a later version"))
	a.wait(100 * time.Hour)
	policy := varve.Policy{KeepLast: 1}
	plan := a.plan(policy)
	require.Contains(t, plan.Odd, n[2].Path)
	require.Contains(t, plan.String(), "cannot be read")
	a.layer(time.Hour, "") // what is newest needs none of them
	a.settle(policy)
	keys := a.bucket.Keys()
	require.Subset(t, keys, foreign)
	for _, l := range []*varve.Layer{n[0], n[1], n[2], n[4]} {
		require.Contains(t, keys, l.Path+"/BACKUP_MANIFEST", "needed by what cannot be read")
	}
	a.requireNothingOf(n[5:]...)
	require.NoError(t, a.restore(a.newStore(), n[1].ID))
	require.NoError(t, a.restore(a.newStore(), a.last.ID))
}

// TestDeniedDeletes: a failure concerns one layer and those below it. It is reported, and
// the next run tries again.
func TestDeniedDeletes(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(9) // fulls are 0, 4, 8
	policy := varve.Policy{KeepLast: 1}
	_, err := a.expire(policy)
	require.NoError(t, err)
	a.wait(25 * time.Hour)
	a.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == faultblob.Delete && strings.HasPrefix(op.Key, n[6].Path+"/data/") {
			return faultblob.Fault{Kind: faultblob.Denied}
		}
		return faultblob.Fault{}
	})
	report, err := a.expire(policy)
	var access *varve.AccessError
	require.ErrorAs(t, err, &access)
	require.Equal(t, "delete", access.Right)
	require.Len(t, report.Problems, 1)
	require.Len(t, report.Expired, 5, "all but three of one chain")
	require.Contains(t, a.bucket.Keys(), n[5].Path+"/BACKUP_MANIFEST")
	a.bucket.Inject(nil)
	report, err = a.expire(policy)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	a.requireNothingOf(n[:8]...)
	a.requireExactly(n[8])
}

// TestPlanIsCheckedAgain: what a plan drops is kept if it is needed by then; and a plan of
// another collection is refused.
func TestPlanIsCheckedAgain(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(5)
	policy := varve.Policy{KeepLast: 1}
	plan := a.plan(policy)
	require.Len(t, plan.Drops(), 4)
	_, err := a.collection().Hold(t.Context(), n[1].ID, "wait")
	require.NoError(t, err)
	fork := a.fork(n[2])
	report, err := a.collection().Expire(t.Context(), plan)
	require.NoError(t, err)
	require.Len(t, report.Retired, 1)
	require.Len(t, report.Kept, 3)
	a.wait(25 * time.Hour)
	_, err = a.collection().Expire(t.Context(), plan)
	require.NoError(t, err)
	a.requireExactly(n[0], n[1], n[2], n[4], fork)

	other := newArchive(t)
	other.nights(1)
	var option *varve.OptionError
	_, err = other.collection().Expire(t.Context(), plan)
	require.ErrorAs(t, err, &option)
	_, err = other.collection().Expire(t.Context(), nil)
	require.ErrorAs(t, err, &option)
}

func (a *archive) fork(parent *varve.Layer) *varve.Layer {
	a.Helper()
	a.last = parent
	return a.layer(time.Hour, parent.ID)
}

// TestExpireStale: a listing that does not show what was just written is not believed.
func TestExpireStale(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	n := a.nights(5)
	policy := varve.Policy{KeepLast: 1}
	_, err := a.expire(policy)
	require.NoError(t, err)
	a.wait(25 * time.Hour)
	keys := a.bucket.Keys()
	plan := a.plan(policy)
	a.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if op.Kind == faultblob.List && op.Key == "" {
			return faultblob.Fault{Kind: faultblob.Stale, At: 1}
		}
		return faultblob.Fault{}
	})
	_, err = a.collection().Expire(t.Context(), plan)
	require.ErrorContains(t, err, "was just written")
	require.Equal(t, withoutRecords(keys), withoutRecords(a.bucket.Keys()))
	a.bucket.Inject(nil)
	a.settle(policy)
	a.requireExactly(n[4])
}

// TestClientClocks: how wrong the clocks of clients are, or what they say of themselves,
// makes nothing go before its time.
func TestClientClocks(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-10000 * time.Hour, -30 * time.Hour, 30 * time.Hour, 10000 * time.Hour} {
		a := newArchive(t)
		a.skew = skew
		n := a.nights(6)
		policy := varve.Policy{KeepWithin: 49 * time.Hour}
		report := a.settle(policy)
		for _, l := range report.Expired {
			i := slices.IndexFunc(n, func(o *varve.Layer) bool { return o.ID == l.ID })
			require.Less(t, i, 4, "of the last two days, with a skew of %s", skew)
		}
		a.requireListedRestore()
	}
}

// requireListedRestore wants whatever is listed and not retired to be restored.
func (a *archive) requireListedRestore() {
	a.Helper()
	for _, id := range a.listed() {
		if !slices.Contains(a.bucket.Keys(), "retired/"+id) {
			require.NoError(a, a.restore(a.newStore(), id))
		}
	}
}

// TestRandomRetention takes backups for weeks, forks, verifies, holds, fails, and expires
// by random policies, with clocks that jump. At any time all that is listed and not
// retired is whole, what a plan keeps is there after it was carried out, and in the end
// nothing is left of what is gone.
func TestRandomRetention(t *testing.T) {
	t.Parallel()
	seeds := uint64(24)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			newArchive(t).live(rand.New(rand.NewPCG(seed, 11)))
		})
	}
}

func (a *archive) live(rng *rand.Rand) {
	a.layer(0, "")
	layers := []*varve.Layer{a.last}
	for range 30 {
		switch rng.IntN(12) {
		case 0:
			layers = append(layers, a.layer(time.Hour, ""))
		case 1, 2, 3, 4, 5:
			into := a.usableTip(layers, rng).ID
			var err error
			if a.last, err = a.collection().Layer(a.Context(), into); err == nil && a.last.Full() {
				into = varve.Latest // of a full the newest layer is extended
				a.last, err = a.collection().Layer(a.Context(), into)
			}
			require.NoError(a, err)
			layers = append(layers, a.layer(time.Duration(rng.IntN(40))*time.Hour, into))
		case 6:
			a.skew = time.Duration(rng.IntN(2000)-1000) * time.Hour
		case 7:
			_, err := a.collection().Verify(a.Context(), "", &varve.VerifyOptions{Record: true})
			require.NoError(a, err)
		case 8:
			if l := a.usableTip(layers, rng); rng.IntN(2) == 0 {
				_, err := a.collection().Hold(a.Context(), l.ID, "")
				require.NoError(a, err)
			}
		case 9:
			latest, err := a.collection().Layer(a.Context(), "")
			require.NoError(a, err)
			a.deadRun(latest)
		default:
			plan := a.plan(randomPolicy(rng))
			_, err := a.collection().Expire(a.Context(), plan)
			require.NoError(a, err)
			for _, pt := range plan.Points {
				if pt.Keep && !pt.Retired {
					require.NoError(a, a.restore(a.newStore(), pt.ID))
				}
			}
			a.wait(time.Duration(rng.IntN(30)) * time.Hour)
		}
	}
	a.requireListedRestore()
	a.skew = 0 // else nothing is old, perhaps
	a.settle(varve.Policy{KeepLast: 99})
	var gone []*varve.Layer
	for _, l := range layers {
		if !slices.Contains(a.listed(), l.ID) {
			gone = append(gone, l)
		}
	}
	a.requireNothingOf(gone...)
	a.requireListedRestore()
}

// usableTip is a layer that may be extended.
func (a *archive) usableTip(layers []*varve.Layer, rng *rand.Rand) *varve.Layer {
	listed, keys := a.listed(), a.bucket.Keys()
	usable := slices.DeleteFunc(slices.Clone(layers), func(l *varve.Layer) bool {
		return !slices.Contains(listed, l.ID) || slices.Contains(keys, "retired/"+l.ID)
	})
	return usable[max(len(usable)-1-rng.IntN(3), 0)]
}

func randomPolicy(rng *rand.Rand) varve.Policy {
	p := varve.Policy{KeepLast: rng.IntN(3), KeepDaily: rng.IntN(3), KeepWeekly: rng.IntN(2), Verified: rng.IntN(4) == 0}
	p.KeepWithin = cmp.Or(time.Duration(rng.IntN(3))*20*time.Hour, time.Minute)
	if rng.IntN(3) == 0 {
		p.Guarantee = 30 * time.Hour
	}
	return p
}
