package pebblekv

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"
)

// TestCeilingWhereTablesTouch: a table whose range deletion ends at the first key of
// the next one says nothing of that key.
func TestCeilingWhereTablesTouch(t *testing.T) {
	t.Parallel()
	between := func(from, to string, seq pebble.SeqNum) *tableFile {
		f := new(tableFile)
		f.Smallest = pebble.MakeInternalKey([]byte(from), seq, pebble.InternalKeyKindSet)
		f.Largest = pebble.MakeInternalKey([]byte(to), 1<<56-1, pebble.InternalKeyKindRangeDelete)
		f.LargestSeqNum = seq
		return f
	}
	c := ceiling{cmp: bytes.Compare, levels: [][]*tableFile{
		{between("x", "z", 1), between("a", "z", 2)},
		{between("b", "k", 4), between("k", "m", 10), between("n", "p", 7)},
	}}
	for _, want := range []struct {
		key string
		top int64
	}{{"a", 2}, {"b", 4}, {"k", 10}, {"l", 10}, {"mm", 2}, {"n", 7}, {"x", 2}, {"zz", none}} {
		require.Equal(t, want.top, c.at([]byte(want.key)), want.key)
	}
}
