package varve_test

import (
	"encoding/binary"
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

var auditRestores = flag.Int("audit.restores", 200, "moments of a bank to restore, of those that are counted")

// revisor counts the money of a bank in its chain. What the bank held at a moment he knows
// from two sides: from the revisions that the layer has, which he enters one by one into
// what a restore of the window's beginning gave; and from a restore of the moment.
type revisor struct {
	*testing.T
	c      *varve.Collection
	bucket *blob.Bucket
	rng    *rand.Rand

	books             map[string]string
	counted, restored int
}

// audit counts at every moment of every window, and restores so many of them.
func (r *revisor) audit(restores int) {
	r.Helper()
	chain, err := r.c.Resolve(r.Context(), varve.Latest, varve.Timestamp{})
	require.NoError(r, err)
	for _, l := range chain.Layers {
		if r.books = r.open(l); r.books != nil {
			r.follow(l, restores/len(chain.Layers))
		} else {
			r.books = r.at(l.End) // of a window that is its end alone
		}
		r.requireTotal(l.End)
		require.Equal(r, r.books, r.at(l.End), "the end of layer %s", l.Path)
	}
	r.Logf("counted at %d moments, %d of them restored", r.counted, r.restored)
}

// open is what was there when a window began, nil if it has no beginning.
func (r *revisor) open(l *varve.Layer) map[string]string {
	r.Helper()
	switch oldest := l.Manifest.Oldest; oldest {
	case l.End:
		return nil
	case varve.Timestamp{}:
		return map[string]string{}
	default:
		return r.at(oldest)
	}
}

// follow enters the revisions of a window, moment by moment.
func (r *revisor) follow(l *varve.Layer, restores int) {
	r.Helper()
	all, err := varve.Entries(r.Context(), r.bucket, l.Path)
	require.NoError(r, err)
	all = slices.DeleteFunc(all, func(e export.Entry) bool { return e.Timestamp.Compare(l.Manifest.Oldest) <= 0 })
	slices.SortStableFunc(all, func(a, b export.Entry) int { return a.Timestamp.Compare(b.Timestamp) })
	for i, e := range all {
		if e.Kind == export.Set {
			r.books[string(e.Key)] = string(e.Value)
		} else {
			require.Equal(r, export.Delete, e.Kind)
			delete(r.books, string(e.Key))
		}
		next := l.End.Next()
		if i+1 < len(all) {
			next = all[i+1].Timestamp
		}
		if next == e.Timestamp {
			continue
		}
		r.requireTotal(e.Timestamp)
		if r.rng.IntN(len(all)) < 2*restores { // a transfer has two revisions
			r.requireRestored(e.Timestamp, next)
		}
	}
}

// requireRestored restores a moment at or after the one and before the other.
func (r *revisor) requireRestored(at, next export.Timestamp) {
	r.Helper()
	if after := at.Next(); r.rng.IntN(2) == 0 && after.Compare(next) < 0 {
		at = after
	}
	require.Equal(r, r.books, r.at(at), "as of %s", at)
}

// at is what a restore of a moment gives.
func (r *revisor) at(moment export.Timestamp) map[string]string {
	r.Helper()
	dst := newStore(r, &memkv.Options{SingleRevision: true})
	_, err := r.c.Restore(r.Context(), varve.Cluster(dst), &varve.RestoreOptions{AsOf: moment})
	require.NoError(r, err, "as of %s", moment)
	r.restored++
	books := map[string]string{}
	for _, e := range dst.State(varve.Span{}) {
		books[string(e.Key)] = string(e.Value)
	}
	return books
}

func (r *revisor) requireTotal(when export.Timestamp) {
	r.Helper()
	var total int64
	for value := range maps.Values(r.books) {
		total += int64(binary.BigEndian.Uint64([]byte(value)))
	}
	if total != bankAccounts*bankBalance {
		require.EqualValues(r, bankAccounts*bankBalance, total, "as of %s", when)
	}
	r.counted++
}
