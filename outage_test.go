package varve_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/internal/faultblob"
)

// verbs read a collection with one layer.
var verbs = map[string]func(*scene) error{
	"restore": func(s *scene) error {
		return s.restore(s.newStore(), s.listedOnce())
	},
	"rehearse": func(s *scene) error {
		return s.rehearse()
	},
	"list": func(s *scene) error {
		for l, err := range s.collection().Layers(s.Context()) {
			if err != nil {
				return err
			}
			require.Contains(s, s.states, l.ID)
		}
		return nil
	},
}

// listedOnce is the ID of the only layer, known without the bucket.
func (s *scene) listedOnce() string {
	for id := range s.states {
		return id
	}
	return ""
}

// rehearse climbs all levels of Verify. It finds no problem, whatever storage does:
// that is not the layer's.
func (s *scene) rehearse() error {
	scratch := s.newStore()
	report, err := s.collection().Verify(s.Context(), "", &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: scratch, Concurrency: 1})
	if report != nil {
		require.Empty(s, report.Problems)
	}
	return err
}

// misread makes a fault happen to operation n, if it is one that can have it.
func misread(n int, f faultblob.Fault) func(faultblob.Op) faultblob.Fault {
	return func(op faultblob.Op) faultblob.Fault {
		if op.N != n || op.Kind != faultblob.Get && (f.Kind == faultblob.Truncated || f.Kind == faultblob.Reset) {
			return faultblob.Fault{}
		}
		return f
	}
}

// TestEachReadFails: one failure is repaired by asking again, all but a refusal,
// which leaves nothing behind; and it is not held against the layer.
func TestEachReadFails(t *testing.T) {
	t.Parallel()
	begin := setting(backedUp)
	faults := []faultblob.Fault{
		{Kind: faultblob.Lost}, {Kind: faultblob.Denied},
		{Kind: faultblob.Truncated, At: 7}, {Kind: faultblob.Reset},
	}
	for verb, do := range verbs {
		for _, op := range begin.trace(t, do) {
			for _, fault := range faults {
				bubble(t, fmt.Sprintf("%s/%d %s %s %s at %d", verb, op.N, op.Kind, role(op.Key), fault, fault.At), func(t *testing.T) {
					s := begin.at(t)
					s.bucket.Inject(misread(op.N, fault))
					err := do(s)
					if fault.Kind == faultblob.Denied && !strings.HasPrefix(op.Key, "jobs/") { // who may only read leaves no records
						var access *varve.AccessError
						require.ErrorAs(t, err, &access)
					} else {
						require.NoError(t, err)
					}
					s.bucket.Inject(nil)
					require.NoError(t, do(s))
				})
			}
		}
	}
}

// isLastWord reports whether an operation writes down how a job has ended, which it has
// whether or not anybody is told.
func isLastWord(op faultblob.Op) bool {
	return strings.HasPrefix(op.Key, "jobs/") && !strings.HasSuffix(op.Key, "/0")
}

// TestStorageGoesAway: from some operation on nothing answers.
func TestStorageGoesAway(t *testing.T) {
	t.Parallel()
	begin := setting(backedUp)
	for verb, do := range verbs {
		for _, op := range begin.trace(t, do) {
			bubble(t, fmt.Sprintf("%s/%d %s %s", verb, op.N, op.Kind, role(op.Key)), func(t *testing.T) {
				s := begin.at(t)
				s.bucket.Inject(faultblob.From(op.N, faultblob.Fault{Kind: faultblob.Lost}))
				if err := do(s); !isLastWord(op) {
					require.ErrorIs(t, err, faultblob.ErrInjected)
				}
				s.bucket.Inject(nil)
				require.NoError(t, do(s))
			})
		}
	}
}
