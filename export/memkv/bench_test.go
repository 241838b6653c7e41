package memkv_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

// BenchmarkMillion writes, then exports, a million keys with a snapshot every
// thousand writes.
func BenchmarkMillion(b *testing.B) {
	for b.Loop() {
		store, err := memkv.New(nil)
		require.NoError(b, err)
		for i := range 1_000_000 {
			store.Set(fmt.Appendf(nil, "key-%09d", i*7919%1_000_000), []byte("value"))
			if i%1000 == 0 {
				s, err := store.Snapshot(b.Context(), export.SnapshotOptions{})
				require.NoError(b, err)
				require.NoError(b, s.Close())
			}
		}
		require.Len(b, store.State(export.Span{}), 1_000_000)
	}
}
