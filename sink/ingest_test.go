package sink_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// engineOptions are those of a database with its own order and merger, at the oldest
// format that Pebble opens by default.
func engineOptions(form sink.Form) *pebble.Options {
	merger := *pebble.DefaultMerger
	merger.Name = "the application's own"
	o := &pebble.Options{Merger: &merger, Logger: silent{}}
	switch {
	case form.Revisions:
		o.Comparer = &cockroachkvs.Comparer
	case form.Order != nil:
		c := *pebble.DefaultComparer
		c.Name, c.Compare, c.Split = form.Order.Name, form.Order.Compare, form.Order.Split
		c.CompareRangeSuffixes, c.ComparePointSuffixes = compareSuffixes, compareSuffixes
		c.Equal = bytes.Equal
		c.AbbreviatedKey = func([]byte) uint64 { return 0 }
		c.Separator = func(dst, a, _ []byte) []byte { return append(dst, a...) }
		c.Successor = func(dst, a []byte) []byte { return append(dst, a...) }
		c.ImmediateSuccessor = func(dst, a []byte) []byte { return append(append(dst, a...), 0) }
		o.Comparer = &c
	}
	return o
}

type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

func openEngine(t *testing.T, form sink.Form) *pebble.DB {
	db, err := pebble.Open(t.TempDir(), engineOptions(form))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// ingest gives the plain tables of files to db in one step.
func ingest(t *testing.T, db *pebble.DB, bucket *objectio.Bucket, files []sink.File) {
	t.Helper()
	var paths []string
	for i, f := range files {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("%d.sst", i))
		var plain bytes.Buffer
		require.NoError(t, sink.Copy(t.Context(), bucket, f, &plain))
		require.EqualValues(t, f.Plain, plain.Len())
		writeFile(t, path, plain.Bytes())
		paths = append(paths, path)
	}
	require.NoError(t, db.Ingest(t.Context(), paths))
}

// replay does to db what the level means: deletions first, for at one age they undo
// nothing that stands beside them.
func replay(t *testing.T, db *pebble.DB, level []export.Entry) {
	t.Helper()
	b := db.NewBatch()
	for _, kind := range []export.Kind{
		export.DeleteRange, export.RangeKeyDelete, export.RangeKeyUnset, export.RangeKeySet, export.Delete, export.Set,
	} {
		for _, e := range level {
			if e.Kind == kind {
				require.NoError(t, apply(b, &e))
			}
		}
	}
	require.NoError(t, b.Commit(pebble.NoSync))
}

func apply(b *pebble.Batch, e *export.Entry) error {
	switch e.Kind {
	case export.Set:
		return b.Set(e.Key, e.Value, nil)
	case export.Delete:
		return b.Delete(e.Key, nil)
	case export.DeleteRange:
		return b.DeleteRange(e.Key, e.End, nil)
	case export.RangeKeySet:
		return b.RangeKeySet(e.Key, e.End, e.Suffix, e.Value, nil)
	case export.RangeKeyUnset:
		return b.RangeKeyUnset(e.Key, e.End, e.Suffix, nil)
	case export.RangeKeyDelete:
		return b.RangeKeyDelete(e.Key, e.End, nil)
	}
	return errors.New(e.Kind.String())
}

// visible is all that a reader of db sees.
func visible(t *testing.T, db *pebble.DB) (all []export.Entry) {
	t.Helper()
	it, err := db.NewIter(&pebble.IterOptions{KeyTypes: pebble.IterKeyTypePointsAndRanges})
	require.NoError(t, err)
	for ok := it.First(); ok; ok = it.Next() {
		point, ranges := it.HasPointAndRange()
		if point {
			all = append(all, copyOf(&export.Entry{Kind: export.Set, Key: it.Key(), Value: it.Value()}))
		}
		if ranges && it.RangeKeyChanged() {
			start, end := it.RangeBounds()
			for _, k := range it.RangeKeys() {
				all = append(all, copyOf(&export.Entry{Kind: export.RangeKeySet, Key: start, End: end, Suffix: k.Suffix, Value: k.Value}))
			}
		}
	}
	require.NoError(t, errors.Join(it.Error(), it.Close()))
	return all
}

// TestEnginesTakeTables: layers linked one on the other make the state that doing
// what they say makes.
func TestEnginesTakeTables(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]sink.Form{"bytewise": {}, "suffixed": {Order: suffixed}} {
		for _, target := range []int64{4 << 10, 1 << 30} {
			t.Run(fmt.Sprintf("%s/%d", name, target), func(t *testing.T) {
				t.Parallel()
				linked, replayed := openEngine(t, form), openEngine(t, form)
				require.Equal(t, pebble.FormatMinSupported, linked.FormatMajorVersion())
				w := newWorld(11, form)
				for layer := range 4 {
					bucket, _ := memory(t)
					w.state = layer == 0
					entries := w.entries()
					overlay := sink.Above
					if layer == 0 {
						overlay = sink.Bottom
					}
					opts := sink.Options{Form: form, TargetBytes: target, Overlay: overlay}
					ingest(t, linked, bucket, write(t, bucket, export.Span{}, entries, opts).Files)
					replay(t, replayed, entries)
					wantPoints, wantRanges := canonical(w.order, visible(t, replayed))
					gotPoints, gotRanges := canonical(w.order, visible(t, linked))
					require.Equal(t, wantPoints, gotPoints)
					require.Equal(t, wantRanges, gotRanges)
				}
			})
		}
	}
}

// TestVersionedEngineTakesTables: revisions lie where Pebble's cockroachkvs puts them.
func TestVersionedEngineTakesTables(t *testing.T) {
	t.Parallel()
	w := newWorld(3, sink.Form{Revisions: true})
	entries := w.entries()
	bucket, _ := memory(t)
	db := openEngine(t, w.form)
	ingest(t, db, bucket, write(t, bucket, export.Span{}, entries, sink.Options{Form: w.form, TargetBytes: 8 << 10}).Files)
	points := 0
	for _, e := range entries {
		if e.Kind.IsRange() {
			continue
		}
		points++
		key := cockroachkvs.EncodeMVCCKey(nil, e.Key, uint64(e.Timestamp.WallNanos), e.Timestamp.Logical)
		value, closer, err := db.Get(key)
		require.NoError(t, err)
		if e.Kind == export.Delete {
			require.Empty(t, value)
		} else {
			require.Equal(t, string(append([]byte{1}, e.Value...)), string(value))
		}
		require.NoError(t, closer.Close())
	}
	for _, e := range visible(t, db) {
		if e.Kind == export.Set {
			points--
		}
	}
	require.Zero(t, points)
}

// TestSingleDeleteUncoversNothing: what an application may do to a key it set once
// does not bring back what a lower layer had.
func TestSingleDeleteUncoversNothing(t *testing.T) {
	t.Parallel()
	db := openEngine(t, sink.Form{})
	for _, layer := range []sink.Overlay{sink.Bottom, sink.Above} {
		bucket, _ := memory(t)
		entries := []export.Entry{{Kind: export.Set, Key: []byte("k"), Value: fmt.Append(nil, layer)}}
		ingest(t, db, bucket, write(t, bucket, export.Span{}, entries, sink.Options{Overlay: layer}).Files)
	}
	require.NoError(t, db.SingleDelete([]byte("k"), pebble.Sync))
	require.NoError(t, db.Flush())
	require.NoError(t, db.Compact(t.Context(), []byte("a"), []byte("z"), false))
	_, _, err := db.Get([]byte("k"))
	require.ErrorIs(t, err, pebble.ErrNotFound)
}

// TestKindsOfSets: the overlay decides how a set lies in the table.
func TestKindsOfSets(t *testing.T) {
	t.Parallel()
	for overlay, want := range map[sink.Overlay]pebble.InternalKeyKind{
		sink.Bottom: pebble.InternalKeyKindSet, sink.Above: pebble.InternalKeyKindSetWithDelete,
	} {
		bucket, _ := memory(t)
		entries := noise(3)
		f := write(t, bucket, export.Span{}, entries, sink.Options{Overlay: overlay}).Files[0]
		var plain bytes.Buffer
		require.NoError(t, sink.Copy(t.Context(), bucket, f, &plain))
		for _, kind := range kindsOf(t, plain.Bytes()) {
			require.Equal(t, want, kind)
		}
		got, err := read(t.Context(), bucket, sink.Form{}, f, export.Span{})
		require.NoError(t, err)
		require.Equal(t, entries, got)
	}
}
