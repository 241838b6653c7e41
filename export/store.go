package export

import "context"

// Info describes a store as it is now.
type Info struct {
	Engine       string   // "pebble", "bbolt": descriptive
	Lineage      string   // same ID: same history; changes on restore
	Order        *Order   // nil: bytewise
	Merger       string   // name of what resolves merges; descriptive, exports hold none
	Revisions    bool     // keeps several revisions a key; AsOf and RevisionHistory work
	Locks        bool     // an export may meet locks
	Regions      []string // that it has; objects may need some
	Reserved     []Span   // keys of its own catalog, which come and go with objects
	AtomicIngest bool     // Commit publishes all or nothing, also across a crash
	// Oldest is the GC threshold: the history at and after it is there. It rises before
	// anything is forgotten, and never falls. Zero: no history but now, or all of it
	// (Revisions).
	Oldest Timestamp
}

// Store is required of every adapter. It is safe for concurrent use and does not
// own the database it stands for: closing that is its opener's business, and
// calls after that return an error that wraps [ErrClosed]. An adapter that goes
// one way only returns an error that wraps errors.ErrUnsupported from the other.
type Store interface {
	// Info reads nothing but metadata and may be called often.
	Info(ctx context.Context) (Info, error)

	// Snapshot freezes the store. With a name it opens the named snapshot if there
	// is one, exactly as it was (the other options then only have to fit), else
	// creates it, durable before the call returns. Writers go on meanwhile. A
	// snapshot whose creation failed or crashed leaves nothing that a later call
	// could mistake for one.
	Snapshot(ctx context.Context, opts SnapshotOptions) (Snapshot, error)

	// Ingest begins to load the spans. Where one of them holds data and Replace is
	// not set it returns a *[NotEmptyError] and has written nothing.
	Ingest(ctx context.Context, opts IngestOptions) (Ingester, error)
}

// SnapshotOptions says which view of the store is wanted.
type SnapshotOptions struct {
	// Name is the layer ID that the snapshot becomes: lower-case hex. "": the view
	// ends with Close or the process. Named views are for a [SnapshotKeeper] only.
	Name string
	// Note tells people who keeps a named snapshot: collection ID and redacted URL.
	Note string
	// AsOf is the moment to be seen; zero: now. Another is for a store with
	// Info.Revisions only, else errors.ErrUnsupported. One before Info.Oldest is a
	// [*BeforeGCError].
	AsOf Timestamp
	// After must come before the snapshot's timestamp. A store without history
	// stamps max(wall clock, After.Next()) and keeps that with the name.
	After Timestamp
	// Base names the snapshot after which changes will be asked for; their Since is
	// its timestamp. A store that keeps revisions needs no base, one that does not can
	// tell changes by comparing with it. If it has no such snapshot, or cannot use it,
	// the call succeeds and changes are [ErrNoBase]. The base may be released while it
	// is in use. "": none.
	Base string
	// Spans are what will be read. A store may protect no more than this; nil:
	// everything.
	Spans []Span
}

// Snapshot is a consistent view of a store. It is safe for concurrent use.
type Snapshot interface {
	// Timestamp is the position in the store's history that is seen.
	Timestamp() Timestamp

	// Partition cuts span into independent pieces that cover it exactly, in order;
	// sizes are of what Export will emit. Pieces are cut at bare prefixes, are
	// about equally large where the data allows, and may be many more than there
	// are workers. An empty store gives one piece.
	//
	// Since zero: the state. Else the changes after since, and [ErrNoBase] if the
	// store cannot tell them exactly. What changed nowhere costs nothing: a span
	// without changes is one piece of 0 bytes. Locks are not met.
	//
	// A store that keeps revisions returns ErrNoBase where Info.Oldest has come after
	// since; and, with Info.Oldest still before it, for a span into which was loaded
	// after since what may bear older timestamps: that is then exported from the
	// beginning. The smaller such a span, the better: pieces are asked one by one.
	Partition(ctx context.Context, span Span, since Timestamp) ([]Partition, error)

	// Export opens a cursor. One of changes fails with [ErrNoBase] where it finds that
	// the store cannot tell them after all. Many may be open at once; the snapshot must stay open
	// as long as they are. Cancelling ctx ends the cursor with the context's error.
	Export(ctx context.Context, req Request) (Cursor, error)

	// Close releases the view; a named snapshot stays in the store until it is
	// released. A second Close does nothing.
	Close() error
}

// Partition is one piece of a span that can be exported independently.
type Partition struct {
	Span     Span
	Bytes    int64  // estimate of the logical bytes in it
	Owner    string // "": anyone may export it
	Locality string
}

// Request says what a cursor is to yield. Its bytes stay the caller's, unchanged
// for as long as the cursor is open.
type Request struct {
	Span      Span
	Since     Timestamp  // zero: the state; else the changes after it, and maybe sets and deletes that change nothing
	Revisions bool       // every revision in (Since, snapshot], deletions too; else the newest
	Locks     LockPolicy // SkipLocks: *LockedError at the first lock; PushLocks: resolve them
	Resume    *Position  // continue after this entry
}

// LockPolicy says what an export does where it meets a write not yet committed.
type LockPolicy int

const (
	// SkipLocks ends the cursor with a *[LockedError] at the first lock: whatever came
	// before has a smaller key.
	SkipLocks LockPolicy = iota
	// PushLocks makes the store resolve locks, at the cost of their holders.
	PushLocks
)

// Position is a place in a cursor: after the entry with this key and timestamp.
// What follows are the older revisions of Key, if any, and the keys after it. With
// a zero Timestamp nothing more of Key follows. A range that starts at or before
// Key has been passed and is not repeated.
type Position struct {
	Key       []byte
	Timestamp Timestamp
}

// Cursor is an ordered stream of entries, used by one goroutine at a time:
//
//	for c.Next() {
//		use(c.Entry())
//	}
//	err := errors.Join(c.Err(), c.Close())
//
// Entries ascend by key; at one key the range kinds come first, then points from
// the newest to the oldest timestamp.
type Cursor interface {
	// Next moves to the next entry. It is false at the end and after an error.
	Next() bool
	// Entry is the current entry. It and its bytes belong to the cursor and are
	// valid until the next call of Next or Close.
	Entry() *Entry
	// Err is what ended the cursor early, nil at its end.
	Err() error
	// Close releases the cursor at any point. A second Close does nothing.
	Close() error
}

// IngestOptions says what will be loaded and how it becomes part of the store.
type IngestOptions struct {
	// Name names the staging area: the same name resumes, Abort or another name
	// clears. Lower-case hex.
	Name string
	// Spans are what will be loaded. They must be empty unless Replace, and the
	// caller sees to it that nobody writes to them until Commit has returned.
	Spans []Span
	// Replace swaps in what is loaded for what Spans hold, at Commit.
	Replace bool
	// Lineage is the store's lineage from Commit on; "" keeps it.
	Lineage string
}

// Ingester loads entries into a store. Nothing is visible before Commit. It is
// safe for concurrent use; loaders of disjoint spans may run concurrently.
type Ingester interface {
	// Load opens a loader for span, which must lie in IngestOptions.Spans and
	// overlap no span or table that was loaded before.
	Load(ctx context.Context, span Span) (Loader, error)

	// Commit makes everything that was finished visible, durably, and ends the
	// ingester. Loaders must have finished. After an error the store is as it was;
	// after one that wraps [ErrCommitAgain] Commit must be called again.
	Commit(ctx context.Context) error

	// Abort clears the staging area and ends the ingester. After Commit it does
	// nothing, so that deferring it is always right.
	Abort() error
}

// Loader takes the entries of one span, used by one goroutine at a time.
type Loader interface {
	// Add takes the next entry in the order of a Cursor. It keeps no reference to
	// e or its bytes. It accepts Set and RangeKeySet.
	Add(e *Entry) error
	// Finish ends the loader; without it nothing of its span is loaded.
	Finish() error
}
