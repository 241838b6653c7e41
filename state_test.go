package varve_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

func newStore(t testing.TB, opts *memkv.Options) *memkv.Store {
	t.Helper()
	s, err := memkv.New(opts)
	require.NoError(t, err)
	return s
}

// fill writes n keys and a few range keys.
func fill(s *memkv.Store, n int, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		s.Set(fmt.Appendf(nil, "key-%06d", i), fmt.Appendf(nil, "value %d of key %d", rng.Uint64(), i))
	}
	for i := 0; i < n/10; i++ {
		s.Delete(fmt.Appendf(nil, "key-%06d", rng.IntN(n)))
	}
	s.RangeKeySet([]byte("key-000010"), []byte("key-9"), []byte("@1"), []byte("whole"))
	s.RangeKeySet([]byte("key-000020"), []byte("key-000030"), []byte("@2"), []byte("part"))
	s.RangeKeyUnset([]byte("key-000040"), []byte("key-000050"), []byte("@1"))
}

// pieced is a store of single revisions with n keys, in pieces of a few kilobytes.
func pieced(t testing.TB, n int, seed uint64) *memkv.Store {
	t.Helper()
	s := newStore(t, &memkv.Options{SingleRevision: true, PartitionBytes: 4 << 10})
	fill(s, n, seed)
	return s
}

func collectionIn(t testing.TB, b *faultblob.Bucket, opts *varve.CollectionOptions) *varve.Collection {
	t.Helper()
	c, err := varve.NewCollection(b.Open(), opts)
	require.NoError(t, err)
	return c
}

// stateOf is what a store holds now, in the one form in which states are compared.
func stateOf(s *memkv.Store, spans ...varve.Span) []export.Entry {
	if len(spans) == 0 {
		spans = []varve.Span{{}}
	}
	var all []export.Entry
	for _, span := range spans {
		all = append(all, s.State(span)...)
	}
	return kvtest.Canonical(nil, kvtest.Timeless(all))
}

func requireSameState(t testing.TB, want, got *memkv.Store, span varve.Span) {
	t.Helper()
	require.Equal(t, stateOf(want, span), stateOf(got, span))
}

// skipUnderRace leaves out, of the short run under the race detector, what takes long and
// has next to nothing going on at once.
func skipUnderRace(t *testing.T) {
	t.Helper()
	if asserting && testing.Short() {
		t.Skip("long, and little goes on at once")
	}
}
