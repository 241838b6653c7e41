package mvcckv_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

// TestNeverBelowRead: what was read at a moment stays as it was read, whoever had
// begun to write before.
func TestNeverBelowRead(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(t *testing.T, s *mvcckv.Store) export.Timestamp{
		"get": func(t *testing.T, s *mvcckv.Store) export.Timestamp {
			tx := begin(t, s, nil)
			require.Equal(t, "1", get(t, tx, "b"))
			commit(t, tx)
			return tx.Timestamp()
		},
		"many gets": func(t *testing.T, s *mvcckv.Store) export.Timestamp {
			tx := begin(t, s, nil)
			require.Equal(t, "1", get(t, tx, "b"))
			for i := range 10_000 {
				require.Equal(t, "-", get(t, tx, fmt.Sprintf("c%d", i)))
			}
			commit(t, tx)
			return tx.Timestamp()
		},
		"scan": func(t *testing.T, s *mvcckv.Store) export.Timestamp {
			tx := begin(t, s, nil)
			require.Equal(t, []string{"set b=1"}, scanned(t, tx, export.Span{Start: []byte("b")}))
			commit(t, tx)
			return tx.Timestamp()
		},
		"many scans": func(t *testing.T, s *mvcckv.Store) export.Timestamp {
			tx := begin(t, s, nil)
			require.Equal(t, []string{"set b=1"}, scanned(t, tx, export.Span{Start: []byte("b")}))
			for i := range 1000 {
				start := fmt.Appendf(nil, "c%d", i)
				require.Empty(t, scanned(t, tx, export.Span{Start: start, End: append(start, 0)}))
			}
			commit(t, tx)
			return tx.Timestamp()
		},
		"export": func(t *testing.T, s *mvcckv.Store) export.Timestamp {
			snap := snapshot(t, s, export.SnapshotOptions{})
			defer snap.Close()
			require.Equal(t, []string{"set b=1"}, exported(t, snap, export.Request{Span: export.Span{Start: []byte("b")}}))
			return snap.Timestamp()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, nil)
			set(t, s, "a", "1")
			set(t, s, "b", "1")
			writer := begin(t, s, nil)
			put(t, writer, "a", "2")
			put(t, writer, "aa", "2")
			moment := read(t, s)
			put(t, writer, "b", "2")
			require.Positive(t, commit(t, writer).Compare(moment))
			require.Equal(t, []string{"set a=1", "set b=1"}, scanned(t, at(t, s, moment), export.Span{}), "at once or not at all")
			require.Equal(t, []string{"set a=2", "set aa=2", "set b=2"}, holds(t, s))
			require.NoError(t, s.Shake(t.Context()))
			require.Equal(t, []string{"set a=2", "set aa=2", "set b=2"}, holds(t, s))
		})
	}
}

// TestStaysWhereNothingWasRead: a transaction keeps its timestamp as long as nobody
// reads what it writes next.
func TestStaysWhereNothingWasRead(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	writer := begin(t, s, nil)
	put(t, writer, "a", "1")
	reader := begin(t, s, nil)
	require.Equal(t, "-", get(t, reader, "c"))
	put(t, writer, "b", "1")
	require.Negative(t, commit(t, writer).Compare(reader.Timestamp().Next()))
}
