package merge_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

// tables are cursors of the given sizes and what opens them one by one.
func tables(sizes ...int) (cursors []*slice, open []func() (export.Cursor, error), opened *int) {
	opened = new(int)
	key := 0
	for _, n := range sizes {
		c := &slice{}
		for range n {
			c.entries = append(c.entries, export.Entry{Kind: export.Set, Key: fmt.Appendf(nil, "%03d", key)})
			key++
		}
		cursors = append(cursors, c)
		open = append(open, func() (export.Cursor, error) { *opened++; return c, nil })
	}
	return cursors, open, opened
}

func TestSequence(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][]int{nil, {0}, {3}, {2, 0, 0, 3}, {0, 1, 0}} {
		cursors, open, opened := tables(sizes...)
		s := merge.Sequence(open...)
		for i := 0; s.Next(); i++ {
			require.Equal(t, fmt.Sprintf("%03d", i), string(s.Entry().Key))
			alive := 0
			for _, c := range cursors[:*opened] {
				alive += 1 - c.closed
			}
			require.Equal(t, 1, alive, "one table is open at a time")
		}
		require.NoError(t, s.Err())
		require.False(t, s.Next())
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		require.Equal(t, len(sizes), *opened)
		for _, c := range cursors {
			require.Equal(t, 1, c.closed)
		}
	}
}

func TestSequenceIsLeftEarly(t *testing.T) {
	t.Parallel()
	cursors, open, opened := tables(2, 2)
	s := merge.Sequence(open...)
	require.True(t, s.Next())
	require.NoError(t, s.Close())
	require.False(t, s.Next())
	require.NoError(t, s.Close())
	require.Equal(t, 1, *opened)
	require.Equal(t, []int{1, 0}, []int{cursors[0].closed, cursors[1].closed})
}

func TestSequenceErrors(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, edit := range map[string]func([]*slice, []func() (export.Cursor, error)){
		"open": func(_ []*slice, open []func() (export.Cursor, error)) {
			open[1] = func() (export.Cursor, error) { return nil, boom }
		},
		"next":  func(c []*slice, _ []func() (export.Cursor, error)) { c[0].failAt, c[0].fail = 3, boom },
		"close": func(c []*slice, _ []func() (export.Cursor, error)) { c[0].onClose = boom },
	} {
		cursors, open, _ := tables(2, 2)
		edit(cursors, open)
		got, err, closeErr := drain(merge.Sequence(open...))
		require.ErrorIs(t, err, boom, name)
		require.NoError(t, closeErr, name)
		require.Len(t, got, 2, name)
		require.Equal(t, []int{1, 0}, []int{cursors[0].closed, cursors[1].closed}, name)
	}
}
