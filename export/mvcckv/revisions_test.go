package mvcckv_test

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/mvcckv"
)

// written is a store of few keys with all their versions, each in a table of its own, and
// the versions as a full export with revisions must yield them.
func written(t *testing.T, step time.Duration) (*mvcckv.Store, []export.Entry) {
	t.Helper()
	now := newWall()
	opts := options(vfs.NewMem())
	opts.Now, opts.Pebble.DisableAutomaticCompactions = now.Now, true
	s := newStore(t, opts)
	var all []export.Entry
	for round, keys := range []string{"abc", "ac", "b", "AB", "ac", "a", "d"} { // capital: is deleted
		for _, key := range []byte(keys) {
			e := export.Entry{Kind: export.Set, Key: []byte{key}, Value: []byte{'0' + byte(round)}}
			if key < 'a' {
				e = export.Entry{Kind: export.Delete, Key: []byte{key + 'a' - 'A'}}
			}
			now.add(step)
			at, err := write(t.Context(), s, func(tx *mvcckv.Tx) error {
				if e.Kind == export.Delete {
					return tx.Delete(t.Context(), e.Key)
				}
				return tx.Put(t.Context(), e.Key, e.Value)
			})
			require.NoError(t, err)
			e.Timestamp = at
			all = append(all, e)
			require.NoError(t, s.Flush(t.Context()))
		}
	}
	slices.SortFunc(all, func(a, b export.Entry) int {
		return cmp.Or(bytes.Compare(a.Key, b.Key), b.Timestamp.Compare(a.Timestamp))
	})
	return s, all
}

// TestEveryWindow wants of each window just the versions in it, to the last of them, and
// of each page, wherever the one before has ended, the rest: between two keys and between
// two versions of one. It does so for a clock that goes and one that stands still, where
// all have one wall time.
func TestEveryWindow(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]time.Duration{"clock goes": time.Second, "clock stands": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, all := written(t, step)
			moments := []export.Timestamp{{}}
			for _, e := range all {
				moments = append(moments, e.Timestamp)
			}
			for _, until := range moments[1:] {
				snap := snapshot(t, s, export.SnapshotOptions{AsOf: until})
				for _, since := range moments {
					if since.Compare(until) > 0 {
						continue
					}
					requirePages(t, snap, export.Request{Since: since, Revisions: true}, window(all, since, until, true))
					requirePages(t, snap, export.Request{Since: since}, window(all, since, until, false))
					requireFormer(t, snap, since, window(all, export.Timestamp{}, since, false))
				}
				require.NoError(t, snap.Close())
			}
		})
	}
}

// window is what of all is in one: each version, or of each key the newest, which as the
// state since the beginning is no deletion.
func window(all []export.Entry, since, until export.Timestamp, revisions bool) []export.Entry {
	in := []export.Entry{}
	var last string
	for _, e := range all {
		if e.Timestamp.Compare(since) <= 0 || e.Timestamp.Compare(until) > 0 || !revisions && string(e.Key) == last {
			continue
		}
		last = string(e.Key)
		if revisions || e.Kind == export.Set || !since.IsZero() {
			in = append(in, e)
		}
	}
	return in
}

// requirePages wants an export, and one that resumes after each of its entries.
func requirePages(t *testing.T, snap export.Snapshot, req export.Request, want []export.Entry) {
	t.Helper()
	got, err := kvtest.Collect(t.Context(), snap, req)
	require.NoError(t, err)
	require.Equal(t, want, append([]export.Entry{}, got...), "since %s until %s", req.Since, snap.Timestamp())
	for i, e := range want {
		position := e.Position()
		req.Resume = &position
		rest, err := kvtest.Collect(t.Context(), snap, req)
		require.NoError(t, err)
		require.Equal(t, want[i+1:], append([]export.Entry{}, rest...), "after %q at %s", e.Key, e.Timestamp)
	}
}

// requireFormer wants of each change what stood at its key.
func requireFormer(t *testing.T, snap export.Snapshot, since export.Timestamp, before []export.Entry) {
	t.Helper()
	old := map[string]export.Entry{}
	for _, e := range before {
		old[string(e.Key)] = e
	}
	c, err := snap.(export.Differ).Changes(t.Context(), export.Request{Since: since})
	require.NoError(t, err)
	for c.Next() {
		former, was := old[string(c.Entry().Key)]
		require.Equal(t, was, c.Former() != nil, "%q since %s", c.Entry().Key, since)
		if was {
			require.Equal(t, former, c.Former().Clone())
		}
	}
	require.NoError(t, errors.Join(c.Err(), c.Close()))
}
