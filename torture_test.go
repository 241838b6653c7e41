package varve_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	tortureAll  = flag.Bool("torture", false, "all cases of the generated matrices, and not a part of them")
	tortureSeed = flag.Uint64("torture.seed", 0, "the part of this seed; 0: another one each time")
)

// matrix is generated cases, of which a run takes every so many-th unless it is to take all.
type matrix struct {
	*testing.T
	every map[bool]int // of cases that are rare, and of others
	next  map[bool]int

	mu     sync.Mutex
	passed map[string]int // by column
	all    int            // cases there are
}

// rareness is how many times more often a case is taken of which there are few.
const rareness = 20

// newMatrix prints its totals when all cases have ended.
func newMatrix(t *testing.T, every int) *matrix {
	seed := *tortureSeed
	if seed == 0 {
		seed = rand.Uint64N(1<<32) + 1
	}
	if testing.Short() {
		every *= 8
	}
	if *tortureAll {
		every = 1
	} else {
		t.Logf("every %dth case; replay with: go test -run '^%s$' . -args -torture.seed %d", every, t.Name(), seed)
	}
	m := &matrix{T: t, every: map[bool]int{false: every, true: max(1, every/rareness)}, next: map[bool]int{}, passed: map[string]int{}}
	for rare, n := range m.every {
		m.next[rare] = int(seed % uint64(n))
	}
	t.Cleanup(func() { t.Log(m.totals()) })
	return m
}

// takes reports whether the next case is one of this run.
func (m *matrix) takes(rare bool) bool {
	m.all++
	m.next[rare] = (m.next[rare] + 1) % m.every[rare]
	return m.next[rare] == 0
}

// pass counts cases that are as they must be.
func (m *matrix) pass(column string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passed[column]++
}

func (m *matrix) totals() string {
	var out strings.Builder
	sum := 0
	for _, column := range slices.Sorted(maps.Keys(m.passed)) {
		fmt.Fprintf(&out, "\n%6d %s", m.passed[column], column)
		sum += m.passed[column]
	}
	verdict := "all passed"
	if m.Failed() {
		verdict = "SOME FAILED"
	}
	return fmt.Sprintf("%s: %d of %d cases, %s%s", m.Name(), sum, m.all, verdict, out.String())
}
