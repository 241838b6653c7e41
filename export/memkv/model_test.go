package memkv_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
)

// history is random writes to a store, and the list of them.
type history struct {
	*testing.T
	store  *memkv.Store
	order  *export.Order
	random *rand.Rand
	writes []export.Entry
}

// TestHistory compares every moment of random histories with what the list of
// writes says, before and after the store forgets half of it.
func TestHistory(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		for _, order := range []*export.Order{nil, suffixed(), reverse()} {
			t.Run(fmt.Sprintf("%s/%d", order.WithDefaults().Name, seed), func(t *testing.T) {
				t.Parallel()
				store := newStore(t, &memkv.Options{Order: order})
				h := &history{T: t, store: store, order: order, random: rand.New(rand.NewPCG(seed, 1))}
				for range 100 {
					h.write()
				}
				h.checkFrom(0)
				half := len(h.writes) / 2
				require.Equal(t, h.writes[half].Timestamp, store.Collect(h.writes[half].Timestamp))
				h.checkFrom(half)
			})
		}
	}
}

func TestHistoryOfSingleRevisions(t *testing.T) {
	t.Parallel()
	store := newStore(t, &memkv.Options{SingleRevision: true})
	h := &history{T: t, store: store, random: rand.New(rand.NewPCG(9, 9))}
	for range 300 {
		h.write()
		want := said(nil, kvtest.Apply(nil, nil, h.writes))
		require.Equal(t, want, store.State(export.Span{}), "canonical as it is")
		require.Equal(t, want, store.StateAt(h.writes[0].Timestamp, export.Span{}))
	}
}

// said is what entries say, whenever they were written.
func said(order *export.Order, entries []export.Entry) []export.Entry {
	return kvtest.Canonical(order, kvtest.Timeless(entries))
}

// write makes one random write. The order of the bounds is that of the store.
func (h *history) write() {
	name := func() []byte { return fmt.Appendf(nil, "k%02d", h.random.IntN(12)) }
	e := export.Entry{Key: name()}
	span := export.Span{Start: e.Key, End: name()}
	if h.order.WithDefaults().Compare(span.Start, span.End) > 0 {
		span.Start, span.End = span.End, span.Start
	}
	suffix, value := fmt.Appendf(nil, "@%d", h.random.IntN(2)), fmt.Appendf(nil, "%d", h.random.IntN(3))
	switch h.random.IntN(9) {
	case 0:
		e = export.Entry{Kind: export.DeleteRange, Key: span.Start, End: span.End, Timestamp: h.store.DeleteRange(span.Start, span.End)}
	case 1:
		e = export.Entry{Kind: export.RangeKeyUnset, Key: span.Start, End: span.End, Suffix: suffix, Timestamp: h.store.RangeKeyUnset(span.Start, span.End, suffix)}
	case 2:
		e = export.Entry{Kind: export.RangeKeyDelete, Key: span.Start, End: span.End, Timestamp: h.store.RangeKeyDelete(span.Start, span.End)}
	case 3, 4:
		e = export.Entry{
			Kind: export.RangeKeySet, Key: span.Start, End: span.End, Suffix: suffix, Value: value,
			Timestamp: h.store.RangeKeySet(span.Start, span.End, suffix, value),
		}
		if e.Timestamp.IsZero() {
			require.True(h, span.IsEmpty(h.order), "only an empty range is not written")
			return
		}
	case 5:
		e.Kind, e.Timestamp = export.Delete, h.store.Delete(e.Key)
	default:
		e.Kind, e.Value, e.Timestamp = export.Set, value, h.store.Set(e.Key, value)
	}
	if n := len(h.writes); n > 0 {
		require.Positive(h, e.Timestamp.Compare(h.writes[n-1].Timestamp))
	}
	h.writes = append(h.writes, e)
}

// checkFrom compares the state after each write but the first few, and what
// changed since some write before it.
func (h *history) checkFrom(first int) {
	for n := first; n < len(h.writes); n++ {
		want := kvtest.Apply(h.order, nil, h.writes[:n+1])
		at := h.writes[n].Timestamp
		require.Equal(h, said(h.order, want), said(h.order, h.store.StateAt(at, export.Span{})), "write %d", n)

		s, err := h.store.Snapshot(h.Context(), export.SnapshotOptions{AsOf: at})
		require.NoError(h, err)
		base := first + h.random.IntN(n-first+1)
		before := kvtest.Apply(h.order, nil, h.writes[:base+1])
		for _, all := range []export.Request{{}, {Revisions: true}} {
			all.Since = h.writes[base].Timestamp
			changes, err := kvtest.Collect(h.Context(), s, all)
			require.NoError(h, err)
			got := kvtest.Apply(h.order, before, changes)
			require.Equal(h, said(h.order, want), said(h.order, got), "writes %d to %d", base, n)
		}
		require.NoError(h, s.Close())
	}
}
