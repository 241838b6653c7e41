package sink

import (
	"fmt"
	"strings"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/frame"
	"github.com/varvekv/varve/internal/seal"
)

// TableFormat is the name of the format of tables that a Writer writes: Pebble's
// row format v3, which every format major version of Pebble v2 ingests. Tables that
// were copied as they are have others, too.
const TableFormat = "pebble.v3"

// File is one table object of a layer, as its file list describes it. All that a
// reader of the object believes, it believes because of this entry.
type File struct {
	Path  string `json:"path"`  // relative to the collection
	Layer string `json:"layer"` // ID of the layer that wrote it
	Tier  int    `json:"tier"`  // of overlapping files of a layer the higher wins; 0 is the bottom

	// Span is the part of the keyspace that the file speaks for; Smallest and
	// Largest bound the keys in it, inclusive, the end of a range counting as a key.
	Span     export.Span `json:"span"`
	Smallest []byte      `json:"smallest"`
	Largest  []byte      `json:"largest"`

	Size      int64  `json:"size,string"`       // stored bytes
	Hash      string `json:"hash"`              // of the stored bytes
	IndexSize int64  `json:"index_size,string"` // of the frame index at the end
	IndexHash string `json:"index_hash"`
	Plain     int64  `json:"plain,string"` // bytes of the table in the frames

	Format    string `json:"format"` // of the table
	KeySchema string `json:"key_schema,omitempty"`
	Merger    string `json:"merger,omitempty"` // that the table names; "": none
	Locality  string `json:"locality,omitempty"`

	// Content is the hash of the table's bytes, as frame.ContentHash takes it, by which a
	// later full knows that it need not store the table again; "" of tables that were not
	// copied as they are.
	Content string `json:"content,omitempty"`

	Counts Counts `json:"counts"`

	// MinTimestamp and MaxTimestamp bound the revisions; zero without revisions.
	MinTimestamp export.Timestamp `json:"min_timestamp"`
	MaxTimestamp export.Timestamp `json:"max_timestamp"`

	key *seal.DataKey // of the layer that wrote it; nil: it is not sealed
}

// Under is the file as it is read with the data key of its layer, nil if that is not
// sealed.
func (f File) Under(key *seal.DataKey) File {
	f.key = key
	return f
}

// Counts are entries of a file or layer by kind, and their logical bytes: keys,
// ends, suffixes and values. A range that was cut at the edge of a file counts in
// both.
type Counts struct {
	Sets         int64 `json:"sets,string"`
	Deletes      int64 `json:"deletes,string"`
	RangeDeletes int64 `json:"range_deletes,string"`
	RangeKeys    int64 `json:"range_keys,string"`
	LogicalBytes int64 `json:"logical_bytes,string"`
}

// Add counts one entry.
func (c *Counts) Add(e *export.Entry) {
	switch e.Kind {
	case export.Set:
		c.Sets++
	case export.Delete:
		c.Deletes++
	case export.DeleteRange:
		c.RangeDeletes++
	default:
		c.RangeKeys++
	}
	c.LogicalBytes += e.Size()
}

// Plus is the sum of both.
func (c Counts) Plus(d Counts) Counts {
	return Counts{
		Sets:         c.Sets + d.Sets,
		Deletes:      c.Deletes + d.Deletes,
		RangeDeletes: c.RangeDeletes + d.RangeDeletes,
		RangeKeys:    c.RangeKeys + d.RangeKeys,
		LogicalBytes: c.LogicalBytes + d.LogicalBytes,
	}
}

// Validate says what makes f impossible, whatever the object holds. The path is
// its owner's to check.
func (f *File) Validate() error {
	switch {
	case f.Tier < 0 || f.Tier > maxTier:
		return fmt.Errorf("tier %d, want 0 to %d", f.Tier, maxTier)
	case f.Size <= 0 || f.Plain < 0 || f.IndexSize <= 0 || f.IndexSize > f.Size:
		return fmt.Errorf("sizes %d stored, %d index, %d plain are impossible", f.Size, f.IndexSize, f.Plain)
	case !isHash(f.Hash), !isHash(f.IndexHash), f.Content != "" && !isHash(f.Content):
		return fmt.Errorf("hashes %q and %q are not of a known kind", f.Hash, f.IndexHash)
	case !Knows(f.Format):
		return fmt.Errorf("table format %q is not known", f.Format)
	case f.Counts.Sets < 0 || f.Counts.Deletes < 0 || f.Counts.RangeDeletes < 0 || f.Counts.RangeKeys < 0:
		return fmt.Errorf("counts are negative")
	}
	return nil
}

const maxTier = 1 << 10

func isHash(s string) bool {
	digits, ok := strings.CutPrefix(s, frame.HashPrefix)
	return ok && len(digits) == 64 && strings.Trim(digits, "0123456789abcdef") == ""
}

// Key is what Under was given.
func (f *File) Key() *seal.DataKey { return f.key }

func (f *File) sealing() frame.Key { return frame.Key{Layer: f.key, Name: f.Path} }

func (f *File) facts() frame.Facts {
	return frame.Facts{Size: f.Size, Plain: f.Plain, Hash: f.Hash, IndexSize: f.IndexSize, IndexHash: f.IndexHash}
}
