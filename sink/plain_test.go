package sink_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// framed stores a plain table as an object, so that it can be read.
func framed(t *testing.T, bucket *objectio.Bucket, n int, p sink.PlainTable) sink.File {
	t.Helper()
	var stored bytes.Buffer
	w, err := frame.NewWriter(frame.Raw)
	require.NoError(t, err)
	require.NoError(t, w.Reset(&stored, nil))
	written, err := p.WriteTo(w)
	require.NoError(t, err)
	require.Equal(t, p.Bytes, written)
	facts, err := w.Finish()
	require.NoError(t, err)
	require.NoError(t, bucket.Create(t.Context(), name(n), stored.Bytes()))
	return sink.File{
		Path: name(n), Span: p.Span, Size: facts.Size, Hash: facts.Hash, IndexSize: facts.IndexSize, IndexHash: facts.IndexHash,
		Plain: facts.Plain, Format: sink.TableFormat, Counts: p.Counts,
	}
}

// TestPlainTables hold what went in, tile the span, and end at bare prefixes.
func TestPlainTables(t *testing.T) {
	t.Parallel()
	eachForm(t, func(t *testing.T, w *world) {
		entries := w.entries()
		for _, limit := range []int64{1, 40 << 10, 1 << 30} {
			bucket, _ := memory(t)
			var files []sink.File
			p := sink.NewPlainWriter(w.form, export.Span{}, limit, func(table sink.PlainTable) error {
				files = append(files, framed(t, bucket, len(files), table))
				return nil
			})
			for i := range entries {
				require.NoError(t, p.Add(&entries[i]))
			}
			require.NoError(t, p.Finish())
			p.Abort()
			var got []export.Entry
			var at []byte
			for i, f := range files {
				require.Equal(t, at, f.Span.Start)
				require.True(t, w.form.Order.CutPoint(f.Span.End))
				require.Equal(t, i == len(files)-1, len(f.Span.End) == 0)
				at = f.Span.End
				all, err := read(t.Context(), bucket, w.form, f, export.Span{})
				require.NoError(t, err)
				require.Equal(t, all, clipped(w.form.Order, all, f.Span), "entries outside the table's span")
				got = append(got, all...)
			}
			wantPoints, wantRanges := canonical(w.form.Order, entries)
			points, ranges := canonical(w.form.Order, got)
			require.Equal(t, wantPoints, points)
			require.Equal(t, wantRanges, ranges)
			require.Equal(t, limit == 1<<30, len(files) == 1)
		}
	})
}

// TestPlainTablesLieOnOthers: their sets can be single-deleted, and they never hold
// less than a level below needs to be deleted.
func TestPlainTablesLieOnOthers(t *testing.T) {
	t.Parallel()
	var tables int
	p := sink.NewPlainWriter(sink.Form{}, export.Span{}, 1<<20, func(table sink.PlainTable) error {
		tables++
		var plain bytes.Buffer
		_, err := table.WriteTo(&plain)
		require.NoError(t, err)
		require.Equal(t, []pebble.InternalKeyKind{pebble.InternalKeyKindSetWithDelete, pebble.InternalKeyKindDelete}, kindsOf(t, plain.Bytes()))
		return nil
	})
	require.NoError(t, p.Add(&export.Entry{Kind: export.Set, Key: []byte("a"), Value: []byte("1")}))
	require.NoError(t, p.Add(&export.Entry{Kind: export.Delete, Key: []byte("b")}))
	require.NoError(t, p.Finish())
	require.Equal(t, 1, tables)
	require.Error(t, p.Add(&export.Entry{Kind: export.Delete, Key: []byte("c")}), "it has finished")

	none := sink.NewPlainWriter(sink.Form{}, export.Span{}, 1, func(sink.PlainTable) error { return errors.New("a table of nothing") })
	require.NoError(t, none.Finish())

	full := sink.NewPlainWriter(sink.Form{}, export.Span{}, 1, func(sink.PlainTable) error { return errors.New("disk full") })
	require.NoError(t, full.Add(&export.Entry{Kind: export.Delete, Key: []byte("c")}))
	require.ErrorContains(t, full.Finish(), "disk full")
	full.Abort()
}
