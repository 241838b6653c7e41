// Package tables opens files of sorted tables, names their formats, and looks at their
// edges.
package tables

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/varvekv/varve/export"
)

const tablePrefix = "pebble.v"

// FormatName names a table format as varve records it: "pebble.v3".
func FormatName(f sstable.TableFormat) string {
	return tablePrefix + strconv.Itoa(int(f-sstable.TableFormatPebblev1)+1)
}

// parseName is the inverse of FormatName.
func parseName(name string) (sstable.TableFormat, error) {
	digits, ok := strings.CutPrefix(name, tablePrefix)
	n, err := strconv.Atoi(digits)
	f := sstable.TableFormatPebblev1 + sstable.TableFormat(n-1)
	if !ok || err != nil || n < 1 || f > sstable.TableFormatMax || FormatName(f) != name {
		return 0, fmt.Errorf("table format %q is not known", name)
	}
	return f, nil
}

// Support lists what a database with these options takes up to format most.
func Support(o *pebble.Options, most sstable.TableFormat, levels int) export.TableSupport {
	s := export.TableSupport{Levels: levels}
	for f := sstable.TableFormatPebblev1; f <= most; f++ {
		s.Formats = append(s.Formats, FormatName(f))
	}
	for name := range o.KeySchemas {
		s.KeySchemas = append(s.KeySchemas, name)
	}
	slices.Sort(s.KeySchemas)
	return s
}

// Takes reports whether the table fits s.
func Takes(s export.TableSupport, t export.TableInfo) error {
	f, err := parseName(t.Format)
	if err != nil {
		return err
	}
	switch {
	case !slices.Contains(s.Formats, t.Format):
		return fmt.Errorf("table format %s is newer than the database takes, which is %s", t.Format, s.Formats[len(s.Formats)-1])
	case f.BlockColumnar() && !slices.Contains(s.KeySchemas, t.KeySchema):
		return fmt.Errorf("key schema %q is not known to the database", t.KeySchema)
	case t.Level < 0 || t.Level >= s.Levels:
		return fmt.Errorf("level %d: there are %d", t.Level, s.Levels)
	}
	return nil
}

// Open opens the table file at path. Closing the reader closes the file.
func Open(ctx context.Context, fs vfs.FS, path string, o *pebble.Options) (*sstable.Reader, error) {
	readable, err := openReadable(fs, path, vfs.RandomReadsOption)
	if err != nil {
		return nil, err
	}
	return newReader(ctx, readable, path, o)
}

// OpenAhead opens it to be read from end to end.
func OpenAhead(ctx context.Context, fs vfs.FS, path string, o *pebble.Options) (*sstable.Reader, error) {
	readable, err := openReadable(fs, path, vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	return newReader(ctx, aheadReadable{readable}, path, o)
}

func openReadable(fs vfs.FS, path string, how vfs.OpenOption) (objstorage.Readable, error) {
	f, err := fs.Open(path, how)
	if err != nil {
		return nil, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return readable, nil
}

func newReader(ctx context.Context, readable objstorage.Readable, path string, o *pebble.Options) (*sstable.Reader, error) {
	r, err := sstable.NewReader(ctx, readable, o.MakeReaderOptions())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open table %s: %w", path, err), readable.Close())
	}
	return r, nil
}

// Check refuses a table file that has a key of any kind outside of the span,
// or a format other than what was announced.
func Check(ctx context.Context, fs vfs.FS, path string, o *pebble.Options, order *export.Order, t export.TableInfo) error {
	e := edges{
		format: func(f sstable.TableFormat) error {
			if FormatName(f) != t.Format {
				return fmt.Errorf("table is of format %s, not %s", FormatName(f), t.Format)
			}
			return nil
		},
		point: func(key []byte) error {
			if !t.Span.Contains(order, key) {
				return fmt.Errorf("table has key %q outside of %s", key, t.Span)
			}
			return nil
		},
		ranged: func(start, end []byte) error {
			if r := (export.Span{Start: start, End: end}); !t.Span.Covers(order, r) {
				return fmt.Errorf("table has range %s outside of %s", r, t.Span)
			}
			return nil
		},
	}
	return e.visit(ctx, fs, path, o)
}

// LastPrefix is the bare prefix of the last key or range end in a table.
func LastPrefix(ctx context.Context, fs vfs.FS, path string, o *pebble.Options) ([]byte, error) {
	var last []byte
	note := func(key []byte) error {
		if c := o.Comparer; last == nil || c.Compare(key, last) > 0 {
			last = slices.Clone(key[:c.Split(key)])
		}
		return nil
	}
	e := edges{
		format: func(sstable.TableFormat) error { return nil },
		point:  note,
		ranged: func(_, end []byte) error { return note(end) },
	}
	return last, e.visit(ctx, fs, path, o)
}

// edges looks at the format of a table, its first and last point, and its first
// and last fragment of range deletes and of range keys.
type edges struct {
	format func(sstable.TableFormat) error
	point  func(key []byte) error
	ranged func(start, end []byte) error
}

func (e edges) visit(ctx context.Context, fs vfs.FS, path string, o *pebble.Options) (err error) {
	r, err := Open(ctx, fs, path, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f, err := r.TableFormat()
	if err != nil {
		return err
	}
	if err := e.format(f); err != nil {
		return err
	}
	if err := e.visitPoints(r); err != nil {
		return err
	}
	return e.visitRanges(ctx, r)
}

func (e edges) visitPoints(r *sstable.Reader) (err error) {
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if kv := it.First(); kv != nil {
		if err := e.point(kv.K.UserKey); err != nil {
			return err
		}
	}
	if kv := it.Last(); kv != nil {
		return e.point(kv.K.UserKey)
	}
	return it.Error()
}

func (e edges) visitRanges(ctx context.Context, r *sstable.Reader) error {
	open := r.NewRawRangeDelIter
	for range 2 {
		it, err := open(ctx, sstable.NoFragmentTransforms, sstable.NoReadEnv)
		if err != nil {
			return err
		}
		open = r.NewRawRangeKeyIter
		if it == nil {
			continue
		}
		f, err := it.First()
		if err == nil && f != nil {
			err = e.ranged(f.Start, f.End)
		}
		if err == nil {
			f, err = it.Last()
		}
		if err == nil && f != nil {
			err = e.ranged(f.Start, f.End)
		}
		it.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
