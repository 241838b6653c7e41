package varve_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/faultblob"
)

// A backup takes steps in the store: it looks at it, takes and closes its snapshot,
// reads it, lists and releases what is kept.

var errStep = errors.New("the step failed")

// mishap is what happens at one of the steps.
type mishap struct {
	step int  // from 1
	done bool // when the step has taken effect, not before
	dies bool // the process, not the step alone
}

func (m mishap) String() string {
	when, what := "before", "fails"
	if m.done {
		when = "after"
	}
	if m.dies {
		what = "dies"
	}
	return what + " " + when
}

// befall lets it happen in the backups that follow.
func (s *scene) befall(m mishap) {
	n := 0
	s.fail = func(_ string, done bool) error {
		if !done {
			n++
		}
		if n != m.step || done != m.done {
			return nil
		}
		if !m.dies {
			return errStep
		}
		s.store.Close()
		s.bucket.Inject(faultblob.From(0, faultblob.Fault{Kind: faultblob.Lost}))
		return export.ErrClosed
	}
}

// steps are the calls of a backup that goes well, and how many of them come before
// the manifest.
func (begin setting) steps(t testing.TB) (calls []string, before int) {
	t.Helper()
	s := begin(t)
	s.call = func(op string) { calls = append(calls, op) }
	require.NoError(t, s.backup())
	for i, op := range calls {
		if op == "close snapshot" {
			before = i
		}
	}
	return calls, before
}

// TestEachStepFails: earlier layers stay whole, a run that fails leaves the store as
// it was, and the next goes on where that one would have; after it nothing is kept
// but its base. Once the manifest is there, nothing undoes the layer.
func TestEachStepFails(t *testing.T) {
	t.Parallel()
	for name, begin := range commitSettings() {
		calls, before := begin.steps(t)
		for _, n := range someCalls(calls) {
			for _, done := range []bool{false, true} {
				m := mishap{step: n, done: done}
				bubble(t, fmt.Sprintf("%s/%d %s %s", name, n, calls[n-1], m), func(t *testing.T) {
					s := begin(t)
					s.befall(m)
					kept := s.kept()
					err := s.attempt(t.Context())
					if n <= before && !isPinned(calls, before, n) {
						require.ErrorIs(t, err, errStep)
						require.Equal(t, kept, s.kept())
					} else {
						require.NoError(t, err)
					}
					s.goOn()
				})
			}
		}
	}
}

// isPinned reports whether the call is that by which a run finds out how much its
// base pins: not worth failing for.
func isPinned(calls []string, before, n int) bool {
	return n == before && calls[n-1] == "snapshots"
}

// TestDeathAtEachStep: what a dead process has left in the store does not mislead the
// next one, and is gone a day later.
func TestDeathAtEachStep(t *testing.T) {
	t.Parallel()
	for name, begin := range commitSettings() {
		calls, before := begin.steps(t)
		for _, n := range someCalls(calls) {
			for _, done := range []bool{false, true} {
				m := mishap{step: n, done: done, dies: true}
				bubble(t, fmt.Sprintf("%s/%d %s %s", name, n, calls[n-1], m), func(t *testing.T) {
					s := begin(t)
					kept := s.kept()
					s.befall(m)
					err := s.die(t)
					require.Equal(t, n > before, err == nil, "%v", err)
					orphans := s.orphans(kept)
					require.LessOrEqual(t, len(orphans), 1)
					s.requireListed()
					s.change(8)
					require.NoError(t, s.attempt(t.Context()))
					s.requireBaseAnd(orphans)
					*s.now = s.now.Add(24 * time.Hour)
					require.NoError(t, s.attempt(t.Context()))
					s.requireOneBase()
					s.requireWhole()
				})
			}
		}
	}
}

// die is a backup in a process that does not outlive it.
func (s *scene) die(t *testing.T) error {
	t.Helper()
	err := s.attempt(t.Context())
	s.fail = nil
	s.bucket.Inject(nil)
	s.store = s.store.Reopen()
	return err
}

// orphans are the snapshots of no layer that were not kept before.
func (s *scene) orphans(before []string) []string {
	return slices.DeleteFunc(s.kept(), func(name string) bool {
		_, committed := s.states[name]
		return committed || slices.Contains(before, name)
	})
}

// requireBaseAnd wants nothing kept but orphans and the base of the newest layer.
func (s *scene) requireBaseAnd(orphans []string) {
	s.Helper()
	want := slices.Clone(orphans)
	if !s.opts.NoBase {
		want = append(want, s.last.ID)
	}
	require.ElementsMatch(s, want, s.kept())
}

// TestReleaseFails, too: what a run that failed could not release goes a day later,
// as if it had died.
func TestReleaseFails(t *testing.T) {
	t.Parallel()
	for name, begin := range commitSettings() {
		bubble(t, name, func(t *testing.T) {
			s := begin(t)
			kept := s.kept()
			s.fail = func(op string, _ bool) error {
				if op == "next" || op == "release" {
					return fmt.Errorf("%s: %w", op, errStep)
				}
				return nil
			}
			err := s.attempt(t.Context())
			require.ErrorContains(t, err, "next: ")
			require.ErrorContains(t, err, "release: ")
			orphans := s.orphans(kept)
			require.Len(t, orphans, 1)
			s.fail = nil
			require.NoError(t, s.attempt(t.Context()))
			s.requireBaseAnd(orphans)
			*s.now = s.now.Add(24 * time.Hour)
			s.goOn()
		})
	}
}

// TestNothingIsReleased for a long time: the first run that can puts all in order.
func TestNothingIsReleased(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{})
	require.NoError(t, s.backup())
	s.opts.Into = varve.Latest
	s.fail = func(op string, _ bool) error {
		if op == "release" {
			return errStep
		}
		return nil
	}
	for i := range uint64(5) {
		s.change(i)
		require.NoError(t, s.attempt(t.Context()))
		require.Len(t, s.kept(), int(i)+2)
	}
	s.goOn()
}
