package pebblekv_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func suffixFlavor() flavor {
	all := flavors()
	return all[len(all)-1]
}

func plainOptions(v pebble.FormatMajorVersion) func() *pebble.Options {
	return func() *pebble.Options { return &pebble.Options{FormatMajorVersion: v} }
}

// TestTablesOfCompacted: all of the bottom is chosen where nothing lies over it.
func TestTablesOfCompacted(t *testing.T) {
	t.Parallel()
	suffixes := suffixFlavor()
	for _, test := range []struct {
		name    string
		options func() *pebble.Options
		key     func(int) []byte
		format  string
	}{
		{"least format", plainOptions(pebble.FormatMinSupported), plainKey, "pebble.v2"},
		{"virtual tables", plainOptions(pebble.FormatVirtualSSTables), plainKey, "pebble.v4"},
		{"columns", plainOptions(pebble.FormatColumnarBlocks), plainKey, "pebble.v5"},
		{"newest", plainOptions(pebble.FormatNewest), plainKey, "pebble.v7"},
		{"own merger", func() *pebble.Options { return &pebble.Options{Merger: maxMerger()} }, plainKey, "pebble.v2"},
		{"suffixes", suffixes.options, suffixes.prefix, "pebble.v7"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, test.options(), test.key)
			bottom, chosen := b.bottom(t), b.all(t)
			require.Greater(t, len(bottom), 4)
			require.Len(t, chosen, len(bottom))
			for i, info := range chosen {
				require.Equal(t, int64(bottom[i].Size), info.Bytes)
				require.Equal(t, test.format, info.Format)
				require.Positive(t, info.LogicalBytes)
			}
		})
	}
}

// TestTablesUnderNewer: where about as much lies over a table as it holds, nothing is
// won by a copy.
func TestTablesUnderNewer(t *testing.T) {
	t.Parallel()
	b := newBed(t, &pebble.Options{}, plainKey)
	all := b.all(t)
	b.write(t, 0, bedKeys/2)
	chosen := b.all(t)
	require.NotEmpty(t, chosen)
	require.Less(t, len(chosen), len(all)*2/3)
	for _, info := range chosen {
		require.True(t, info.Span.End == nil || string(info.Span.End) > string(plainKey(bedKeys/2)), info.Span.String())
	}
	b.write(t, 0, bedKeys)
	require.Empty(t, b.all(t))
}

// TestTablesUnderLittle: a few new values, deletions, and a range that covers
// something, come over what is copied.
func TestTablesUnderLittle(t *testing.T) {
	t.Parallel()
	for _, v := range []pebble.FormatMajorVersion{pebble.FormatMinSupported, pebble.FormatNewest} {
		b := newBed(t, &pebble.Options{FormatMajorVersion: v}, plainKey)
		all := b.all(t)
		b.write(t, 17, 20)
		require.NoError(t, b.db.Delete(plainKey(300), nil))
		require.NoError(t, b.db.Merge(plainKey(400), []byte("!"), nil))
		require.NoError(t, b.db.DeleteRange(plainKey(600), plainKey(900), nil))
		require.NoError(t, b.db.RangeKeySet(plainKey(100), plainKey(200), nil, []byte("range"), nil))
		require.NoError(t, b.db.Flush())
		require.NoError(t, b.db.Set(plainKey(bedKeys+1), []byte("behind all"), nil))
		require.NotEmpty(t, b.all(t))
		require.LessOrEqual(t, len(b.all(t)), len(all))
	}
}

// TestTablesUnderLog: what is written between the flush and the copy of the log comes
// over what is copied, and is in no table.
func TestTablesUnderLog(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*pebble.DB) error{
		"set":       func(db *pebble.DB) error { return db.Set(plainKey(500), []byte("new"), pebble.Sync) },
		"delete":    func(db *pebble.DB) error { return db.Delete(plainKey(500), pebble.Sync) },
		"range":     func(db *pebble.DB) error { return db.DeleteRange(plainKey(400), plainKey(500), pebble.Sync) },
		"range key": func(db *pebble.DB) error { return db.RangeKeySet(plainKey(400), plainKey(500), nil, nil, pebble.Sync) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := &stallingFS{FS: vfs.NewMem()}
			b := newBed(t, &pebble.Options{FS: fs}, plainKey)
			fs.stall = func() { require.NoError(t, write(b.db)) }
			require.Len(t, b.all(t), len(b.bottom(t)))
		})
	}
}

func TestTablesExcised(t *testing.T) {
	t.Parallel()
	b := newBed(t, &pebble.Options{FormatMajorVersion: pebble.FormatVirtualSSTables}, plainKey)
	require.NoError(t, b.db.Excise(t.Context(), pebble.KeyRange{Start: plainKey(500), End: plainKey(510)}))
	virtual, whole := 0, 0
	for _, t := range b.bottom(t) {
		if t.Virtual {
			virtual++
		} else {
			whole++
		}
	}
	require.NotZero(t, virtual)
	require.NotZero(t, whole)
	require.Len(t, b.all(t), whole)
}

// TestTablesWithValuesElsewhere: those of the first half are short, and stay inside.
func TestTablesWithValuesElsewhere(t *testing.T) {
	t.Parallel()
	b := &bed{rig: newRig(t, littleTables(flavors()[2].options())), key: plainKey}
	for i := range bedKeys {
		value := "short"
		if i > bedKeys/2 {
			value = strings.Repeat("long", 50)
		}
		require.NoError(t, b.db.Set(b.key(i), []byte(value), pebble.NoSync))
	}
	b.compact(t)
	inside := 0
	for _, info := range b.bottom(t) {
		if info.Properties.NumValuesInBlobFiles == 0 {
			inside++
		}
	}
	require.NotZero(t, inside)
	require.Less(t, inside, len(b.bottom(t)))
	require.Len(t, b.all(t), inside)
}

// TestTablesIngested: of tables that were ingested to the bottom the manifest alone
// knows the sequence number.
func TestTablesIngested(t *testing.T) {
	t.Parallel()
	for _, v := range []pebble.FormatMajorVersion{pebble.FormatMinSupported, pebble.FormatNewest} {
		b := &bed{rig: newRig(t, littleTables(&pebble.Options{FormatMajorVersion: v})), key: plainKey}
		require.NoError(t, b.db.Set([]byte("z"), nil, nil))
		var paths []string
		for i := range 3 {
			path := fmt.Sprintf("/in-%d.sst", i)
			table(t, b.popts.FS, path, b.popts, b.db.TableFormat(), string(plainKey(10*i)), string(plainKey(10*i+5)))
			paths = append(paths, path)
		}
		require.NoError(t, b.db.Ingest(t.Context(), paths))
		require.Len(t, b.bottom(t), 3)
		require.NotZero(t, b.bottom(t)[0].LargestSeqNum)
		require.Len(t, b.all(t), 3)
		require.NoError(t, b.db.Delete(plainKey(15), nil))
		require.Len(t, b.all(t), 2, "a table of two keys, and a deletion of one over it")
	}
}

// TestTablesIngestedUnsound: an application may write tables as it likes. Such are
// found when they are read.
func TestTablesIngestedUnsound(t *testing.T) {
	t.Parallel()
	r := newRig(t, littleTables(&pebble.Options{FormatMajorVersion: pebble.FormatVirtualSSTables}))
	o := r.popts.Clone()
	o.EnsureDefaults()
	f, err := r.popts.FS.Create("/in.sst", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	writeUncovering(t, f, o, r.db.TableFormat())
	require.NoError(t, r.db.Ingest(t.Context(), []string{"/in.sst"}))
	s := r.snapshot(t, export.SnapshotOptions{})
	defer func() { require.NoError(t, s.Close()) }()
	tables, err := s.(export.TableExporter).Tables(t.Context(), export.Span{}, 1, math.MaxInt64)
	require.NoError(t, err)
	require.Len(t, tables, 1, "its properties do not tell")
	c, err := tables[0].Entries(t.Context())
	require.NoError(t, err)
	require.True(t, c.Next())
	require.False(t, c.Next())
	require.ErrorIs(t, c.Err(), export.ErrUnsound)
	require.NoError(t, c.Close())
}

// TestTablesThatShareAPrefix: spans are cut at bare prefixes, so of two tables that
// have versions of one key at most the later is chosen.
func TestTablesThatShareAPrefix(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		options *pebble.Options
		key     func(i int) []byte // three prefixes in all
	}{
		{"suffixes", suffixFlavor().options(), func(i int) []byte {
			return cockroachkvs.EncodeMVCCKey(nil, plainKey(i/400), uint64(1+i%400), 0)
		}},
		// As the end of a span the first prefix would be that of all keys.
		{"the first is empty", &pebble.Options{Comparer: splitAt()}, func(i int) []byte {
			return fmt.Appendf(nil, "%s@%03d", strings.Repeat("k", i/400), i%400)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, test.options, test.key)
			split := b.popts.Comparer.Split
			prefix := func(k []byte) string { return string(k[:split(k)]) }
			bottom := b.bottom(t)
			apart := 0
			for i := range bottom {
				if i+1 == len(bottom) || prefix(bottom[i].Largest.UserKey) != prefix(bottom[i+1].Smallest.UserKey) {
					apart++
				}
			}
			require.Greater(t, len(bottom), 6)
			require.Less(t, apart, 4)
			require.Len(t, b.all(t), apart)
		})
	}
}

// splitAt orders keys whose suffixes begin with an @: by prefix, then by suffix.
func splitAt() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Name = "varve.test.at"
	c.Split = func(k []byte) int {
		if i := bytes.IndexByte(k, '@'); i >= 0 {
			return i
		}
		return len(k)
	}
	c.Compare = func(a, b []byte) int {
		i, j := c.Split(a), c.Split(b)
		return cmp.Or(bytes.Compare(a[:i], b[:j]), bytes.Compare(a[i:], b[j:]))
	}
	c.AbbreviatedKey = func([]byte) uint64 { return 0 }
	c.Separator = func(dst, a, _ []byte) []byte { return append(dst, a...) }
	c.Successor = func(dst, a []byte) []byte { return append(dst, a...) }
	return &c
}

func TestTablesOfSize(t *testing.T) {
	t.Parallel()
	b := newBed(t, &pebble.Options{}, plainKey)
	all := b.all(t)
	size := all[0].Bytes
	require.Contains(t, b.choice(t, export.Span{}, size, size), all[0])
	require.NotContains(t, b.choice(t, export.Span{}, size+1, math.MaxInt64), all[0])
	require.NotContains(t, b.choice(t, export.Span{}, 1, size-1), all[0])
}

// TestTablesReachingOut: a table is chosen where all of it lies in the span.
func TestTablesReachingOut(t *testing.T) {
	t.Parallel()
	b := newBed(t, &pebble.Options{}, plainKey)
	bottom := b.bottom(t)
	first, last := bottom[1].Smallest.UserKey, bottom[3].Largest.UserKey
	behind := append(append([]byte{}, last...), 0)
	after := func(k []byte) []byte { return append(append([]byte{}, k...), 0) }
	for _, test := range []struct {
		start, end []byte
		want       int
	}{
		{first, behind, 3},
		{after(first), behind, 2},
		{first, last, 2},
		{after(first), last, 1},
		{after(first), bottom[1].Largest.UserKey, 0},
		{nil, behind, 4},
		{first, nil, len(bottom) - 1},
	} {
		span := export.Span{Start: test.start, End: test.end}
		chosen := b.choice(t, span, 1, math.MaxInt64)
		require.Len(t, chosen, test.want, span.String())
	}
}
