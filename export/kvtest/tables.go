package kvtest

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func tableChecks() []check {
	return []check{
		{"Tables/Over", checkTables},
		{"Tables/Bounds", checkTableBounds},
		{"Tables/Cancelled", checkTablesCancelled},
	}
}

// checkTables copies some of the tables, at random moments, and lays what the state has
// over them on top. Points come first: range kinds keep tables from being copied.
func checkTables(w *world) {
	r := rand.New(rand.NewPCG(7, 7))
	for i := range samples {
		for version := range 3 {
			w.set(name(i), version, strings.Repeat(name(i), 16))
		}
	}
	w.shake()
	chosen := 0
	for n := range 6 {
		for range 3 {
			w.set(name(r.IntN(samples)), r.IntN(3), fmt.Sprintf("value %d", r.IntN(4)))
			w.delete(name(r.IntN(samples)), r.IntN(3))
		}
		chosen += w.overSome(r, n)
	}
	if h, ok := w.h.(Tabler); ok && h.ShowsTables() {
		require.Positive(w, chosen, "no table was ever chosen")
	}
	w.fill()
	for n := range 8 {
		w.change(r, 40)
		w.overSome(r, n)
	}
}

// overSome is one such moment. It returns how many tables were chosen of all.
func (w *world) overSome(r *rand.Rand, n int) (all int) {
	w.Helper()
	if n%2 == 0 {
		w.shake()
	}
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	for _, span := range w.someSpans() {
		want := Clip(w.order, w.state(), span)
		chosen := w.tables(s, span, 1, math.MaxInt64)
		all = max(all, len(chosen))
		w.over(s, span, chosen, want)
		some := slices.DeleteFunc(chosen, func(export.Table) bool { return r.IntN(3) == 0 })
		r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		w.over(s, span, some, want)
	}
	return all
}

// tables are those of span, which must be as they are described. Whatever else a table
// turns out to hold, it is not to be copied.
func (w *world) tables(s export.Snapshot, span export.Span, least, most int64) []export.Table {
	w.Helper()
	exporter, ok := s.(export.TableExporter)
	if !ok {
		w.Skipf("the snapshot shows no tables")
	}
	tables, err := exporter.Tables(w.ctx, span, least, most)
	require.NoError(w, err)
	for i, t := range tables {
		info := t.Info()
		require.NotEmpty(w, info.Format)
		require.Zero(w, info.Level)
		require.True(w, span.Covers(w.order, info.Span), "table of %s in %s", info.Span, span)
		require.True(w, w.order.CutPoint(info.Span.Start) && w.order.CutPoint(info.Span.End), "table of %s", info.Span)
		require.True(w, least <= info.Bytes && info.Bytes <= most, "table of %d bytes, want %d to %d", info.Bytes, least, most)
		if i > 0 {
			before := tables[i-1].Info().Span
			require.NotEmpty(w, before.End, "table of %s before another", before)
			require.LessOrEqual(w, w.order.Compare(before.End, info.Span.Start), 0, "tables of %s and %s", before, info.Span)
		}
		file, err := t.Open()
		require.NoError(w, err)
		n, err := io.Copy(io.Discard, file)
		require.NoError(w, err)
		require.NoError(w, file.Close())
		require.Equal(w, info.Bytes, n)
	}
	return slices.DeleteFunc(tables, func(t export.Table) bool {
		_, err := w.entriesOf(t)
		if err != nil {
			require.ErrorIs(w, err, export.ErrUnsound)
		}
		return err != nil
	})
}

func (w *world) entriesOf(t export.Table) ([]export.Entry, error) {
	w.Helper()
	c, err := t.Entries(w.ctx)
	require.NoError(w, err)
	defer w.closing(c)
	var all []export.Entry
	for c.Next() {
		e := c.Entry().Clone()
		require.Equal(w, export.Set, e.Kind, line(&e))
		w.inside(t.Info().Span, &e)
		all = append(all, e)
	}
	if c.Err() == nil {
		w.ordered(all)
	}
	return all, c.Err()
}

// over wants the changes over tables to make the state of what these hold.
func (w *world) over(s export.Snapshot, span export.Span, tables []export.Table, want []export.Entry) {
	w.Helper()
	var under []export.Entry
	for _, t := range tables {
		entries, err := w.entriesOf(t)
		require.NoError(w, err)
		under = append(under, entries...)
	}
	old := standing(under)
	for _, exact := range []bool{true, false} {
		c, err := s.(export.TableExporter).Over(w.ctx, span, tables, exact)
		require.NoError(w, err)
		var changes []export.Entry
		for c.Next() {
			e := c.Entry().Clone()
			changes = append(changes, e)
			w.inside(span, &e)
			if exact {
				w.replaces(&e, c.Former(), old)
			}
		}
		require.NoError(w, c.Err())
		w.closing(c)
		w.ordered(changes)
		w.same(want, Apply(w.order, under, changes), "%d tables of %s", len(tables), span)
	}
}

func checkTableBounds(w *world) {
	w.fill()
	w.shake()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	for _, t := range w.tables(s, export.Span{}, 1, math.MaxInt64) {
		size := t.Info().Bytes
		w.tables(s, export.Span{}, size, size)
		w.tables(s, export.Span{}, size+1, math.MaxInt64)
		w.tables(s, export.Span{}, 1, size-1)
	}
}

func checkTablesCancelled(w *world) {
	w.fill()
	w.shake()
	s := w.snapshot(w.store, export.SnapshotOptions{})
	defer w.closing(s)
	tables := w.tables(s, export.Span{}, 1, math.MaxInt64)
	ctx := w.cancelled()
	c, err := s.(export.TableExporter).Over(ctx, export.Span{}, tables, true)
	if err == nil {
		require.False(w, c.Next())
		err = c.Err()
		w.closing(c)
	}
	require.ErrorIs(w, err, ctx.Err())
	for _, t := range tables {
		c, err := t.Entries(ctx)
		if err == nil {
			require.False(w, c.Next())
			err = c.Err()
			w.closing(c)
		}
		require.ErrorIs(w, err, ctx.Err())
	}
}
