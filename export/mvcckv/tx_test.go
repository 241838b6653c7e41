package mvcckv_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/mvcckv"
)

func scanned(t *testing.T, tx *mvcckv.Tx, span export.Span) []string {
	t.Helper()
	c, err := tx.Scan(t.Context(), span)
	require.NoError(t, err)
	var entries []export.Entry
	for c.Next() {
		entries = append(entries, c.Entry().Clone())
	}
	require.NoError(t, errors.Join(c.Err(), c.Close()))
	return lines(entries)
}

func TestReadsOwnWrites(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	set(t, s, "a", "1")
	set(t, s, "b", "1")
	tx := begin(t, s, nil)
	put(t, tx, "a", "2")
	put(t, tx, "a", "3")
	put(t, tx, "c", "")
	require.NoError(t, tx.Delete(t.Context(), []byte("b")))
	require.Equal(t, "3", get(t, tx, "a"))
	require.Equal(t, "-", get(t, tx, "b"))
	require.Equal(t, "", get(t, tx, "c"), "an empty value is one")
	require.Equal(t, []string{"set a=3", "set c="}, scanned(t, tx, export.Span{}))

	before := tx.Timestamp()
	w := commit(t, tx)
	require.Positive(t, w.Compare(before))
	require.Equal(t, []string{"set a=3", "set c="}, holds(t, s))
	require.Equal(t, []string{"set a=1", "set b=1"}, scanned(t, at(t, s, before), export.Span{}))
	require.Equal(t, []string{"set a=3", "set c="}, scanned(t, at(t, s, w), export.Span{}))

	require.ErrorContains(t, tx.Put(t.Context(), []byte("a"), nil), "has ended")
	_, err := tx.Commit(t.Context())
	require.ErrorContains(t, err, "has ended")
	require.NoError(t, tx.Rollback(), "after Commit it does nothing")
}

func TestSnapshotIsolation(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	set(t, s, "a", "1")
	reader := begin(t, s, nil)
	set(t, s, "a", "2")
	set(t, s, "b", "2")
	require.Equal(t, "1", get(t, reader, "a"))
	require.Equal(t, "-", get(t, reader, "b"))
	require.Equal(t, []string{"set a=1"}, scanned(t, reader, export.Span{}))
	require.True(t, commit(t, reader).IsZero(), "it has written nothing")
}

func TestRollback(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	set(t, s, "a", "1")
	tx := begin(t, s, nil)
	put(t, tx, "a", "2")
	put(t, tx, "b", "2")
	require.NoError(t, tx.Rollback())
	require.NoError(t, tx.Rollback())
	require.Equal(t, []string{"set a=1"}, holds(t, s))
	set(t, s, "b", "3")
	require.Equal(t, []string{"set a=1", "set b=3"}, holds(t, s), "nothing is locked")
	require.NoError(t, s.Shake(t.Context()))
	require.Equal(t, []string{"set a=1", "set b=3"}, holds(t, s))
}

func TestDeleteRange(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	for _, key := range []string{"a", "b", "c", "d"} {
		set(t, s, key, "1")
	}
	tx := begin(t, s, nil)
	put(t, tx, "bb", "own")
	require.NoError(t, tx.DeleteRange(t.Context(), []byte("b"), []byte("d")))
	require.Equal(t, []string{"set a=1", "set d=1"}, scanned(t, tx, export.Span{}))
	set(t, s, "cc", "meanwhile")
	commit(t, tx)
	require.Equal(t, []string{"set a=1", "set cc=meanwhile", "set d=1"}, holds(t, s))
	_, err := write(t.Context(), s, func(tx *mvcckv.Tx) error { return tx.DeleteRange(t.Context(), nil, nil) })
	require.NoError(t, err)
	require.Empty(t, holds(t, s))
}

// TestLostUpdate: of two that change what both have read, one has to retry.
func TestLostUpdate(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	set(t, s, "a", "1")
	first, second, third := begin(t, s, nil), begin(t, s, nil), begin(t, s, nil)
	for _, tx := range []*mvcckv.Tx{first, second, third} {
		require.Equal(t, "1", get(t, tx, "a"))
	}
	put(t, first, "a", "2")
	err := second.Put(t.Context(), []byte("a"), []byte("3"))
	retries(t, err, mvcckv.Locked)
	require.NoError(t, second.Rollback())
	commit(t, first)
	retries(t, third.Put(t.Context(), []byte("a"), []byte("3")), mvcckv.WrittenSince)
	require.NoError(t, third.Rollback())
	require.Equal(t, []string{"set a=2"}, holds(t, s))
}

// TestWriteSkew: what snapshot isolation allows, as the package says, and how to
// forbid it.
func TestWriteSkew(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	set(t, s, "on call: a", "yes")
	set(t, s, "on call: b", "yes")
	first, second := begin(t, s, nil), begin(t, s, nil)
	require.Equal(t, "yes", get(t, first, "on call: b"))
	require.Equal(t, "yes", get(t, second, "on call: a"))
	put(t, first, "on call: a", "no")
	put(t, second, "on call: b", "no")
	commit(t, first)
	commit(t, second)
	require.Equal(t, []string{"set on call: a=no", "set on call: b=no"}, holds(t, s))

	first, second = begin(t, s, nil), begin(t, s, nil)
	put(t, first, "on call: b", get(t, first, "on call: b"))
	retries(t, second.Put(t.Context(), []byte("on call: b"), []byte("yes")), mvcckv.Locked)
	require.NoError(t, second.Rollback())
	require.NoError(t, first.Rollback())
}

func TestPast(t *testing.T) {
	t.Parallel()
	s := newStore(t, nil)
	first := set(t, s, "a", "1")
	second := set(t, s, "a", "2")
	require.Equal(t, "1", get(t, at(t, s, first), "a"))
	require.Equal(t, "2", get(t, at(t, s, second), "a"))
	require.ErrorContains(t, at(t, s, first).Put(t.Context(), []byte("a"), nil), "does not write")
	future := export.Timestamp{WallNanos: 1 << 62}
	_, err := s.Begin(t.Context(), &mvcckv.TxOptions{AsOf: future})
	require.ErrorContains(t, err, "now")
	_, err = s.Snapshot(t.Context(), export.SnapshotOptions{AsOf: future})
	require.ErrorContains(t, err, "now")
	_, err = s.Snapshot(t.Context(), export.SnapshotOptions{After: future})
	require.ErrorContains(t, err, "not after")
}

// TestBank moves money about from many goroutines, and audits the total in
// transactions, and later at every moment there was.
func TestBank(t *testing.T) {
	t.Parallel()
	const accounts, workers, transfers, each = 5, 4, 60, 100
	s := newStore(t, nil)
	for i := range accounts {
		set(t, s, account(i), strconv.Itoa(each))
	}
	first := set(t, s, "opened", "")
	var mu sync.Mutex
	moments := []export.Timestamp{first}
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for n := range transfers {
				from, to := (w+n)%accounts, (w+3*n+1)%accounts
				made, err := write(t.Context(), s, func(tx *mvcckv.Tx) error { return transfer(t, tx, from, to) })
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				moments = append(moments, made)
				mu.Unlock()
			}
		})
	}
	group.Go(func() {
		for range transfers {
			if _, err := write(t.Context(), s, func(tx *mvcckv.Tx) error { return audit(t, tx, accounts*each) }); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	require.Greater(t, len(moments), workers*transfers/2)
	for _, moment := range moments {
		if !moment.IsZero() {
			require.NoError(t, audit(t, at(t, s, moment), accounts*each))
		}
	}
}

func account(i int) string { return fmt.Sprintf("account %d", i) }

func transfer(t *testing.T, tx *mvcckv.Tx, from, to int) error {
	if from == to {
		return nil
	}
	for _, side := range []struct{ account, amount int }{{from, -1}, {to, +1}} {
		key := []byte(account(side.account))
		balance, err := tx.Get(t.Context(), key)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(balance))
		if err != nil {
			return err
		}
		if err := tx.Put(t.Context(), key, []byte(strconv.Itoa(n+side.amount))); err != nil {
			return err
		}
	}
	return nil
}

func audit(t *testing.T, tx *mvcckv.Tx, want int) error {
	c, err := tx.Scan(t.Context(), export.Span{Start: []byte("account"), End: []byte("b")})
	if err != nil {
		return err
	}
	total := 0
	for c.Next() {
		n, err := strconv.Atoi(string(c.Entry().Value))
		if err != nil {
			return errors.Join(err, c.Close())
		}
		total += n
	}
	err = errors.Join(c.Err(), c.Close())
	if err == nil && total != want {
		err = fmt.Errorf("at %s the total is %d, want %d", tx.Timestamp(), total, want)
	}
	return err
}
