package merge_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

// counter yields every step-th number from first as a key, without allocating.
type counter struct {
	next, step, end uint64
	key             [16]byte
	entry           export.Entry
}

func (c *counter) Next() bool {
	if c.next >= c.end {
		return false
	}
	binary.BigEndian.PutUint64(c.key[8:], c.next)
	c.entry = export.Entry{Kind: export.Set, Key: c.key[:], Value: c.key[:]}
	c.next += c.step
	return true
}

func (c *counter) Entry() *export.Entry { return &c.entry }
func (c *counter) Err() error           { return nil }
func (c *counter) Close() error         { return nil }

// BenchmarkMerge merges a full and levels that changed every 7th of its keys.
func BenchmarkMerge(b *testing.B) {
	for _, n := range []uint64{1, 5} {
		b.Run(fmt.Sprintf("levels=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			end := uint64(b.N)
			levels := []merge.Level{{Points: &counter{step: 1, end: end}}}
			for i := uint64(1); i < n; i++ {
				levels = append(levels, merge.Level{Points: &counter{next: i, step: 7, end: end}})
			}
			c := merge.New(levels, merge.Options{})
			for c.Next() {
				end--
			}
			require.Zero(b, end)
		})
	}
}
