package pebblekv_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

func span(start, end string) export.Span {
	return export.Span{Start: []byte(start), End: []byte(end)}
}

func load(t testing.TB, in export.Ingester, s export.Span, entries ...export.Entry) {
	t.Helper()
	l, err := in.Load(t.Context(), s)
	require.NoError(t, err)
	for i := range entries {
		require.NoError(t, l.Add(&entries[i]))
	}
	require.NoError(t, l.Finish())
}

func set(key, value string) export.Entry {
	return export.Entry{Kind: export.Set, Key: []byte(key), Value: []byte(value)}
}

func sendTable(t testing.TB, in export.Ingester, info export.TableInfo, data []byte) error {
	t.Helper()
	w, err := in.(export.TableLoader).LoadTable(t.Context(), info)
	if err != nil {
		return err
	}
	defer w.Abort()
	for len(data) > 0 {
		n, err := w.Write(data[:min(100, len(data))])
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return w.Finish()
}

func makeTable(t testing.TB, o *pebble.Options, format sstable.TableFormat, keys ...string) []byte {
	t.Helper()
	fs := vfs.NewMem()
	table(t, fs, "t.sst", o, format, keys...)
	return tableBytes(t, fs, "t.sst")
}

func TestLoadTable(t *testing.T) {
	for _, fmv := range []pebble.FormatMajorVersion{pebble.FormatDefault, pebble.FormatNewest} {
		r := newRig(t, &pebble.Options{FormatMajorVersion: fmv})
		in, err := r.store.Ingest(t.Context(), export.IngestOptions{Name: "1", Spans: []export.Span{span("b", "n")}})
		require.NoError(t, err)
		support := in.(export.TableLoader).TableSupport()
		require.Equal(t, 1, support.Levels)
		require.Contains(t, support.Formats, "pebble.v3")
		require.Equal(t, fmv == pebble.FormatNewest, len(support.Formats) == 7)

		data := makeTable(t, r.popts, sstable.TableFormatPebblev3, "c", "d", "e")
		good := export.TableInfo{Span: span("c", "f"), Format: "pebble.v3", Bytes: int64(len(data))}
		for name, change := range map[string]func(*export.TableInfo){
			"outside of":         func(i *export.TableInfo) { i.Span = span("c", "e") },
			"lies in none":       func(i *export.TableInfo) { i.Span = span("a", "f") },
			"is of format":       func(i *export.TableInfo) { i.Format = "pebble.v2" },
			"is not known":       func(i *export.TableInfo) { i.Format = "pebble.v8" },
			"were written":       func(i *export.TableInfo) { i.Bytes++ },
			"more than":          func(i *export.TableInfo) { i.Bytes-- },
			"level 1: there are": func(i *export.TableInfo) { i.Level = 1 },
		} {
			bad := good
			change(&bad)
			require.ErrorContains(t, sendTable(t, in, bad, data), name)
		}
		if fmv == pebble.FormatDefault {
			newer := good
			newer.Format = "pebble.v4"
			require.ErrorContains(t, sendTable(t, in, newer, data), "newer")
		} else {
			unknown := good
			unknown.Format, unknown.KeySchema = "pebble.v7", "nobody's"
			require.ErrorContains(t, sendTable(t, in, unknown, data), "key schema")
		}
		damaged := append([]byte{}, data...)
		damaged[len(damaged)-1] ^= 1
		require.Error(t, sendTable(t, in, good, damaged))
		require.NoError(t, sendTable(t, in, good, data), "after all those were given up")
		require.ErrorContains(t, sendTable(t, in, good, data), "loaded before")
		_, err = in.Load(t.Context(), span("e", "g"))
		require.ErrorContains(t, err, "loaded before")
		load(t, in, span("f", "m"), set("g", "1"))
		require.Empty(t, visible(t, r.db))
		require.NoError(t, in.Commit(t.Context()))
		require.Len(t, visible(t, r.db), 4)
		left, err := r.popts.FS.List(dbDir + "/varve-snapshots")
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

// TestLoaderRolls: tables of a loader do not overlap, whatever range keys reach
// across, and prefixes stay whole.
func TestLoaderRolls(t *testing.T) {
	r := newRig(t, &pebble.Options{})
	in, err := r.store.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{}}})
	require.NoError(t, err)
	defer in.Abort()
	l, err := in.Load(t.Context(), export.Span{})
	require.NoError(t, err)
	rangeKey := export.Entry{Kind: export.RangeKeySet, Key: []byte("a"), End: []byte("zz"), Suffix: []byte("@1"), Value: []byte("v")}
	require.NoError(t, l.Add(&rangeKey))
	value := strings.Repeat("x", 9<<20)
	for _, k := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		e := set(k, value)
		require.NoError(t, l.Add(&e))
	}
	e := set("b", "again")
	require.Error(t, l.Add(&e))
	require.Error(t, l.Finish(), "a loader that failed loads nothing")
	require.Error(t, in.Commit(t.Context()))
	require.NoError(t, in.Abort())

	in, err = r.store.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{}}})
	require.NoError(t, err)
	l, err = in.Load(t.Context(), export.Span{})
	require.NoError(t, err)
	require.NoError(t, l.Add(&rangeKey))
	for _, k := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		e := set(k, value)
		require.NoError(t, l.Add(&e))
	}
	require.NoError(t, l.Finish())
	require.NoError(t, in.Commit(t.Context()))
	levels, err := r.db.SSTables()
	require.NoError(t, err)
	require.Len(t, levels[6], 3)
	got := visible(t, r.db)
	require.Len(t, got, 27)
	require.Equal(t, line(&rangeKey), got[0])
}

func TestNotEmpty(t *testing.T) {
	r := newRig(t, &pebble.Options{})
	r.set(t, "k")
	require.NoError(t, r.db.RangeKeySet([]byte("p"), []byte("r"), nil, nil, nil))
	var notEmpty *export.NotEmptyError
	for _, s := range []export.Span{{}, span("k", "l"), span("q", "z"), span("a", "")} {
		_, err := r.store.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{span("0", "1"), s}[1:]})
		require.ErrorAs(t, err, &notEmpty)
		require.Equal(t, s.Clone(), notEmpty.Span)
	}
	in, err := r.store.Ingest(t.Context(), export.IngestOptions{Name: "1", Spans: []export.Span{span("a", "k")}, Lineage: "new"})
	require.NoError(t, err)
	load(t, in, span("a", "k"), set("b", "1"))
	r.set(t, "c")
	require.ErrorAs(t, in.Commit(t.Context()), &notEmpty)
	require.NoError(t, r.db.Delete([]byte("c"), nil))
	require.NoError(t, in.Commit(t.Context()), "once it is empty again")
	require.Len(t, visible(t, r.db), 3)
}

func TestReplace(t *testing.T) {
	r := newRig(t, &pebble.Options{FormatMajorVersion: pebble.FormatVirtualSSTables})
	fill := func() {
		r.set(t, "a", "k", "l", "z")
		require.NoError(t, r.db.RangeKeySet([]byte("j"), []byte("zz"), nil, []byte("r"), nil))
	}
	replace := func(s export.Span, entries ...export.Entry) {
		in, err := r.store.Ingest(t.Context(), export.IngestOptions{Name: "1", Spans: []export.Span{s}, Replace: true})
		require.NoError(t, err)
		load(t, in, s, entries...)
		require.NoError(t, in.Commit(t.Context()))
	}
	fill()
	replace(span("k", "m"), set("kk", "new"))
	require.Equal(t, []string{
		`set "a"-"" ""="value of a"`,
		`range-key-set "j"-"k" ""="r"`,
		`set "kk"-"" ""="new"`,
		`range-key-set "m"-"zz" ""="r"`,
		`set "z"-"" ""="value of z"`,
	}, visible(t, r.db))
	replace(export.Span{}, set("zzz", "last"))
	require.Equal(t, []string{`set "zzz"-"" ""="last"`}, visible(t, r.db))
	replace(span("m", ""))
	require.Empty(t, visible(t, r.db))
	replace(export.Span{})

	old := newRig(t, &pebble.Options{})
	_, err := old.store.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{}}, Replace: true})
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// TestReplaceSeveral: spans apart from each other change at once, whatever the database
// holds in them, in tables and in memory; what lies between them is others'. A snapshot from
// before stays as it was, and an incremental finds what has changed.
func TestReplaceSeveral(t *testing.T) {
	first := ""
	if asserting {
		first = "0" // a range deletion that begins at the empty key hides range keys from such a Pebble
	}
	for _, version := range []pebble.FormatMajorVersion{pebble.FormatDefault, pebble.FormatVirtualSSTables, pebble.FormatNewest} {
		r := newRig(t, &pebble.Options{FormatMajorVersion: version})
		r.set(t, first, "b", "c", "d", "f", "h", "m", "n")
		require.NoError(t, r.db.RangeKeySet([]byte("b"), []byte("n"), nil, []byte("r"), nil))
		require.NoError(t, r.db.Flush())
		require.NoError(t, r.db.Set([]byte("c"), []byte("younger"), nil))
		base := r.snapshot(t, export.SnapshotOptions{Name: "ba"})
		before := visible(t, r.db)
		spans := []export.Span{span(first, "c"), span("d", "g"), span("m", "")}
		if version < pebble.FormatVirtualSSTables {
			spans[2] = span("m", "z")
		}
		in, err := r.store.Ingest(t.Context(), export.IngestOptions{Name: "1", Spans: spans, Replace: true})
		require.NoError(t, err)
		require.Empty(t, in.(export.TableLoader).TableSupport().Formats)
		load(t, in, span("a", "b"), set("a", "new"))
		load(t, in, span("d", "e"), export.Entry{Kind: export.RangeKeySet, Key: []byte("d"), End: []byte("dd"), Value: []byte("new")}, set("d", "new"))
		load(t, in, spans[2], set("o", "new"))
		r.set(t, "g") // between the spans
		require.NoError(t, in.Commit(t.Context()))
		want := []string{
			`set "a"-"" ""="new"`,
			`range-key-set "c"-"d" ""="r"`,
			`set "c"-"" ""="younger"`,
			`range-key-set "d"-"dd" ""="new"`,
			`set "d"-"" ""="new"`,
			`range-key-set "g"-"m" ""="r"`,
			`set "g"-"" ""="value of g"`,
			`set "h"-"" ""="value of h"`,
			`set "o"-"" ""="new"`,
		}
		require.Equal(t, want, visible(t, r.db))
		require.Equal(t, before, lines(t, base, export.Request{}))
		now := r.snapshot(t, export.SnapshotOptions{Base: "ba"})
		changes := lines(t, now, export.Request{Since: base.Timestamp()})
		for _, gone := range []string{first, "b", "f", "m", "n"} {
			require.Contains(t, changes, fmt.Sprintf(`delete %q-"" ""=""`, gone))
		}
		require.NoError(t, errors.Join(now.Close(), base.Close()))
		require.NoError(t, r.db.SingleDelete([]byte("d"), nil)) // of what is there once
		require.NoError(t, r.db.Compact(t.Context(), []byte{}, []byte("zz"), false))
		require.NotContains(t, strings.Join(visible(t, r.db), " "), "value of d")
		require.Len(t, visible(t, r.db), len(want)-1)
		r.close(t)
		r.open(t)
		require.Len(t, visible(t, r.db), len(want)-1)
	}
}

// TestReplaceIsTakenUpAsItWas: what was staged to be loaded beside the rest clears nothing,
// and does not become a replacement later.
func TestReplaceIsTakenUpAsItWas(t *testing.T) {
	r := newRig(t, &pebble.Options{})
	opts := export.IngestOptions{Name: "1", Spans: []export.Span{span("a", "b"), span("c", "d")}}
	in, err := r.store.Ingest(t.Context(), opts)
	require.NoError(t, err)
	load(t, in, span("a", "b"), set("a", "new"))
	r.close(t)
	require.NoError(t, in.Abort(), "it stays for the next process")
	r.open(t)
	opts.Replace = true
	_, err = r.store.Ingest(t.Context(), opts)
	require.ErrorContains(t, err, "was to clear its span: false")
	opts.Name = "2"
	in, err = r.store.Ingest(t.Context(), opts)
	require.NoError(t, err)
	load(t, in, span("a", "b"), set("a", "new"))
	r.set(t, "aa", "c")
	r.close(t)
	require.NoError(t, in.Abort())
	r.open(t)
	in, err = r.store.Ingest(t.Context(), opts)
	require.NoError(t, err)
	require.NoError(t, in.Commit(t.Context()))
	require.Equal(t, []string{`set "a"-"" ""="new"`}, visible(t, r.db))
}

// TestCommitDiskFull: whatever write of Commit fails, the database and its lineage
// are as before, and a second Commit succeeds.
func TestCommitDiskFull(t *testing.T) {
	var fault faultFS
	for n := 0; ; n++ {
		r := newRig(t, &pebble.Options{FS: fault.wrap(vfs.NewMem())})
		r.set(t, "z")
		require.NoError(t, r.db.Flush())
		in, err := r.store.Ingest(t.Context(), export.IngestOptions{Name: "1", Spans: []export.Span{span("a", "f")}, Lineage: "new"})
		require.NoError(t, err)
		load(t, in, span("a", "c"), set("b", "1"))
		load(t, in, span("c", "f"), set("d", "2"))
		before, err := r.store.Info(t.Context())
		require.NoError(t, err)
		fault.failAt(n)
		err = in.Commit(t.Context())
		hit := fault.stop()
		if err == nil {
			require.NoError(t, in.Abort())
			require.Len(t, visible(t, r.db), 3)
			if !hit {
				require.Greater(t, n, 4)
				return
			}
			continue
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.Len(t, visible(t, r.db), 1)
		after, err := r.store.Info(t.Context())
		require.NoError(t, err)
		require.Equal(t, before.Lineage, after.Lineage)
		require.NoError(t, in.Commit(t.Context()))
		require.Len(t, visible(t, r.db), 3)
	}
}

// faultFS is a disk that is full after some writes, for all but the log and the
// manifest, where Pebble ends the process.
type faultFS struct {
	countdown int // below zero: there is room
	hit       bool
}

func (f *faultFS) wrap(fs vfs.FS) vfs.FS {
	f.countdown = -1
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpCreate, errorfs.OpLink, errorfs.OpFileWrite, errorfs.OpMkdirAll:
		default:
			return nil // takes no room
		}
		if f.countdown < 0 || !strings.Contains(op.Path, "varve-") && !strings.HasSuffix(op.Path, ".sst") {
			return nil
		}
		if f.countdown > 0 {
			f.countdown--
			return nil
		}
		f.hit = true
		return syscall.ENOSPC
	}))
}

func (f *faultFS) failAt(n int) { f.countdown, f.hit = n, false }

func (f *faultFS) stop() (hit bool) {
	f.countdown = -1
	return f.hit
}

// TestLoaderKeepsNothing is E7 for loaders.
func TestLoaderKeepsNothing(t *testing.T) {
	r := newRig(t, &pebble.Options{})
	in, err := r.store.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{}}})
	require.NoError(t, err)
	l, err := in.Load(t.Context(), export.Span{})
	require.NoError(t, err)
	buf := []byte("a-m-s-v")
	e := export.Entry{Kind: export.RangeKeySet, Key: buf[:1], End: buf[2:3], Suffix: buf[4:5], Value: buf[6:]}
	require.NoError(t, l.Add(&e))
	e = export.Entry{Kind: export.Set, Key: buf[:1], Value: buf[6:]}
	require.NoError(t, l.Add(&e))
	copy(buf, "???????")
	require.NoError(t, l.Finish())
	require.NoError(t, in.Commit(t.Context()))
	require.Equal(t, []string{`range-key-set "a"-"m" "s"="v"`, `set "a"-"" ""="v"`}, visible(t, r.db))
}

// TestClosedDatabase: every call says so.
func TestClosedDatabase(t *testing.T) {
	r := newRig(t, &pebble.Options{})
	in, err := r.store.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{}}})
	require.NoError(t, err)
	s := r.snapshot(t, export.SnapshotOptions{})
	store, db := r.store, r.db
	r.close(t)
	_, err = store.Info(t.Context())
	require.ErrorIs(t, err, export.ErrClosed)
	_, err = store.Snapshot(t.Context(), export.SnapshotOptions{Name: "1"})
	require.ErrorIs(t, err, export.ErrClosed)
	_, err = store.Snapshots(t.Context())
	require.ErrorIs(t, err, export.ErrClosed)
	require.ErrorIs(t, store.Release(t.Context(), "1"), export.ErrClosed)
	_, err = store.Ingest(t.Context(), export.IngestOptions{Spans: []export.Span{{}}})
	require.ErrorIs(t, err, export.ErrClosed)
	require.ErrorIs(t, in.Commit(t.Context()), export.ErrClosed)
	_, err = pebblekv.New(db, dbDir, &pebblekv.Options{Pebble: r.popts})
	require.ErrorIs(t, err, export.ErrClosed)
	require.Empty(t, lines(t, s, export.Request{}))
	require.NoError(t, errors.Join(s.Close(), in.Abort()))
}
