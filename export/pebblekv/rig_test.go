package pebblekv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

const dbDir = "/db"

// rig is an open database with its store.
type rig struct {
	popts *pebble.Options
	opts  *pebblekv.Options
	db    *pebble.DB
	store *pebblekv.Store

	once   map[int]bool // keys that may be single-deleted: set once since
	tables int
}

func newRig(t testing.TB, popts *pebble.Options) *rig {
	t.Helper()
	if popts.FS == nil {
		popts.FS = vfs.NewMem()
	}
	popts.Logger = quiet{t}
	r := &rig{popts: popts}
	r.open(t)
	t.Cleanup(func() {
		if r.db != nil {
			require.NoError(t, r.db.Close())
		}
	})
	return r
}

func (r *rig) open(t testing.TB) {
	t.Helper()
	db, store, err := pebblekv.Open(dbDir, r.popts, r.opts)
	require.NoError(t, err)
	r.db, r.store = db, store
}

func (r *rig) close(t testing.TB) {
	t.Helper()
	require.NoError(t, r.db.Close())
	r.db = nil
}

func (r *rig) set(t testing.TB, keys ...string) {
	t.Helper()
	for _, k := range keys {
		require.NoError(t, r.db.Set([]byte(k), []byte("value of "+k), pebble.NoSync))
	}
}

func (r *rig) snapshot(t testing.TB, opts export.SnapshotOptions) export.Snapshot {
	t.Helper()
	s, err := r.store.Snapshot(t.Context(), opts)
	require.NoError(t, err)
	return s
}

type quiet struct{ testing.TB }

func (quiet) Infof(string, ...any)                {}
func (quiet) Errorf(string, ...any)               {}
func (q quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// lines is what a cursor yields, one line an entry.
func lines(t testing.TB, s export.Snapshot, req export.Request) []string {
	t.Helper()
	cur, err := s.Export(t.Context(), req)
	require.NoError(t, err)
	var out []string
	for cur.Next() {
		out = append(out, line(cur.Entry()))
	}
	require.NoError(t, cur.Err())
	require.NoError(t, cur.Close())
	return out
}

func line(e *export.Entry) string {
	return fmt.Sprintf("%s %q-%q %q=%q", e.Kind, e.Key, e.End, e.Suffix, e.Value)
}

// visible is what a plain iterator over db sees.
func visible(t testing.TB, db *pebble.DB) []string {
	t.Helper()
	it, err := db.NewIter(&pebble.IterOptions{KeyTypes: pebble.IterKeyTypePointsAndRanges})
	require.NoError(t, err)
	var out []string
	for ok := it.First(); ok; ok = it.Next() {
		hasPoint, hasRange := it.HasPointAndRange()
		if hasRange && it.RangeKeyChanged() {
			start, end := it.RangeBounds()
			for _, r := range it.RangeKeys() {
				out = append(out, line(&export.Entry{Kind: export.RangeKeySet, Key: start, End: end, Suffix: r.Suffix, Value: r.Value}))
			}
		}
		if hasPoint {
			out = append(out, line(&export.Entry{Kind: export.Set, Key: it.Key(), Value: it.Value()}))
		}
	}
	require.NoError(t, errors.Join(it.Error(), it.Close()))
	return out
}

// table writes a sorted table of points.
func table(t testing.TB, fs vfs.FS, path string, o *pebble.Options, format sstable.TableFormat, keys ...string) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	o = o.Clone()
	o.EnsureDefaults()
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o.MakeWriterOptions(6, format))
	for _, k := range keys {
		require.NoError(t, w.Set([]byte(k), []byte("table "+k)))
	}
	require.NoError(t, w.Close())
}

func tableBytes(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	require.NoError(t, err)
	info, err := f.Stat()
	require.NoError(t, err)
	b := make([]byte, info.Size())
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return b
}

// flavor is a way to set up Pebble.
type flavor struct {
	name    string
	options func() *pebble.Options
	key     func(i int) []byte // with the suffixes of the comparer
	prefix  func(i int) []byte // bare
	suffix  func(i int) []byte
}

func plainKey(i int) []byte { return fmt.Appendf(nil, "k%05d", i) }

// mvccKey has one of four versions of a prefix.
func mvccKey(i int) []byte {
	return cockroachkvs.EncodeMVCCKey(nil, plainKey(i/4), uint64(1+i%4), 0)
}

func flavors() []flavor {
	noSuffix := func(int) []byte { return nil }
	plain := func(name string, o pebble.Options) flavor {
		return flavor{name: name, options: func() *pebble.Options { c := o; return &c }, key: plainKey, prefix: plainKey, suffix: noSuffix}
	}
	separated := pebble.Options{FormatMajorVersion: pebble.FormatNewest}
	separated.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 8, MaxBlobReferenceDepth: 4, TargetGarbageRatio: 1}
	}
	suffixed := flavor{
		name: "suffixes",
		options: func() *pebble.Options {
			return &pebble.Options{
				Comparer:                &cockroachkvs.Comparer,
				KeySchema:               cockroachkvs.KeySchema.Name,
				KeySchemas:              sstable.MakeKeySchemas(&cockroachkvs.KeySchema),
				BlockPropertyCollectors: cockroachkvs.BlockPropertyCollectors,
				FormatMajorVersion:      pebble.FormatNewest,
			}
		},
		key:    mvccKey,
		prefix: func(i int) []byte { return cockroachkvs.EncodeMVCCKey(nil, plainKey(i/4), 0, 0) },
		suffix: func(i int) []byte {
			k := mvccKey(i)
			return k[cockroachkvs.Split(k):]
		},
	}
	return []flavor{
		plain("default", pebble.Options{}),
		plain("virtual tables", pebble.Options{FormatMajorVersion: pebble.FormatVirtualSSTables}),
		plain("value separation", separated),
		plain("no log", pebble.Options{DisableWAL: true}),
		plain("own merger", pebble.Options{Merger: maxMerger()}),
		suffixed,
	}
}

// maxMerger keeps the greatest operand.
func maxMerger() *pebble.Merger {
	return &pebble.Merger{
		Name: "varve.test.max",
		Merge: func(_, value []byte) (pebble.ValueMerger, error) {
			return &maxValue{append([]byte(nil), value...)}, nil
		},
	}
}

type maxValue struct{ value []byte }

func (m *maxValue) MergeNewer(v []byte) error {
	if bytes.Compare(v, m.value) > 0 {
		m.value = append([]byte(nil), v...)
	}
	return nil
}
func (m *maxValue) MergeOlder(v []byte) error { return m.MergeNewer(v) }
func (m *maxValue) Finish(bool) ([]byte, io.Closer, error) {
	return m.value, nil, nil
}

// churn applies random writes of every kind to the first n keys.
func churn(t testing.TB, r *rig, f flavor, rng *rand.Rand, ops, n int) {
	t.Helper()
	if r.once == nil {
		r.once = make(map[int]bool)
	}
	once := r.once
	for range ops {
		i, j := rng.IntN(n), rng.IntN(n)
		if i > j {
			i, j = j, i
		}
		var err error
		switch op := rng.IntN(20); {
		case op < 9:
			err = r.db.Set(f.key(i), fmt.Appendf(nil, "value %d of %d is long enough", rng.Int32(), i), pebble.NoSync)
		case op == 9:
			err = r.db.Delete(f.key(i), pebble.NoSync)
		case op == 10 && r.db.FormatMajorVersion() >= pebble.FormatDeleteSizedAndObsolete:
			err = r.db.DeleteSized(f.key(i), 30, pebble.NoSync)
		case op == 11:
			k := f.key(n + i)
			if !once[n+i] {
				err = r.db.Set(k, []byte("single"), pebble.NoSync)
			} else {
				err = r.db.SingleDelete(k, pebble.NoSync)
			}
			once[n+i] = !once[n+i]
		case op < 15:
			err = r.db.Merge(f.key(2*n+i), fmt.Appendf(nil, "%d;", rng.IntN(100)), pebble.NoSync)
		case op == 15:
			err = r.db.DeleteRange(f.prefix(i), f.prefix(min(j, i+8)), pebble.NoSync)
		case op == 16 && !bytes.Equal(f.prefix(i), f.prefix(j)):
			err = r.db.RangeKeySet(f.prefix(i), f.prefix(j), f.suffix(i), fmt.Appendf(nil, "range %d", i), pebble.NoSync)
		case op == 17 && !bytes.Equal(f.prefix(i), f.prefix(j)):
			err = r.db.RangeKeyDelete(f.prefix(i), f.prefix(j), pebble.NoSync)
		case op == 18 && rng.IntN(8) == 0:
			err = r.db.Flush()
		case op == 19 && rng.IntN(16) == 0:
			err = r.db.Compact(context.Background(), f.key(0), f.key(3*n), false)
		}
		require.NoError(t, err)
	}
}

func at(sec int64) time.Time { return time.Unix(sec, 0) }

// writeUncovering writes a table of two keys to f, of which the second is set as
// compactions set what lies over a deletion.
func writeUncovering(t testing.TB, f vfs.File, o *pebble.Options, format sstable.TableFormat) {
	t.Helper()
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o.MakeWriterOptions(6, format))
	require.NoError(t, w.Set([]byte("a"), nil))
	require.NoError(t, w.Raw().Add(pebble.MakeInternalKey([]byte("b"), 0, pebble.InternalKeyKindSetWithDelete), nil, false))
	require.NoError(t, w.Close())
}
