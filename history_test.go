package varve_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/kvtest"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
)

// history is a database, what was done to it, and the model of it.
type history struct {
	*testing.T
	rng   *rand.Rand
	clock *clock
	what  string        // kind of database
	fresh func() engine // one of that kind
	order *export.Order
	mvcc  bool     // keys have suffixes
	deeds []string // kinds of writes, some more often than others

	db    engine
	once  map[string]bool // keys set exactly once since they were last absent
	saved int             // writes before the files were copied; -1: they were not

	mu    sync.Mutex
	model *memkv.Store
	log   []*write           // all that was done to the database
	at    []export.Timestamp // of the model after each write
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{T: t, rng: rand.New(rand.NewPCG(seed, 0)), clock: newClock(), saved: -1}
	h.chooseEngine()
	h.chooseDeeds()
	h.begin(h.fresh(), nil)
	info, err := h.db.Info(t.Context())
	require.NoError(t, err)
	h.order = info.Order
	h.forget()
	return h
}

func (h *history) chooseEngine() {
	partition := int64(1 << (8 + h.rng.IntN(8)))
	memory := memkv.Options{PartitionBytes: partition, Now: h.clock.now}
	kinds := []struct {
		name    string
		options func() *pebble.Options // nil: in memory
	}{
		{"single revisions", nil},
		{"revisions", nil},
		{"default", func() *pebble.Options { return &pebble.Options{} }},
		{"deep", func() *pebble.Options { return &pebble.Options{} }},
		{"virtual tables", func() *pebble.Options {
			return deepen(&pebble.Options{FormatMajorVersion: pebble.FormatVirtualSSTables})
		}},
		{"value separation", separateOptions},
		{"suffixes", suffixOptions},
	}
	kind := kinds[h.rng.IntN(len(kinds))]
	h.what, h.mvcc = kind.name, kind.name == "suffixes"
	deep, apart, logless := h.what == "deep" || h.rng.IntN(2) == 0, h.rng.IntN(2) == 0, h.rng.IntN(8) == 0
	h.fresh = func() engine {
		if kind.options == nil {
			memory.SingleRevision = kind.name == "single revisions"
			return &memEngine{Store: newStore(h, &memory)}
		}
		o := kind.options()
		o.DisableWAL = logless
		if deep {
			deepen(o)
		}
		opts := pebblekv.Options{Now: h.clock.now}
		if apart {
			opts.SnapshotDir = "/snapshots"
		}
		return newPebbleEngine(h, o, opts)
	}
}

// chooseDeeds leaves out what hides the rest: where range kinds and merges are, more
// is compared than otherwise.
func (h *history) chooseDeeds() {
	h.deeds = []string{"set", "set", "set", "set", "set", "set", "delete", "delete", "sized", "single", "single", "ingest"}
	if h.rng.IntN(2) == 0 {
		h.deeds = append(h.deeds, "merge", "merge")
	}
	if h.rng.IntN(2) == 0 {
		h.deeds = append(h.deeds, "excise", "replace")
	}
	if h.rng.IntN(2) == 0 {
		h.deeds = append(h.deeds, "delete range", "range key set", "range key unset", "range key delete")
	}
}

// begin goes on with another database, which holds a state.
func (h *history) begin(db engine, state []export.Entry) {
	h.db, h.saved = db, -1
	h.forget()
	for _, e := range state {
		h.remember(&write{Entry: e})
	}
}

// forget makes the model empty.
func (h *history) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.model, h.log, h.at, h.once = newStore(h, &memkv.Options{Order: h.order}), nil, nil, map[string]bool{}
}

// writes changes database and model alike.
func (h *history) writes(n int) {
	h.Helper()
	for range n {
		if h.rng.IntN(60) == 0 {
			i, j := h.rng.IntN(modelNames), h.rng.IntN(modelNames)
			require.NoError(h, h.db.shake(h.rng, varve.Span{Start: h.key(min(i, j), 0), End: h.key(max(i, j)+1, 0)}))
		}
		h.write(h.draw())
	}
}

const modelNames = 60

// draw is a write to come. It takes the same random numbers whatever the state is.
func (h *history) draw() *write {
	i, j := h.rng.IntN(modelNames), h.rng.IntN(modelNames)
	from, to, near := h.key(min(i, j), 0), h.key(max(i, j)+1, 0), h.key(min(i, j)+1+h.rng.IntN(4), 0)
	w := &write{Entry: export.Entry{Kind: export.Set, Key: h.key(i, h.rng.IntN(3)), Value: h.value()}}
	suffix := h.suffix(1 + h.rng.IntN(2))
	switch deed := h.deeds[h.rng.IntN(len(h.deeds))]; deed {
	case "delete":
		w.Kind = export.Delete
	case "sized":
		w.Kind, w.how = export.Delete, deed
	case "single":
		if h.once[string(w.Key)] {
			w.Kind, w.how = export.Delete, deed
		}
	case "merge", "ingest":
		w.how = deed
	case "excise":
		w.Kind, w.Key, w.End, w.how = export.DeleteRange, from, near, deed
	case "replace":
		w.Key, w.End, w.how = from, near, deed
	case "delete range":
		w.Kind, w.Key, w.End = export.DeleteRange, from, near
	case "range key set":
		w.Kind, w.Key, w.End, w.Suffix = export.RangeKeySet, from, to, suffix
	case "range key unset":
		w.Kind, w.Key, w.End, w.Suffix = export.RangeKeyUnset, from, to, suffix
	case "range key delete":
		w.Kind, w.Key, w.End = export.RangeKeyDelete, from, near
	}
	return w
}

// drawn are writes to make while a snapshot is taken. Whether a key may be
// single-deleted is not known yet.
func (h *history) drawn(n int) []*write {
	out := make([]*write, 0, n)
	for range n {
		if w := h.draw(); w.how != "single" {
			out = append(out, w)
		}
	}
	return out
}

func (h *history) key(name, version int) []byte {
	text := fmt.Sprintf("k%03d", name)
	if h.mvcc {
		return cockroachkvs.EncodeMVCCKey(nil, []byte(text), uint64(version), 0)
	}
	if version == 0 {
		return []byte(text)
	}
	return fmt.Appendf(nil, "%s@%d", text, version)
}

func (h *history) suffix(version int) []byte {
	if k := h.key(0, version); h.mvcc {
		return k[cockroachkvs.Split(k):]
	}
	return fmt.Appendf(nil, "@%d", version)
}

// value is one of few, so that keys get back what they had.
func (h *history) value() []byte {
	return slices.Repeat(fmt.Appendf(nil, "%d", h.rng.IntN(20)), h.rng.IntN(10))
}

// spans are one or two of them, cut at bare prefixes.
func (h *history) spans() []varve.Span {
	cuts := h.rng.Perm(modelNames)[:4]
	slices.Sort(cuts)
	spans := []varve.Span{{Start: h.key(cuts[0], 0), End: h.key(cuts[1], 0)}, {Start: h.key(cuts[2], 0), End: h.key(cuts[3], 0)}}
	switch h.rng.IntN(3) {
	case 0:
		spans[0].Start = h.first()
	case 1:
		spans[1].End = nil
	}
	return spans[h.rng.IntN(2):]
}

// first is where what is backed up may begin. While Pebble checks itself it must not be
// the empty key: its assertions copy that as nil, and are confused by a range deletion
// that begins there.
func (h *history) first() []byte {
	if asserting {
		return h.key(0, 0)
	}
	return nil
}

func (h *history) write(w *write) {
	h.Helper()
	require.NoError(h, h.db.write(w))
	h.remember(w)
}

// remember makes a write in the model.
func (h *history) remember(w *write) {
	_, there := h.model.Get(w.Key)
	switch {
	case w.Kind == export.Set && w.how == "":
		h.once[string(w.Key)] = !there
	case w.End != nil:
		clear(h.once)
	default:
		delete(h.once, string(w.Key))
	}
	w.into(h.model)
	// The moment after a write is found out by writing nothing.
	at := h.model.Delete(h.key(modelNames+9, 0))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log, h.at = append(h.log, w), append(h.at, at)
}

// past is how many writes there were.
func (h *history) past() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.at)
}

// after is what the model held after n writes.
func (h *history) after(n int) []export.Entry {
	var at export.Timestamp
	if n > 0 {
		at = h.at[n-1]
	}
	return h.model.StateAt(at, varve.Span{})
}

// backTo forgets all but the first n writes.
func (h *history) backTo(n int) {
	log := h.log[:n]
	h.forget()
	for _, w := range log {
		h.remember(w)
	}
	clear(h.once)
}

// follow finds out which writes a crash has left: all up to some moment.
func (h *history) follow() {
	h.Helper()
	got := h.holds(h.db, everywhere)
	for n := h.past(); n >= 0; n-- {
		if slices.Equal(clip(h.order, h.after(n), everywhere), got) {
			h.backTo(n)
			return
		}
	}
	h.same(clip(h.order, h.after(h.past()), everywhere), got, "after a crash it is like no moment before; this is the last")
}

// clip is the part of a state that lies in spans, as text.
func clip(order *export.Order, state []export.Entry, spans []varve.Span) []string {
	var all []export.Entry
	for _, s := range spans {
		all = append(all, kvtest.Clip(order, kvtest.Timeless(state), s)...)
	}
	var lines []string
	for _, e := range kvtest.Canonical(order, all) {
		lines = append(lines, fmt.Sprintf("%s %q %q %q = %q", e.Kind, e.Key, e.End, e.Suffix, e.Value))
	}
	return lines
}

// everywhere is the whole keyspace.
var everywhere = []varve.Span{{}}

func (h *history) content(store export.Store) []export.Entry {
	h.Helper()
	s, err := store.Snapshot(h.Context(), export.SnapshotOptions{})
	require.NoError(h, err)
	all, err := kvtest.Collect(h.Context(), s, export.Request{})
	require.NoError(h, err)
	require.NoError(h, s.Close())
	return all
}

func (h *history) holds(store export.Store, spans []varve.Span) []string {
	h.Helper()
	return clip(h.order, h.content(store), spans)
}

// same shows the first few lines that differ.
func (h *history) same(want, got []string, what string) {
	h.Helper()
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			h.Fatalf("%s: %d entries, want %d; from entry %d on\nwant %q\ngot  %q", what, len(got), len(want), i,
				want[min(i, len(want)):min(i+5, len(want))], got[min(i, len(got)):min(i+5, len(got))])
		}
	}
}

// clock goes on a millisecond whenever it is read, and may be set back.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.nanos.Store(time.Date(2026, 11, 22, 6, 31, 59, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time { return time.Unix(0, c.nanos.Add(int64(time.Millisecond))).UTC() }

func (c *clock) set(by time.Duration) { c.nanos.Add(int64(by)) }
