package kvtest

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

// ability says what of a store a run of the suite sees.
type ability int

const (
	everything ability = iota
	required
)

// world is a harness at work: it writes to the database and keeps a list of what
// it wrote, from which follows what the store must hold.
type world struct {
	T
	ctx     context.Context
	h       Harness
	ability ability
	store   export.Store
	info    export.Info
	order   *export.Order
	writes  []export.Entry // timestamps count them
}

func newWorld(t T, h Harness, a ability) *world {
	t.Helper()
	w := &world{T: t, ctx: t.Context(), h: h, ability: a}
	w.use(h.Store())
	w.order = w.info.Order.WithDefaults()
	return w
}

func (w *world) use(store export.Store) {
	w.Helper()
	w.store = w.seen(store)
	info, err := w.store.Info(w.ctx)
	require.NoError(w, err)
	w.info = info
}

func (w *world) seen(store export.Store) export.Store {
	if w.ability == required {
		return Hide(store)
	}
	return store
}

func (w *world) reopen() {
	w.Helper()
	store, err := w.h.Reopen()
	require.NoError(w, err)
	w.use(store)
}

// empty is a store of the same order that holds nothing.
func (w *world) empty() export.Store {
	w.Helper()
	store, err := w.h.Empty()
	require.NoError(w, err)
	return w.seen(store)
}

// key is spelled by the harness if it knows how.
func (w *world) key(name string, version int) []byte {
	if k, ok := w.h.(Keyer); ok {
		return k.Key(name, version)
	}
	if version == 0 {
		return []byte(name)
	}
	return fmt.Appendf(nil, "%s@%02d", name, version)
}

func (w *world) suffix(version int) []byte {
	if k, ok := w.h.(Keyer); ok {
		return k.Suffix(version)
	}
	if version == 0 {
		return nil
	}
	return fmt.Appendf(nil, "@%02d", version)
}

// span is what lies between two bare prefixes, whichever the order puts first.
func (w *world) span(a, b string) export.Span {
	s := export.Span{Start: w.key(a, 0), End: w.key(b, 0)}
	if w.order.Compare(s.Start, s.End) > 0 {
		s.Start, s.End = s.End, s.Start
	}
	return s
}

func (w *world) wrote(e export.Entry, err error) {
	w.Helper()
	require.NoError(w, err, "%s %q", e.Kind, e.Key)
	e.Timestamp = export.Timestamp{WallNanos: int64(len(w.writes) + 1)}
	w.writes = append(w.writes, e)
}

func (w *world) set(name string, version int, value string) {
	w.Helper()
	e := export.Entry{Kind: export.Set, Key: w.key(name, version), Value: []byte(value)}
	w.wrote(e, w.h.Set(e.Key, e.Value))
}

func (w *world) delete(name string, version int) {
	w.Helper()
	e := export.Entry{Kind: export.Delete, Key: w.key(name, version)}
	w.wrote(e, w.h.Delete(e.Key))
}

// deleteRange, rangeKeySet, rangeKeyUnset and rangeKeyDelete do nothing where the
// database cannot.
func (w *world) deleteRange(a, b string) {
	w.Helper()
	if h, ok := w.h.(RangeDeleter); ok {
		s := w.span(a, b)
		w.wrote(export.Entry{Kind: export.DeleteRange, Key: s.Start, End: s.End}, h.DeleteRange(s.Start, s.End))
	}
}

func (w *world) rangeKeySet(a, b string, version int, value string) {
	w.Helper()
	if h, ok := w.h.(RangeKeyer); ok {
		s := w.span(a, b)
		e := export.Entry{Kind: export.RangeKeySet, Key: s.Start, End: s.End, Suffix: w.suffix(version), Value: []byte(value)}
		w.wrote(e, h.RangeKeySet(e.Key, e.End, e.Suffix, e.Value))
	}
}

func (w *world) rangeKeyUnset(a, b string, version int) {
	w.Helper()
	if h, ok := w.h.(RangeKeyer); ok {
		s := w.span(a, b)
		e := export.Entry{Kind: export.RangeKeyUnset, Key: s.Start, End: s.End, Suffix: w.suffix(version)}
		w.wrote(e, h.RangeKeyUnset(e.Key, e.End, e.Suffix))
	}
}

func (w *world) rangeKeyDelete(a, b string) {
	w.Helper()
	if h, ok := w.h.(RangeKeyer); ok {
		s := w.span(a, b)
		w.wrote(export.Entry{Kind: export.RangeKeyDelete, Key: s.Start, End: s.End}, h.RangeKeyDelete(s.Start, s.End))
	}
}

func (w *world) shake() {
	w.Helper()
	if h, ok := w.h.(Shaker); ok {
		require.NoError(w, h.Shake())
	}
}

// state is what the store must hold.
func (w *world) state() []export.Entry { return Timeless(Apply(w.order, nil, w.writes)) }

// snapshot skips the check where the adapter has none.
func (w *world) snapshot(store export.Store, opts export.SnapshotOptions) export.Snapshot {
	w.Helper()
	s, err := store.Snapshot(w.ctx, opts)
	if errors.Is(err, errors.ErrUnsupported) {
		w.Skipf("no such snapshots: %v", err)
	}
	require.NoError(w, err)
	return s
}

// closing ends a snapshot or cursor; it is to be deferred.
func (w *world) closing(c interface{ Close() error }) {
	w.Helper()
	if err := c.Close(); err != nil {
		w.Errorf("close: %v", err)
	}
}

func (w *world) read(s export.Snapshot, req export.Request) []export.Entry {
	w.Helper()
	entries, err := Collect(w.ctx, s, req)
	require.NoError(w, err)
	return entries
}

// holds is what a store holds now.
func (w *world) holds(store export.Store) []export.Entry {
	w.Helper()
	s := w.snapshot(store, export.SnapshotOptions{})
	defer w.closing(s)
	return w.read(s, export.Request{})
}

// same compares what states say, whatever their timestamps and cuts.
func (w *world) same(want, got []export.Entry, what ...any) {
	w.Helper()
	w.equal(Canonical(w.order, Timeless(want)), Canonical(w.order, Timeless(got)), what...)
}

// equal compares exports entry by entry, and shows where they part.
func (w *world) equal(want, got []export.Entry, what ...any) {
	w.Helper()
	a, b := lines(want), lines(got)
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	if n < len(a) || n < len(b) {
		require.Fail(w, fmt.Sprintf("%d entries, want %d; from entry %d on\nwant:\n%s\ngot:\n%s",
			len(b), len(a), n, excerpt(a[n:]), excerpt(b[n:])), what...)
	}
}

// excerpt is the first few of lines.
func excerpt(lines []string) string {
	const few = 8
	if len(lines) > few {
		lines = append(slices.Clone(lines[:few]), "...")
	}
	return "\t" + strings.Join(lines, "\n\t")
}

// lines is entries as text, one each, for messages that can be read.
func lines(entries []export.Entry) []string {
	text := make([]string, len(entries))
	for i := range entries {
		text[i] = line(&entries[i])
	}
	return text
}

func line(e *export.Entry) string {
	value := fmt.Sprintf("%q", e.Value)
	if len(e.Value) > 64 {
		value = fmt.Sprintf("%d bytes, crc %08x", len(e.Value), crc32.ChecksumIEEE(e.Value))
	}
	s := fmt.Sprintf("%s %q", e.Kind, e.Key)
	if e.Kind.IsRange() {
		s += fmt.Sprintf(" to %q suffix %q", e.End, e.Suffix)
	}
	if !e.Timestamp.IsZero() {
		s += " at " + e.Timestamp.String()
	}
	return s + " = " + value
}
