package kvtest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// T is what a check needs of *testing.T, so that a test can watch a check fail.
type T interface {
	require.TestingT
	Helper()
	Context() context.Context
	Skipf(format string, args ...any)
}

var _ T = (*testing.T)(nil)

// check is one property of an adapter. It gets a harness of its own.
type check struct {
	name string
	run  func(w *world)
}

// Run runs the suite. Each check has a harness of its own, and several run at
// once.
func Run(t *testing.T, newHarness NewHarness) {
	run := func(t *testing.T, a ability) {
		for _, c := range checks() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(newWorld(t, newHarness(t), a))
			})
		}
	}
	run(t, everything)
	t.Run("Plain", func(t *testing.T) { run(t, required) })
}

func checks() []check {
	var all []check
	for _, group := range [][]check{
		consistencyChecks(), partitionChecks(), orderChecks(), pagingChecks(), clippingChecks(),
		resolutionChecks(), bytesChecks(), sinceChecks(), tableChecks(), ingestChecks(), resumeChecks(), nameChecks(),
		lineageChecks(), cancelChecks(), closedChecks(), lockChecks(), abilityChecks(), catalogChecks(),
	} {
		all = append(all, group...)
	}
	return all
}
