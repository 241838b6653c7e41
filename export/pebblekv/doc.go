// Package pebblekv lets varve back up and restore any Pebble database, with any
// comparer, merger and format major version.
//
// [New] adapts a database that is open, [Open] opens one first, and [Dir] is a
// directory that a restore creates. A typical program has one [Store] for each
// database, for as long as the database is open.
//
// # Snapshots
//
// A snapshot is a Pebble checkpoint: a folder of hard links under
// Options.SnapshotDir, with a sidecar file that says whose it is. Exports read
// the checkpoint through an iterator, a table cache and a block cache of their
// own: they hold nothing in the live database, delay none of its compactions,
// and do not see what is written, ingested or excised afterwards.
//
// The memtable is flushed first. What a writer left unsynced, or a database
// without a write-ahead log has in memory, is in the snapshot if it was written
// before the call. Writes of that kind made during the call are seen as a crash
// at that moment would leave them.
//
// A checkpoint alone is of one moment only while nothing is ingested or excised.
// So its log is cut off where it lacks such an operation, see moment.go: a snapshot
// is always what the database held after some operation, and before all later ones.
//
// The folder holds three kinds of entries:
//
//	varve-snapshots/
//	    <name>/       a named snapshot: it has a sidecar of that name
//	    tmp-<random>/ being built, being removed, or serving an ingest;
//	                  alive as long as somebody holds its LOCK
//	    load-<name>/  tables of a named ingest that is not committed
//	    anything else is not ours and is left alone
//
// A named snapshot is built under a temporary name and renamed when it and its
// sidecar are durable, and removed by renaming it back first, so that at no
// moment a folder looks valid and is not. Temporary folders that nobody holds
// are cleared by the next Snapshot or Ingest.
//
// # Changes
//
// A named snapshot is the base of the next one, if that asks for it by its name. The
// tables of the two are compared: what both have is left out, and a key can only have
// changed if a table that one of them lacks, or either log, has a record of it, or a
// range deletion or range key there covers it. Of these keys most were only moved by
// a compaction, which their records show; of the others values are compared. See
// difference.go for why no key is missed. It costs about what was flushed and
// compacted since. Where records decide little, as with merges, and values in blob
// files, both states are compared instead.
//
// Two tables are one if number, bounds, sequence numbers and the file behind them are
// the same. On Unix a file is known by its inode, which is not used again as long as
// the base holds a link to it. Elsewhere, on Windows or in memory, the contents of
// tables that look the same are compared, so that changes cost at least to read all of
// both. Where the base has come to the place as a copy, or Options.SnapshotDir lies on
// another file system, no table is the same, and all of both is read and compared. The
// result is exact in any case. A base that is missing or cannot be opened is
// [export.ErrNoBase].
//
// A base pins the tables, and the blob files, that the database has replaced since:
// SnapshotInfo.PinnedBytes is their size. It holds no memory and no open file as long
// as nobody uses it.
//
// # Catalog
//
// A Pebble database knows keys and nothing else. Options.Objects says which of them are
// what table, in what database: that is the catalog of every snapshot, and it must be
// declared likewise where a restore goes to, also for a [Dir]. A table that is to be
// restored under another name must be declared under that name, with spans of its own.
// A program that declares other spans than it did before moves its tables without their
// data: that is for its own migration to do.
//
// # Lineage
//
// A small file beside the tables, varve-lineage.json, says which history the
// database has. It stays with the directory over restarts and changes when an
// ingest names another. A copy of the directory has the same lineage, and one without
// that file, such as a checkpoint of Pebble's own, begins another. Whoever copies a
// directory, and goes on writing to both, should remove the file and the folder of
// snapshots from one of them. Snapshots of the lineage that an ingest has ended are
// removed by the next call that makes one. Those of any other are never opened, listed
// or released; such folders may be deleted by hand.
//
// # Loading
//
// Entries are written to sorted tables and whole tables are taken as they are,
// both under a temporary folder, and everything becomes visible with one call of
// DB.Ingest or DB.IngestAndExcise, which syncs the tables' directory and the
// manifest: what Commit has published is durable without the write-ahead log.
//
// # Tests with the race detector
//
// A program built with -race, or the tag invariants, has Pebble check itself. Up to
// v2.1.7 these checks copy the empty key as nil, and are confused by a range deletion
// that begins there, which layers of a whole store may hold: a read of what was restored
// may panic, or show no range keys. They are there, and any other build sees them.
package pebblekv
