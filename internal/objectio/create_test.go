package objectio_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/internal/faultblob"
	"github.com/varvekv/varve/internal/objectio"
)

// first makes the faults happen to the first operations of a kind, one each.
func first(op faultblob.Kind, list ...faultblob.FaultKind) func(faultblob.Op) faultblob.Fault {
	return func(o faultblob.Op) (f faultblob.Fault) {
		if o.Kind == op && len(list) > 0 {
			f.Kind, list = list[0], list[1:]
		}
		return f
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	const mine, other = "mine", "mine too"
	for _, test := range []struct {
		name   string
		before string
		inject func(faultblob.Op) faultblob.Fault
		want   error
		stored string
		counts string
	}{
		{"created", "", nil, nil, mine, "put 1"},
		{"another's", other, nil, objectio.ErrExist, other, "put 1, get 1"},
		{"ours from before", mine, nil, nil, mine, "put 1, get 1"},
		{"lost", "", first(faultblob.Put, faultblob.Lost), nil, mine, "put 2, get 1"},
		{"applied", "", first(faultblob.Put, faultblob.Applied), nil, mine, "put 1, get 1"},
		{"repeated", "", first(faultblob.Put, faultblob.Repeated), nil, mine, "put 1, get 1"},
		{"delayed", "", first(faultblob.Put, faultblob.Delayed), nil, mine, "put 2, get 1"},
		{"lost to another", other, first(faultblob.Put, faultblob.Lost), objectio.ErrExist, other, "put 1, get 1"},
		{"lost again and again", "", always(faultblob.Put, faultblob.Lost), faultblob.ErrInjected, "", "put 6, get 6"},
		{"denied", "", always(faultblob.Put, faultblob.Denied), objectio.ErrDenied, "", "put 1, get 1"},
		{"applied, unreadable", "", faultblob.From(1, faultblob.Fault{Kind: faultblob.Applied}), faultblob.ErrInjected, mine, "put 1, get 6"},
		{"all denied", "", faultblob.From(1, faultblob.Fault{Kind: faultblob.Denied}), objectio.ErrDenied, "", "put 1, get 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				faults := faultblob.New(t, nil)
				if test.before != "" {
					faults.Replace("a", []byte(test.before))
				}
				faults.Inject(test.inject)
				err := objectio.New(faults.Open(), "").Create(t.Context(), "a", []byte(mine))
				require.ErrorIs(t, err, test.want)
				require.Equal(t, test.counts, faults.Counts())
				if test.stored == "" {
					require.Empty(t, faults.Keys())
				} else {
					require.Equal(t, test.stored, string(faults.Read("a")))
				}
				if err != nil {
					require.Contains(t, err.Error(), `create "a": `)
				}
			})
		})
	}
}

// TestCreateConflictWithNothing: a write that failed may have been in another's way.
func TestCreateConflictWithNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faults := faultblob.New(t, nil)
		faults.Inject(func(op faultblob.Op) faultblob.Fault {
			if op.N == 2 {
				faults.Remove("a")
			}
			return faultblob.Nth(1, faultblob.Fault{Kind: faultblob.Repeated})(op)
		})
		require.NoError(t, objectio.New(faults.Open(), "").Create(t.Context(), "a", []byte("x")))
		require.Equal(t, "put 2, get 1", faults.Counts())
	})
}

func TestCreateCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faults := faultblob.New(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		faults.Inject(always(faultblob.Put, faultblob.Lost))
		done := make(chan error)
		go func() { done <- objectio.New(faults.Open(), "").Create(ctx, "a", []byte("x")) }()
		synctest.Wait() // for its first rest
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		require.Equal(t, "put 1, get 1", faults.Counts())
	})
}

// TestCreateRace: whatever storage reports, exactly one of the writers wins.
func TestCreateRace(t *testing.T) {
	t.Parallel()
	for _, fault := range []faultblob.FaultKind{faultblob.None, faultblob.Applied, faultblob.Repeated} {
		faults := faultblob.New(t, nil)
		faults.Inject(always(faultblob.Put, fault))
		var winner atomic.Value
		var group errgroup.Group
		for n := range 8 {
			group.Go(func() error {
				body := fmt.Sprintf("writer %d", n)
				err := objectio.New(faults.Open(), "").Create(t.Context(), "a", []byte(body))
				if err == nil && winner.Swap(body) != nil {
					return fmt.Errorf("%s won, too", body)
				}
				if err != nil {
					require.ErrorIs(t, err, objectio.ErrExist)
				}
				return nil
			})
		}
		require.NoError(t, group.Wait())
		require.Equal(t, winner.Load(), string(faults.Read("a")))
	}
}
