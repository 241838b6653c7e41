// Package mvcckv is a keyspace on Pebble that keeps its history and has transactions: a
// store that varve backs up with all its revisions, as of any moment, and restores to
// any moment again.
//
// [Open] opens one, [Store.Update] and [Store.Begin] read and write, and
// [Store.Collect] forgets what is old. The store is an [export.Store] as it is.
//
//	_, err := store.Update(ctx, nil, func(tx *mvcckv.Tx) error {
//		return tx.Put(ctx, []byte("alice"), []byte("10"))
//	})
//
// It is small, and not a database product: for an application that wants history and
// nothing more, on one machine. There is no SQL, no index, no server, no replication.
// Writers take one lock in memory for each key, so that many cores write no faster
// than one. Conflicts are found, not queued for. A transaction keeps the names of the
// keys that it has written in memory. Values are written twice, as in any log
// structured store, and a load of entries once more.
//
// # Transactions
//
// Isolation is that of snapshots. A transaction reads what was committed when it began,
// and its own writes. Nobody overwrites what he has not seen: a key that somebody else
// has written since the transaction began, or has locked, ends it with a [*RetryError].
// So no update is lost. Two transactions may each read what the other one writes, and
// write elsewhere, and both commit (write skew): who must not have that writes to what
// he has read.
//
// What a transaction writes stands at its place at once, provisionally, at one
// timestamp, beside a lock and a record of the transaction. That record decides: when
// it says committed, and is durable, all versions are final; else none is. See
// [Tx.Commit]. A lock is in the way of those who want to write to the key, and of those
// who read at or above its timestamp, for they cannot know yet what they see there.
// One below it reads what was there before and waits for nobody.
//
// Who is in the way of a higher [Priority] is pushed: aborted, and told by a RetryError
// at his next step. Locks outlive their process. Its transactions are dead then, and
// anybody who comes across one pushes it; an export does only if it is told to
// (export.PushLocks), and else reports it as an [*export.LockedError].
//
// # Time
//
// Timestamps are those of a hybrid logical clock: wall time, and a counter where that
// stands still. It never goes back, and a bound ahead of it is durable before it is
// reached, so that it does not go back over a restart either, on a machine whose clock
// was set back. After a crash it may start up to a second ahead of the wall.
//
// Nothing is ever written at or below a timestamp that was read at. What begins to
// write takes a timestamp after all that were given out. A transaction that has one
// already moves to a new one when it writes to a key that was read above it meanwhile:
// the store remembers reads as long as somebody writes. A snapshot counts as a read of
// everything. Where the process dies, its writers do, and the next one's clock begins
// above all that was read.
//
// # History
//
// Every version stays readable until Collect moves Info.Oldest beyond it. That is held
// back by open transactions and snapshots, and by named snapshots over restarts, each
// for Options.SnapshotMaxAge at most. A read before Info.Oldest is an
// [*export.BeforeGCError].
//
// # Keys
//
// A version is a Pebble key in the format of the public package cockroachkvs: the
// user's key as it is, without any prefix, a zero byte, and the timestamp. An empty
// value is a deletion, any other begins with a one. That is exactly how varve stores
// layers with revisions, so that tables can be linked as they are. Comparer, key schema
// and block properties are cockroachkvs's, too: changes since a moment are read
// without the blocks, and the tables, that hold none. Tables are those of rows, since
// columnar blocks, which are taken as well, cannot hold the empty key.
//
// Keys that begin with a byte of 0xff are reserved in a store that has a catalog, see
// below. Put and Delete refuse those of its rows.
//
// The store's own records, which are locks, transactions, named snapshots and one of
// itself, are in the same database, for they must change in one batch with versions.
// No prefix could keep them apart, for users' keys may be any bytes. They have suffixes
// of 17 bytes, which cockroachkvs knows as those of a lock table and no timestamp has.
// So they are never taken for versions, wherever they lie, and have no part in what
// goes by time. And no restore of a span can lose them: it writes versions, and never
// excises a span. Pebble's range deletions are not used either, for an iterator that
// goes by time would not see them.
//
// # Catalog
//
// Databases and tables are created, renamed, truncated and dropped in transactions, like
// [Tx.CreateObject] does, and are there as of every moment. An object has an ID and as
// many spans as it wants, each with a prefix of its own: [KeyPrefix] is what a row's key
// begins with. To truncate an object gives it other prefixes, and to drop one takes only
// its name away, so that both take no time. What they leave can be read as of before, and
// Collect deletes it, as any writer would, so that backups learn of that.
//
// The catalog is stored in rows, of which Info.Reserved is the span, so that two who
// change the same object conflict, and a backup of the whole store has them as data.
// An object that is dropped and created again is another one, with another ID: no ID and
// no prefix is given twice, also not over crashes and rollbacks. A store that objects are
// restored to lets them keep theirs where nobody had them, see [Store.Place].
//
// Definitions are the application's. It should name other objects there as people do, for
// IDs and spans may be others after a restore. Who writes rows to a table that somebody
// truncates or drops in the same moment writes in vain: nothing that he reads of the table
// in his transaction conflicts with that, but what he writes to it, such as by
// [Tx.ChangeObject], does.
//
// # Loading
//
// What is loaded becomes a version like others, at the timestamp of Commit, over what
// is there. The next incremental backup finds it by its time. Into an empty store that
// gets a new lineage whole tables are linked, with their timestamps; history begins at
// Commit then, too. See [Store.Ingest]. Objects that are published with a load appear in
// the same step. Range keys, which some engines have, are not kept and refused.
package mvcckv
