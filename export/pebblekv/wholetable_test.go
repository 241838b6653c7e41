package pebblekv

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/tables"
)

// rawEdit puts one record that is not as it must be among those of a table, which are
// a000 to a999.
type rawEdit struct {
	name   string
	since  sstable.TableFormat         // which has such records
	chosen bool                        // its properties do not tell
	add    func(*sstable.Writer) error // after a500
}

// raw adds records as they are.
func raw(seq pebble.SeqNum, kind pebble.InternalKeyKind, value []byte) func(*sstable.Writer) error {
	return func(w *sstable.Writer) error {
		return w.Raw().Add(pebble.MakeInternalKey([]byte("a500x"), seq, kind), value, false)
	}
}

func rawEdits() []rawEdit {
	const (
		v1 = sstable.TableFormatPebblev1
		v2 = sstable.TableFormatPebblev2
		v4 = sstable.TableFormatPebblev4
	)
	return []rawEdit{
		{"a sequence number in the middle", v1, true, raw(7, pebble.InternalKeyKindSet, nil)},
		{"a key twice", v1, true, func(w *sstable.Writer) error {
			return addAll(w, raw(7, pebble.InternalKeyKindSet, nil), raw(0, pebble.InternalKeyKindSet, nil))
		}},
		{"a key twice, both of number 0", v1, true, func(w *sstable.Writer) error {
			return addAll(w, raw(0, pebble.InternalKeyKindSetWithDelete, nil), raw(0, pebble.InternalKeyKindSet, nil))
		}},
		{"a set that uncovers nothing", v1, true, raw(0, pebble.InternalKeyKindSetWithDelete, []byte("v"))},
		{"a record that readers may pass over", v4, true, func(w *sstable.Writer) error {
			return w.Raw().Add(pebble.MakeInternalKey([]byte("a500x"), 0, pebble.InternalKeyKindSet), nil, true)
		}},
		{"a delete", v1, false, raw(0, pebble.InternalKeyKindDelete, nil)},
		{"a single delete", v1, false, raw(0, pebble.InternalKeyKindSingleDelete, nil)},
		{"a sized delete", v4, false, raw(0, pebble.InternalKeyKindDeleteSized, binary.AppendUvarint(nil, 20))},
		{"a merge", v1, false, raw(0, pebble.InternalKeyKindMerge, []byte("v"))},
		{"a range deletion", v1, false, func(w *sstable.Writer) error { return w.DeleteRange([]byte("a1"), []byte("a2")) }},
		{"a range key", v2, false, func(w *sstable.Writer) error {
			return w.RangeKeySet([]byte("a1"), []byte("a2"), nil, []byte("v"))
		}},
		{"the unsetting of a range key", v2, false, func(w *sstable.Writer) error {
			return w.RangeKeyUnset([]byte("a1"), []byte("a2"), nil)
		}},
		{"the deletion of a range key", v2, false, func(w *sstable.Writer) error {
			return w.RangeKeyDelete([]byte("a1"), []byte("a2"))
		}},
	}
}

func addAll(w *sstable.Writer, adds ...func(*sstable.Writer) error) error {
	for _, add := range adds {
		if err := add(w); err != nil {
			return err
		}
	}
	return nil
}

// writeWhole writes a table of a thousand keys, in many blocks, and takes it for one of
// a checkpoint.
func writeWhole(t *testing.T, format sstable.TableFormat, add func(*sstable.Writer) error) *wholeTable {
	t.Helper()
	c := (&Options{Pebble: &pebble.Options{FS: vfs.NewMem()}}).config()
	owner := &checkpoint{store: &Store{config: c}, path: "/", pebble: c.pebble}
	file := &tableFile{owner: owner, level: bottomLevel, ranges: sstable.NoFragmentTransforms}
	f, err := c.fs.Create(file.path(), vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	o := c.pebble.MakeWriterOptions(bottomLevel, format)
	o.BlockSize = 1 << 10
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o)
	for i := range 1000 {
		require.NoError(t, w.Set(fmt.Appendf(nil, "a%03d", i), fmt.Appendf(nil, "value of %d", i)))
		if i == 500 && add != nil {
			require.NoError(t, add(w))
		}
	}
	require.NoError(t, w.Close())
	info, err := c.fs.Stat(file.path())
	require.NoError(t, err)
	file.Size = uint64(info.Size())
	return &wholeTable{file: file, span: export.Span{Start: []byte("a"), End: []byte("b")}}
}

// readWhole is how many records a table yields, and what ends it.
func readWhole(t *testing.T, w *wholeTable) (n int, err error) {
	t.Helper()
	c, err := w.Entries(t.Context())
	require.NoError(t, err)
	for c.Next() {
		require.Equal(t, export.Set, c.Entry().Kind)
		n++
	}
	require.False(t, c.Next(), "it has ended")
	err = c.Err()
	require.NoError(t, c.Close())
	return n, err
}

func eachFormat(t *testing.T, run func(*testing.T, sstable.TableFormat)) {
	for format := sstable.TableFormatPebblev1; format <= sstable.TableFormatMax; format++ {
		t.Run(tables.FormatName(format), func(t *testing.T) {
			t.Parallel()
			run(t, format)
		})
	}
}

func TestWholeTable(t *testing.T) {
	t.Parallel()
	eachFormat(t, func(t *testing.T, format sstable.TableFormat) {
		w := writeWhole(t, format, nil)
		sound, err := w.describe(t.Context())
		require.NoError(t, err)
		require.True(t, sound)
		require.Equal(t, tables.FormatName(format), w.Info().Format)
		require.Equal(t, format.BlockColumnar(), w.Info().KeySchema != "")
		n, err := readWhole(t, w)
		require.NoError(t, err)
		require.Equal(t, 1000, n)
	})
}

// TestUnsoundTable: whatever else than single sets a table holds, it is not copied:
// its properties tell, or reading it does.
func TestUnsoundTable(t *testing.T) {
	t.Parallel()
	eachFormat(t, func(t *testing.T, format sstable.TableFormat) {
		for _, edit := range rawEdits() {
			if format < edit.since {
				continue
			}
			w := writeWhole(t, format, edit.add)
			chosen, err := w.describe(t.Context())
			require.NoError(t, err, edit.name)
			require.Equal(t, edit.chosen, chosen, edit.name)
			if !chosen {
				continue
			}
			n, err := readWhole(t, w)
			require.ErrorIs(t, err, export.ErrUnsound, edit.name)
			require.GreaterOrEqual(t, n, 501, edit.name)
		}
	})
}

// TestUnsoundWhateverPropertiesSay: reading alone is enough but for ranges, which are
// asked for themselves.
func TestUnsoundWhateverPropertiesSay(t *testing.T) {
	t.Parallel()
	for _, edit := range rawEdits() {
		w := writeWhole(t, sstable.TableFormatPebblev4, edit.add)
		covered, err := w.file.covered(t.Context())
		require.NoError(t, err)
		if len(covered) > 0 {
			continue
		}
		p := w.file.Properties
		p.NumDeletions, p.NumMergeOperands = 0, 0
		sound, err := w.describe(t.Context())
		require.NoError(t, err)
		require.True(t, sound)
		_, err = readWhole(t, w)
		require.ErrorIs(t, err, export.ErrUnsound, edit.name)
	}
}

func TestTableOfOtherSize(t *testing.T) {
	t.Parallel()
	for _, by := range []int{-1, 1} {
		w := writeWhole(t, sstable.TableFormatPebblev4, nil)
		sound, err := w.describe(t.Context())
		require.NoError(t, err)
		require.True(t, sound)
		w.file.Properties.NumEntries += uint64(by)
		n, err := readWhole(t, w)
		require.ErrorIs(t, err, export.ErrUnsound)
		require.Equal(t, 1000, n)
	}
}

func TestTableOutsideOfItsSpan(t *testing.T) {
	t.Parallel()
	for _, span := range []export.Span{
		{Start: []byte("a000x"), End: []byte("b")}, {Start: []byte("a"), End: []byte("a999")}, {Start: []byte("b")},
	} {
		w := writeWhole(t, sstable.TableFormatPebblev4, nil)
		w.span = span
		sound, err := w.describe(t.Context())
		require.NoError(t, err)
		require.True(t, sound)
		_, err = readWhole(t, w)
		require.ErrorIs(t, err, export.ErrUnsound, span)
	}
}

// TestKeyComesAgain: no writer puts one there twice with number 0, and it is seen all
// the same; so is a key that stands before the last one.
func TestKeyComesAgain(t *testing.T) {
	t.Parallel()
	for _, again := range []string{"k5", "k4"} {
		w := writeWhole(t, sstable.TableFormatPebblev3, nil)
		w.span = export.Span{}
		c := &soundCursor{table: w, cmp: w.file.owner.pebble.Comparer.Compare}
		set := func(key string) bool {
			return c.take(pebble.MakeInternalKey([]byte(key), 0, pebble.InternalKeyKindSet), nil)
		}
		require.True(t, set("k1"))
		require.True(t, set("k5"))
		require.False(t, set(again))
		require.ErrorIs(t, c.Err(), export.ErrUnsound)
	}
}

// TestDamagedTable: a table that cannot be read is not one that is left out.
func TestDamagedTable(t *testing.T) {
	t.Parallel()
	w := writeWhole(t, sstable.TableFormatPebblev4, nil)
	sound, err := w.describe(t.Context())
	require.NoError(t, err)
	require.True(t, sound)
	f, err := w.file.owner.pebble.FS.OpenReadWrite(w.file.path(), vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("damage"), 3<<10)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = readWhole(t, w)
	require.Error(t, err)
	require.NotErrorIs(t, err, export.ErrUnsound)
}
