package varve_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
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
	"github.com/varvekv/varve/internal/faultblob"
)

var (
	modelSeed = flag.Uint64("model.seed", 0, "replay the history of this seed; 0: others each time")
	modelTime = flag.Duration("model.time", 10*time.Second, "how long to try random histories")
)

// TestModel takes random histories of random stores, backs them up with random
// options while they are written to, and restores the layers into everything that
// takes them. What comes out must be what the model held at the moment of the
// snapshot. The history of a seed is the same each time, but for how far writers got
// while a backup ran.
func TestModel(t *testing.T) {
	t.Parallel()
	deadline := time.Now().Add(*modelTime)
	for n := 0; n == 0 || *modelSeed == 0 && time.Now().Before(deadline); n++ {
		seed := *modelSeed
		if seed == 0 {
			seed = rand.Uint64()
		}
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { newHistory(t, seed).run() }) {
			t.Fatalf("replay with: go test -run TestModel . -args -model.seed %d", seed)
		}
	}
}

// history is a database, what was done to it, and the model of it.
type history struct {
	*testing.T
	rng   *rand.Rand
	db    engine
	order *export.Order
	mvcc  bool // keys have suffixes
	model *memkv.Store
	once  map[string]bool // keys set exactly once since they were last absent

	mu sync.Mutex
	at []export.Timestamp // of the model after each write
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{T: t, rng: rand.New(rand.NewPCG(seed, 0)), once: map[string]bool{}}
	partition := int64(1 << (8 + h.rng.IntN(8)))
	switch h.rng.IntN(4) {
	case 0:
		h.db = memEngine{newStore(t, &memkv.Options{SingleRevision: true, PartitionBytes: partition})}
	case 1:
		h.db = memEngine{newStore(t, &memkv.Options{PartitionBytes: partition})}
	case 2:
		h.db = newPebbleEngine(t, &pebble.Options{})
	case 3:
		h.mvcc = true
		h.db = newPebbleEngine(t, suffixOptions())
	}
	info, err := h.db.Info(t.Context())
	require.NoError(t, err)
	h.order = info.Order
	h.model = newStore(t, &memkv.Options{Order: h.order})
	return h
}

func (h *history) run() {
	c := collectionIn(h, faultblob.New(h, nil), &varve.CollectionOptions{Orders: h.orders()})
	h.writes(h.rng.IntN(1500))
	for range 1 + h.rng.IntN(2) {
		h.backup(c)
		h.writes(h.rng.IntN(300))
	}
}

func (h *history) orders() []export.Order {
	if h.order == nil {
		return nil
	}
	return []export.Order{*h.order}
}

// writes changes database and model alike.
func (h *history) writes(n int) {
	h.Helper()
	for range n {
		if h.rng.IntN(100) == 0 {
			require.NoError(h, h.db.shake(h.rng, varve.Span{Start: h.key(0, 0), End: h.key(modelNames, 0)}))
		}
		h.write(h.draw())
	}
}

const modelNames = 60

func (h *history) draw() *write {
	i, j := h.rng.IntN(modelNames), h.rng.IntN(modelNames)
	from, to := h.key(min(i, j), 0), h.key(max(i, j)+1, 0)
	w := &write{Entry: export.Entry{Kind: export.Set, Key: h.key(i, h.rng.IntN(3)), Value: h.value()}}
	switch h.rng.IntN(24) {
	case 0, 1, 2, 3:
		w.Kind = export.Delete
	case 4:
		w.Kind, w.Key, w.End = export.DeleteRange, from, h.key(min(i, j)+1+h.rng.IntN(4), 0)
	case 5:
		w.Kind, w.Key, w.End, w.Suffix = export.RangeKeySet, from, to, h.suffix(1+h.rng.IntN(2))
	case 6:
		w.Kind, w.Key, w.End, w.Suffix = export.RangeKeyUnset, from, to, h.suffix(1+h.rng.IntN(2))
	case 7:
		w.Kind, w.Key, w.End = export.RangeKeyDelete, from, to
	case 8, 9:
		w.how = "merge"
	case 10:
		w.how = "ingest"
	case 11, 12:
		if h.once[string(w.Key)] {
			w.Kind, w.how = export.Delete, "single"
		}
	}
	return w
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

func (h *history) value() []byte {
	return slices.Repeat(fmt.Appendf(nil, "%d", h.rng.IntN(1000)), h.rng.IntN(10))
}

func (h *history) write(w *write) {
	h.Helper()
	require.NoError(h, h.db.write(w))
	key := string(w.Key)
	switch w.Kind {
	case export.Set:
		old, there := h.model.Get(w.Key)
		if w.how == "merge" {
			w.Value = append(old, w.Value...)
		}
		h.once[key] = !there && w.how == ""
		h.model.Set(w.Key, w.Value)
	case export.Delete:
		h.model.Delete(w.Key)
		delete(h.once, key)
	case export.DeleteRange:
		h.model.DeleteRange(w.Key, w.End)
		clear(h.once)
	case export.RangeKeySet:
		h.model.RangeKeySet(w.Key, w.End, w.Suffix, w.Value)
	case export.RangeKeyUnset:
		h.model.RangeKeyUnset(w.Key, w.End, w.Suffix)
	case export.RangeKeyDelete:
		h.model.RangeKeyDelete(w.Key, w.End)
	}
	h.wrote()
}

// wrote notes the moment after a write; writing nothing is how it is found out.
func (h *history) wrote() {
	at := h.model.Delete(h.key(modelNames+9, 0))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = append(h.at, at)
}

// past is how many writes there were.
func (h *history) past() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.at)
}

// after is what the model held in the spans after n writes.
func (h *history) after(n int, spans []varve.Span) []string {
	var at export.Timestamp
	if n > 0 {
		at = h.at[n-1]
	}
	return clip(h.order, h.model.StateAt(at, varve.Span{}), spans)
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

func (h *history) backup(c *varve.Collection) {
	h.Helper()
	targets, spans := varve.Cluster(h.db), []varve.Span{{}}
	if h.rng.IntN(3) == 0 {
		spans = h.spans()
		targets = varve.Spans(h.db, spans...)
	}
	noDigest := h.rng.IntN(4) == 0
	opts := &varve.BackupOptions{
		TargetFileBytes: 1 << (6 + h.rng.IntN(14)), Compression: varve.Compression(h.rng.IntN(3)),
		Concurrency: 1 + h.rng.IntN(4), NoDigest: noDigest, Audit: !noDigest && h.rng.IntN(2) == 0,
	}
	before := h.past()
	layer := h.backupWhileWriting(c, targets, opts)
	got := h.restored(c, layer, spans)
	for n := before; n <= h.past(); n++ {
		if slices.Equal(h.after(n, spans), got) {
			h.elsewhere(c, layer, spans, got)
			return
		}
	}
	h.same(h.after(before, spans), got, fmt.Sprintf("no moment between %d and %d writes is like that; this is the first", before, h.past()))
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

// spans are one or two of them, cut at bare prefixes.
func (h *history) spans() []varve.Span {
	cuts := h.rng.Perm(modelNames)[:4]
	slices.Sort(cuts)
	spans := []varve.Span{{Start: h.key(cuts[0], 0), End: h.key(cuts[1], 0)}, {Start: h.key(cuts[2], 0), End: h.key(cuts[3], 0)}}
	switch h.rng.IntN(3) {
	case 0:
		spans[0].Start = nil
	case 1:
		spans[1].End = nil
	}
	return spans[h.rng.IntN(2):]
}

func (h *history) backupWhileWriting(c *varve.Collection, targets varve.Targets, opts *varve.BackupOptions) *varve.Layer {
	h.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	pending := h.drawn(100)
	go func() {
		defer close(stopped)
		for _, w := range pending {
			select {
			case <-stop:
				return
			default:
				h.write(w)
			}
		}
	}()
	layer, err := c.Backup(h.Context(), targets, opts)
	close(stop)
	<-stopped
	require.NoError(h, err)
	return layer
}

// drawn are writes to come: whether a key may be single-deleted is not known then.
func (h *history) drawn(n int) []*write {
	out := make([]*write, 0, n)
	for range n {
		if w := h.draw(); w.how != "single" {
			out = append(out, w)
		}
	}
	return out
}

// restored is the layer as it comes out of the simplest restore.
func (h *history) restored(c *varve.Collection, layer *varve.Layer, spans []varve.Span) []string {
	h.Helper()
	dst := newStore(h, &memkv.Options{Order: h.order, SingleRevision: true})
	h.restore(c, layer, dst, spans, false)
	return clip(h.order, dst.State(varve.Span{}), spans)
}

func (h *history) restore(c *varve.Collection, layer *varve.Layer, dst export.Store, spans []varve.Span, prove bool) {
	h.Helper()
	targets := varve.Spans(dst, spans...)
	if layer.Manifest.Complete {
		targets = varve.Cluster(dst)
	}
	r, err := c.Restore(h.Context(), targets, &varve.RestoreOptions{From: layer.ID, Prove: prove})
	require.NoError(h, err)
	if prove {
		require.Equal(h, varve.ProofDigest, r.Proof)
	}
}

// elsewhere restores into all other destinations, and climbs all levels of Verify.
func (h *history) elsewhere(c *varve.Collection, layer *varve.Layer, spans []varve.Span, want []string) {
	h.Helper()
	digested := layer.Manifest.Digest != nil
	level := varve.VerifyOrder
	if digested {
		level = varve.VerifyRehearsal
	}
	scratch := newPebbleEngine(h, h.pebbleOptions())
	_, err := c.Verify(h.Context(), layer.ID, &varve.VerifyOptions{Level: level, Scratch: scratch})
	require.NoError(h, err)

	if !h.mvcc {
		revisions := newStore(h, nil)
		h.restore(c, layer, revisions, spans, digested)
		h.same(want, clip(h.order, revisions.State(varve.Span{}), spans), "a store with revisions")
	}
	open := newPebbleEngine(h, h.pebbleOptions())
	h.restore(c, layer, open, spans, digested)
	h.same(want, h.holds(open, spans), "an open database")

	dir := filepath.Join(h.TempDir(), "db")
	opts := h.pebbleOptions()
	opts.Logger = quiet{}
	h.restore(c, layer, pebblekv.Dir(dir, &pebblekv.Options{Pebble: opts}), spans, digested && h.rng.IntN(2) == 0)
	db, store, err := pebblekv.Open(dir, opts, nil)
	require.NoError(h, err)
	h.same(want, h.holds(store, spans), "a directory")
	require.NoError(h, db.Close())

	h.part(c, layer, spans)
}

// part restores a part of what was backed up, beside nothing else.
func (h *history) part(c *varve.Collection, layer *varve.Layer, spans []varve.Span) {
	h.Helper()
	var parts []varve.Span
	for _, s := range h.spans() {
		for _, t := range spans {
			if p, ok := s.Intersect(h.order, t); ok {
				parts = append(parts, p)
			}
		}
	}
	if len(parts) == 0 {
		return
	}
	whole := newStore(h, &memkv.Options{Order: h.order, SingleRevision: true})
	h.restore(c, layer, whole, spans, false)
	dst := newPebbleEngine(h, h.pebbleOptions())
	_, err := c.Restore(h.Context(), varve.Spans(dst, parts...), &varve.RestoreOptions{From: layer.ID})
	require.NoError(h, err)
	h.same(clip(h.order, whole.State(varve.Span{}), parts), h.holds(dst, []varve.Span{{}}), fmt.Sprintf("the parts %s", parts))
}

func (h *history) holds(store export.Store, spans []varve.Span) []string {
	h.Helper()
	s, err := store.Snapshot(h.Context(), export.SnapshotOptions{})
	require.NoError(h, err)
	all, err := kvtest.Collect(h.Context(), s, export.Request{})
	require.NoError(h, err)
	require.NoError(h, s.Close())
	return clip(h.order, all, spans)
}

func (h *history) pebbleOptions() *pebble.Options {
	if h.mvcc {
		return suffixOptions()
	}
	return &pebble.Options{}
}
