package mvcckv_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

// TestChangesBesideRecords: the lock of a key is a record at a place where another key
// may have versions. It is none of what that one held.
func TestChangesBesideRecords(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	base := snapshot(t, s, export.SnapshotOptions{})
	defer base.Close()
	set(t, s, "\x00lvictim", "new")
	snap := snapshot(t, s, export.SnapshotOptions{})
	defer snap.Close()
	put(t, begin(t, s, nil), "victim", "provisional")

	c, err := snap.(export.Differ).Changes(t.Context(), export.Request{Since: base.Timestamp()})
	require.NoError(t, err)
	require.True(t, c.Next(), c.Err())
	require.Equal(t, "\x00lvictim", string(c.Entry().Key))
	require.Nil(t, c.Former())
	require.False(t, c.Next())
	require.NoError(t, errors.Join(c.Err(), c.Close()))
}
