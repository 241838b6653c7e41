package sink

import (
	"context"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
)

// rowFormats and columnFormats are what a Reader reads. Those of columns need the
// schema of their keys, too.
var (
	rowFormats    = []string{"pebble.v1", "pebble.v2", "pebble.v3", "pebble.v4"}
	columnFormats = []string{"pebble.v5", "pebble.v6", "pebble.v7"}
)

// Knows reports whether a Reader knows the table format.
func Knows(format string) bool {
	return slices.Contains(rowFormats, format) || slices.Contains(columnFormats, format)
}

// Reads reports whether a Reader of this form can read tables of a format and key
// schema.
func (f Form) Reads(format, keySchema string) bool {
	if slices.Contains(rowFormats, format) {
		return true
	}
	_, known := f.keySchemas()[keySchema]
	return known && !f.Revisions && slices.Contains(columnFormats, format)
}

// keySchemas are those that Pebble has itself. An application's own is not known here.
func (f Form) keySchemas() sstable.KeySchemas {
	const bundle = 16 // Pebble's own choice, and part of the schema's name
	plain := colblk.DefaultKeySchema(f.comparer(), bundle)
	return sstable.MakeKeySchemas(&plain, &cockroachkvs.KeySchema)
}

// recovered makes an error of a panic. Pebble believes what stands in a table, as its own
// are never forged: it panics where it does not know a key schema, and where a block is
// none or lies about its length.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("table cannot be read: %v", p)
	}
}

// openTable opens the table for reading.
func (r *Reader) openTable(ctx context.Context) (_ *sstable.Reader, err error) {
	o := sstable.ReaderOptions{Comparer: r.form.comparer()}
	if r.file.KeySchema != "" {
		o.KeySchemas = r.form.keySchemas()
	}
	if r.file.Merger != "" { // none of its records is to be merged
		o.Mergers = map[string]*pebble.Merger{r.file.Merger: {Name: r.file.Merger}}
	}
	defer recovered(&err)
	return sstable.NewReader(ctx, readable{r.frames}, o)
}
