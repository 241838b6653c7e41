package varve_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/internal/faultblob"
)

// TestStaleListings: a bucket whose listings lag behind, which none should. Runs fork a chain
// or refuse, and what they make is whole; restores give what they say, or find nothing.
func TestStaleListings(t *testing.T) {
	t.Parallel()
	for _, mode := range modes(t) {
		for _, a := range mode.acts() {
			lags := []int64{1, 2, 3, 5, 8, 1000}
			if testing.Short() {
				lags = []int64{2, 1000}
			}
			for _, behind := range lags {
				t.Run(fmt.Sprintf("%s/%s/%d behind", mode.name, a.name, behind), func(t *testing.T) {
					t.Parallel()
					s := a.begin(t)
					s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
						if op.Kind == faultblob.List {
							return faultblob.Fault{Kind: faultblob.Stale, At: behind}
						}
						return faultblob.Fault{}
					})
					switch a.name {
					case "restore", "verify", "add key", "compact the chain", "compact a window":
						requireStale(t, a.run(t.Context(), s))
					default:
						s.forks()
					}
					s.bucket.Inject(nil)
					s.requireAll()
					s.write(9)
					s.forks()
					s.requireAll()
				})
			}
		}
	}
}

// requireStale wants success, or an error that says what is not there.
func requireStale(t testing.TB, err error) {
	t.Helper()
	var gap *varve.ChainGapError
	if !errors.Is(err, varve.ErrNoLayer) && !errors.Is(err, varve.ErrNoFull) && !errors.As(err, &gap) {
		require.NoError(t, err)
	}
}

// forks is a backup that may extend another layer than the newest.
func (s *scene) forks() {
	s.Helper()
	var src = s.targets(&watched{Store: s.store})
	if s.engine != nil {
		src = s.targets(s.engine)
	}
	state := stateOf(s.store)
	layer, err := s.collection().Backup(s.Context(), src, &s.opts)
	requireStale(s, err)
	if err == nil {
		s.states[layer.ID], s.last = sceneState{entries: state}, layer
	}
}

// requireAll wants all layers listed and whole, whichever is the latest.
func (s *scene) requireAll() {
	s.Helper()
	require.Len(s, s.listed(), len(s.states))
	for id := range s.states {
		_, err := s.collection().Verify(s.Context(), id, &varve.VerifyOptions{Level: varve.VerifyDigest})
		require.NoError(s, err)
		require.NoError(s, s.restore(s.newStore(), id))
	}
}

// TestNoRightToDelete (I10): no verb asks to delete, to copy or to write what is there, so
// that a bucket may be locked and its credentials without these rights. Only the claim of
// a path may be asked for where there is one, by a run that ends within the same hundredth of
// a second as another: the bucket refuses it, and it claims the next path.
func TestNoRightToDelete(t *testing.T) {
	t.Parallel()
	for _, mode := range modes(t) {
		for _, a := range mode.acts() {
			t.Run(mode.name+"/"+a.name, func(t *testing.T) {
				t.Parallel()
				s := a.begin(t)
				there := map[string]bool{}
				for _, key := range s.bucket.Keys() {
					there[key] = true
				}
				var wrong []faultblob.Op
				s.bucket.Reset()
				s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
					again := op.Kind == faultblob.Put && there[op.Key] && !strings.HasSuffix(op.Key, "/progress/0")
					if op.Kind == faultblob.Delete || op.Kind == faultblob.Copy || again {
						wrong = append(wrong, op)
						return faultblob.Fault{Kind: faultblob.Denied}
					}
					there[op.Key] = there[op.Key] || op.Kind == faultblob.Put
					return faultblob.Fault{}
				})
				require.NoError(t, a.run(t.Context(), s))
				require.Empty(t, wrong)
				require.NotEmpty(t, s.bucket.Trace())
			})
		}
	}
}
