// Package export says what a key-value store must be so that varve can back it
// up and restore it. It imports the standard library only and contains no
// planning, no queue and no storage: an adapter author finds here exactly what
// has to be written, and nothing that varve does with it.
//
// # The contract in one page
//
// An adapter is a [Store]. Three methods are required: Info describes the store,
// Snapshot freezes a consistent view of it, Ingest loads data into it. A
// [Snapshot] hands out [Cursor] values, which are ordered streams of [Entry]
// values; an [Ingester] takes such streams back through [Loader] values. All
// else is optional, looked up by type assertion, and documented with what is
// lost without it: [SnapshotKeeper], [Differ], [Cataloger], [TableLoader].
//
// Package kvtest runs these obligations against an adapter:
//
//   - E1 (consistency). Everything that one Snapshot exports is the state of the
//     store at one moment, Snapshot.Timestamp, whatever is written, compacted,
//     ingested or excised meanwhile. Writers are not blocked.
//   - E2 (completeness). The union of the exports of the spans that Partition
//     returns equals the export of the span that was partitioned. Partitions
//     do not overlap and leave no gap.
//   - E3 (order). A cursor yields entries in ascending key order of Info.Order.
//     At one key, entries that span a range come before entries of the key
//     itself, and these go from the newest revision to the oldest.
//   - E4 (paging). Exporting with Request.Resume set to the position of the last
//     entry of a key, or of any revision of a point, yields exactly the entries
//     that followed it. A page must not end between ranges of one key, nor between
//     a range and the points at its start: a [Position] cannot tell these apart.
//   - E5 (clipping). No entry reaches outside Request.Span; a range that
//     crosses its edge is cut there.
//   - E6 (resolution). An export of the state (Request.Since zero, and not
//     Request.Revisions) holds what a reader of the store would see, each live key
//     once and each range key: merges resolved, deletions applied and absent.
//   - E7 (bytes). The bytes of an Entry belong to the cursor and stay as they
//     are until its next call; a Loader keeps no reference to what it was given.
//   - E8 (all or nothing). What an Ingester loads is invisible before Commit
//     returns nil, and what Abort ends leaves nothing behind.
//   - E9 (names). A named snapshot is durable when Snapshot returns, survives
//     the process, and is reopened by its name as it was, or not at all.
//   - E10 (lineage). Info.Lineage is kept with the data: the same after a
//     restart, another one after a restore that names another.
//   - E11 (cancellation). A cancelled context ends every call soon, with an
//     error that wraps the context's, and leaves the store as it was.
//
// # Changes
//
// An incremental backup asks a snapshot for what changed after the end of the layer
// that it extends, with Request.Since. A store that keeps revisions finds that in
// itself, save for what it has forgotten, and for spans that were loaded with older
// revisions than that. Another one may keep the named snapshot of that layer, its base, and
// compare: SnapshotOptions.Base names it, and Since must be its timestamp. No other
// snapshot will do: a value that went from a to b and back to a has changed for who
// has seen b.
//
// Changes must not lack any. They may hold sets and deletes that change nothing,
// unless they are those of a [Differ], which yields real changes with what each has
// replaced, so that a digest can be updated and need not be taken anew. [Compare] is
// such a cursor over the changes between two states, for adapters that know no shorter
// way, and [After] resumes one.
//
// An adapter that knows nothing of changes returns [ErrNoBase], and is complete: its
// store is then compared with what is in the bucket, which costs a scan of it.
//
// # Catalogs
//
// A store may know what its keys are called: databases, tables and whatever else has a
// name. A snapshot then lists its objects ([Cataloger]), and of a store with revisions what
// they were in between ([CatalogHistorian]). A restore asks the store for room ([Placer])
// and hands it the objects when their data is loaded ([CatalogIngester]), so that both
// appear at once. What an object is called, or means, is nothing that an adapter has to
// look at; that its keys are its own alone, and its ID is never that of another, is.
// Where the catalog lies in the store's keys these are Info.Reserved.
//
// # Keys, prefixes and cuts
//
// Keys are the engine's own bytes without a revision; a store with several
// revisions a key reports the revision as a [Timestamp]. Where the order of the
// store splits a key into a prefix and a suffix (Order.Split), spans,
// partitions and table files are cut only at bare prefixes, so that what
// belongs to one prefix stays together. [Order.CutPoint] tells.
//
// # Errors
//
// Methods return plain wrapped errors, with these exceptions that callers act
// on: [ErrNoBase], [ErrClosed], [ErrCommitAgain], [*BeforeGCError], [*LockedError],
// [*NotEmptyError], [errors.ErrUnsupported] for an ability the adapter does not have,
// and the context's error.
package export
