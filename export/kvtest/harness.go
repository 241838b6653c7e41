package kvtest

import (
	"testing"

	"github.com/varvekv/varve/export"
)

// Harness hands one database of the adapter under test to one check. What else
// the database can do is found by type assertion: [RangeDeleter], [RangeKeyer],
// [Keyer], [Shaker], [Locker], [Collector], [Partitioner], [Tabler],
// [CatalogWriter]. Checks of what a harness lacks are skipped.
//
// Set, Delete and the optional writes are called concurrently with one another
// and with calls on the store. Reopen and CloseStore are not.
type Harness interface {
	// Store is the store under test, the same value until Reopen. The database is
	// empty when the harness is made.
	Store() export.Store

	// Reopen makes the process restart: it closes the database and opens it again.
	// What was not durable is gone. Snapshots and cursors have been closed before,
	// ingesters may be open; the former store is used no more.
	Reopen() (export.Store, error)

	// Set and Delete write to the database as an application would.
	Set(key, value []byte) error
	Delete(key []byte) error

	// Empty makes another database of the same order, with nothing in it, and is
	// the store of it: a destination. It stays open until the check has ended.
	Empty() (export.Store, error)

	// CloseStore closes the database under Store and is the last call.
	CloseStore() error
}

// NewHarness makes a harness with an empty database of its own. What it opens is
// closed by t.Cleanup, after CloseStore and after Reopen too.
type NewHarness func(t *testing.T) Harness

// RangeDeleter is a harness whose database removes the points of [start, end).
type RangeDeleter interface {
	DeleteRange(start, end []byte) error
}

// RangeKeyer is a harness whose database has range keys. Bounds are bare
// prefixes, suffixes are those of [Keyer].
type RangeKeyer interface {
	RangeKeySet(start, end, suffix, value []byte) error
	RangeKeyUnset(start, end, suffix []byte) error
	RangeKeyDelete(start, end []byte) error
}

// Keyer is a harness that says how keys of its order are spelled. Without it a
// key is its name, followed by "@" and two digits where the version is not 0,
// which makes it a bare prefix in an order that has none but bare prefixes.
type Keyer interface {
	// Key has the bare prefix that name stands for, and the suffix of version.
	// Version 0 has no suffix. Names are non-empty lower-case letters and digits.
	Key(name string, version int) []byte
	// Suffix is what a range key of that version has; of version 0 it is empty.
	Suffix(version int) []byte
}

// Shaker is a harness that can move data about without changing what it says:
// flush, compact, rewrite.
type Shaker interface {
	Shake() error
}

// Locker is a harness that can leave a write uncommitted, so that an export that
// skips locks meets it. Keys that are locked have no value.
type Locker interface {
	Lock(key []byte, holder string) error
}

// Collector is a harness of a store with revisions that can forget history:
// Info.Oldest is then before, or as near as named snapshots let it be.
type Collector interface {
	Collect(before export.Timestamp) error
}

// Partitioner is a harness that knows how large the pieces of Partition are meant
// to be, so that the suite can write enough for several.
type Partitioner interface {
	PartitionBytes() int64
}

// Tabler is a harness that knows whether snapshots choose tables to be copied after
// Shake, where there are points alone: then the suite wants some.
type Tabler interface {
	ShowsTables() bool
}

// CatalogWriter is a harness that can change the catalog of its database. That of others
// that have one is as it was declared, in Store as in Empty, and the suite changes
// nothing but data.
type CatalogWriter interface {
	// CreateObject creates an object with that many spans, which are free, and is what it
	// became: ID and spans are the database's, all else is as it was given.
	CreateObject(o export.Object, spans int) (export.Object, error)
	// RenameObject gives an object another name and parent.
	RenameObject(id, parent uint64, name string) error
	// DropObject drops an object and all that is in it.
	DropObject(id uint64) error
}
