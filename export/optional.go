package export

import (
	"context"
	"io"
	"time"
)

// The abilities below are optional. Each is looked up by type assertion on the
// value that its comment names, never on the user's behalf elsewhere.

// SnapshotKeeper, on Store: snapshots that outlive the process. Without it jobs
// restart at a new moment and incrementals compare with the chain.
type SnapshotKeeper interface {
	// Snapshots lists the named snapshots of this store's lineage, oldest first.
	Snapshots(ctx context.Context) ([]SnapshotInfo, error)

	// Release removes the named snapshot and what it pinned; nil if there is none.
	// One that is open in this process goes when its last user closes it.
	Release(ctx context.Context, name string) error
}

// Differ, on Snapshot: changes together with what they replaced. Without it the
// digest of an incremental backup is taken by reading the whole store.
type Differ interface {
	// Changes is Export of the changes after req.Since, of which it must yield each
	// one that is real and none that is not. It returns [ErrNoBase] where Export does.
	Changes(ctx context.Context, req Request) (Changes, error)
}

// Changes is a cursor over changes that knows what each of them has replaced.
type Changes interface {
	Cursor

	// Former is what stood in the place of the current entry before: the Set of its
	// key, or the RangeKeySet with its bounds and suffix; nil if nothing did. Of a
	// DeleteRange it is nil, for each key that one removes comes as a Delete of its
	// own, too. With Request.Revisions it is what stood there at Request.Since, and
	// told with the newest revision of a key. It and its bytes are valid as long as the
	// entry's.
	Former() *Entry
}

// TableExporter, on Snapshot: whole sorted tables, to be copied as they are. Without it
// every entry of a full backup is decoded and encoded again.
type TableExporter interface {
	// Tables chooses tables that make up the bottom of what is in span, and are worth
	// to be copied: their spans lie in span, ascend and are apart, each holds from least
	// to most bytes, and the store has little over them. It may choose none.
	Tables(ctx context.Context, span Span, least, most int64) ([]Table, error)

	// Over opens a cursor over the changes that make the state of span out of what
	// tables hold: any of those that Tables has chosen and that lie in span, in any
	// order. If exact is set, each change is real and knows what it replaced; else some
	// may change nothing, and what they replaced is not known.
	Over(ctx context.Context, span Span, tables []Table, exact bool) (Changes, error)
}

// Table is a whole sorted table of a snapshot, which must stay open as long as the
// table is used. It is safe for concurrent use.
type Table interface {
	// Info describes the table. Its Level is 0.
	Info() TableInfo

	// Entries reads all that the table holds, which must be Sets alone, each key once,
	// with nothing in the bytes that says more or less than that. Where the cursor finds
	// anything else it ends with [ErrUnsound]. A table is copied only after it was read to
	// its end.
	Entries(ctx context.Context) (Cursor, error)

	// Open opens the bytes of the table.
	Open() (io.ReadCloser, error)
}

// SnapshotInfo describes a named snapshot.
type SnapshotInfo struct {
	Name, Note  string
	Timestamp   Timestamp
	CreatedAt   time.Time // by the store's clock: descriptive
	PinnedBytes int64     // held for this snapshot alone; an estimate
	InUse       bool      // open in this process
}

// TableLoader, on Ingester: takes whole sorted tables instead of entries. Without
// it every entry of a backup is decoded and added again.
type TableLoader interface {
	// TableSupport says which tables LoadTable takes. It does no I/O.
	TableSupport() TableSupport

	// LoadTable begins to receive one table. It is safe for concurrent use.
	LoadTable(ctx context.Context, t TableInfo) (TableWriter, error)
}

// TableSupport is what a TableLoader takes.
type TableSupport struct {
	Formats    []string // names of table formats: "pebble.v3"
	KeySchemas []string // of formats that have one; row tables have none
	Levels     int      // how many overlapping levels; 1: no table may overlap another
}

// TableInfo describes a table to a TableLoader.
type TableInfo struct {
	// Span holds every key of the table, and lies in IngestOptions.Spans.
	Span Span
	// Level orders overlapping tables: 0 is the bottom, a higher one wins. Tables of
	// one level do not overlap.
	Level             int
	Format, KeySchema string
	Merger            string // that the table names; "": none, any store takes it
	Bytes             int64  // exact size
	LogicalBytes      int64  // of keys and values, an estimate; 0: not known
}

// TableWriter receives the bytes of one table, in order. Exactly one of Finish
// and Abort takes effect; Abort after Finish does nothing.
type TableWriter interface {
	// Write keeps no reference to p.
	Write(p []byte) (int, error)
	// Finish makes the table durable in the staging area.
	Finish() error
	Abort()
}
