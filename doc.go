// Package varve takes consistent snapshot backups of a key-value store into object
// storage, and gets them back. It is for Go programs that have such a store open
// and want backups from inside the process, without a server and without stopping
// writers.
//
// For most uses call [Backup] and [Restore]. Both take targets (what, and in which
// store) and the URL of a collection:
//
//	store, err := pebblekv.New(db, dir, nil)
//	layer, err := varve.Backup(ctx, varve.Cluster(store), "s3://bucket/orders", nil)
//	restored, err := varve.Restore(ctx, varve.Cluster(pebblekv.Dir(newDir, nil)), "s3://bucket/orders", nil)
//
// A directory is file:///path; for the schemes s3, gs, azblob and azure the program imports
// github.com/varvekv/varve/clouds, a module of its own, or a driver such as
// gocloud.dev/blob/s3blob. To list, choose or verify backups, or to use a bucket
// that is already open, get a [Collection] from [OpenCollection] or [NewCollection].
//
// Stores come from adapters: package pebblekv is any Pebble database, package mvcckv a
// keyspace on Pebble that keeps its history, and package export says what to write for
// another engine.
//
// # Words
//
// A varve is a layer of sediment that one year lays on a lake bed. Each word below
// has one meaning, here and in all packages.
//
//   - store: a key-value database, seen through an adapter of package export
//   - target: what of a store is backed up or restored, see [Targets]
//   - object: what a store calls a part of its data: a database, a table, a view
//   - catalog: all objects of a moment
//   - span: an interval of keys [Start, End)
//   - timestamp: a position in one store's history; it orders, a clock does not
//   - revision: one stored value of a key, in a store that keeps several
//   - snapshot: a consistent view of a store at one timestamp
//   - layer: one backup, that is files and one manifest
//   - full, incremental: a layer that holds all of its spans, or what changed in them
//     after its parent
//   - parent: the layer that an incremental extends
//   - introduced: of a span, that the parent does not have it, so that the layer holds
//     it from the beginning
//   - chain: a full and what follows it without a gap
//   - base: the snapshot of a layer's end that a store keeps, to tell what changed since
//   - window: the moments that a layer can restore
//   - lock: a write that is not committed
//   - retired: of a layer, that it is on its way out, and no restore point any more
//   - expire: to retire layers, and to delete those that nothing needs
//   - hold: a reference by people, for whose sake a layer stays
//   - collection: all chains under one URL
//   - manifest: the record whose presence commits a layer
//   - file: one table object of a layer
//   - export, ingest: to read out of a store, to load into one
//   - lineage: the identity of a store's history; a restored store begins another
//
// # The one idea
//
// A collection is an LSM tree that lies in a bucket. A full backup is its bottom
// level: sorted, immutable tables. An incremental is a thinner level on top, with
// deletions as tombstones. So to back up is to write a level, to restore is to
// ingest levels from the bottom up or to merge them, and to verify is to read
// tables.
//
// A store that consists of sorted tables, as Pebble does, has a bottom level of its own.
// Of a full, the tables there that hold nothing but keys which are set once are copied
// as they are, each after every record of it was read; and what the store has over just
// these tables is found as the changes of an incremental are, and written as a second
// tier over them. So a full costs little more than to copy the files. A table that holds
// more is encoded anew, as is one that the store has compressed in its blocks and that is
// to be stored compressed: in larger frames it is smaller.
//
// A [Schedule] takes backups when they are due; what was taken when, the collection says.
// [Collection.Compact] makes chains short again, from the bucket alone. A backup and a restore
// are jobs: [StartBackup] and [StartRestore] return one, which can be paused, canceled, and gone
// on with by another process, of the same moment.
//
// # Chains
//
// A backup with Into in its [BackupOptions] extends a layer: the newest one, or the
// one that is named. What it makes holds what changed after that parent, and a
// restore of it needs the layers below it as well. Into [Latest] with FullEvery is
// the nightly job in one call: a full where there is none or the last one is old,
// else an incremental. Two runs that extend one layer make two layers, each of which
// can be restored.
//
// Targets may change along a chain. Spans that the parent does not have are
// introduced: they are exported from the beginning, and nothing older counts in
// them. Spans that are not named any more end, and a restore of the layer does not
// bring them back.
//
// How changes were found stands in [Stats], as [ChangeSource]. Each way is exact:
//
//   - [Revisions]: the store keeps what was written, and when.
//   - [Checkpoints]: the store has kept the base of the parent and is compared with
//     it. Of a Pebble database only tables are read that one of the two lacks: what
//     was flushed and compacted in between. Where nothing was, nothing is read, and
//     the layer has no file.
//   - [FromChain]: there is no base. The store is read and digested in rows of about
//     16 MiB. A row that has the digest it had in the parent is as it was. Any other
//     is read once more, beside what the layers in the bucket have of it.
//
// A backup leaves one snapshot in the store, the base of the layer that it has made,
// and releases that of the parent, or of any older layer of the same targets. A base
// pins what the store would else have cleared away: of a Pebble database the tables
// that compactions have replaced since, in the worst case as much as the database
// had when it was taken. [export.SnapshotKeeper] lists bases with what they pin, and
// releases them: that is right at any time, for the next incremental then compares
// with the chain. NoBase keeps none, and BaseLimit releases those that pin too much
// when a run ends.
//
// # History
//
// A store that keeps revisions can be backed up as of a moment of its past, by AsOf or
// Lag. With RevisionHistory a layer holds every revision and deletion since the end of its
// parent, and a full all that the store still has; then any moment in between can be
// restored, and [Chain.Points] has windows. Layers with and without history may follow one
// another. Of a store like that a base is no copy: it keeps the store from forgetting what
// came after it. Where that is gone, the store is compared with the chain, and the layer has
// no window but its end. docs/history.md says more.
//
// Writes that are not committed are neither skipped nor waited for without end: what is
// behind one is exported later, and [LockOptions] say when its holder must give way.
//
// # Databases and tables
//
// A store with a catalog, see [export.Cataloger], has names for its data. [Databases] and
// [Tables] are found by them: at the moment that is backed up in the store, and at the one
// that is restored in the layer. Objects travel in the layer, and appear with their data, in
// one step, also under other names and other keys. What is created, dropped, truncated or
// renamed between layers is in each of them what it was at its end. docs/catalog.md says
// more.
//
// # Retention
//
// [Collection.PlanExpire] says what a [Policy] makes of a collection, and why each restore
// point is kept or dropped; [Collection.Expire] carries the plan out after making it again. What is dropped is
// retired at once, and deleted a day later, by the bucket's clock, if nothing needs it: no
// committed layer, no backup that extends it, nobody who reads it, no [Hold]. A backup
// that sleeps for longer than anything is waited for finds, when it wakes up, that it has
// lost, or else its parent is there. No clock is trusted alone: what goes because it is old
// is old by the bucket's and by that of the process that expires it. The newest restore point
// that was verified stays unless it is forced. Sealed layers are expired without a key.
// docs/retention.md says more.
//
// # Reading in place
//
// A [Reader] looks into a backup without restoring it, as of any moment that it could be
// restored at: for a key, a span, the past of a key, or what changed since another backup.
// docs/reading.md says what that costs.
//
// # The guarantee
//
// When Backup has returned a layer, it is durable, and a restore of it puts into the
// target exactly what the store held in the layer's spans at its End, or fails and
// says why; a restore of a moment in its window, what the store held there then. Every
// stored byte is checked against its hash whenever it is read. A
// restore shows nothing before all of it is there. One that fails or is cancelled
// leaves nothing behind; one that is killed, at most a staging area.
//
// That is so of an incremental as of a full. Its digest is one of the whole state, too:
// the parent's, updated by what each change replaced, or taken by reading the store. That
// of a full which copies tables is taken of these, and updated likewise.
// With Audit the snapshot is scanned once more, and must have that digest, before the
// layer is committed. [Collection.Verify] reads the chain, which must have it, too.
//
// A backup that fails leaves no layer, with one exception: if storage takes the
// manifest and can then not be asked about it, the layer may exist although the call
// failed, as whole as any other. Calling again is always safe.
//
// Not promised:
//
//   - One moment across several stores. A layer is of one store.
//   - Protection from whoever may write to the bucket. Hashes and digests find
//     damage; somebody who rewrites objects can make new ones that agree.
//   - Cleaning up by itself. Objects of a run that failed stay, named by nothing, until
//     [Collection.Expire] is called a day later.
//   - A layer without those below it. Damage to one concerns all that are built on it,
//     and a new full nothing of what was before.
//   - To tell a database from its copy. Where a directory was copied, both have one
//     lineage; docs/moving.md says what to do.
//   - A restore into spans that somebody else writes to meanwhile.
//
// # How a layer comes to be
//
// Objects are written once, in this order, and each only when those before it are
// durable:
//
//	a run does   and writes                 a crash after it leaves
//	─────────────────────────────────────────────────────────────────────────────
//	extend       refs/<parent>/<layer>      a reference that nobody needs
//	found        varve.json                 a collection without layers
//	snapshot     (in the store)             a snapshot; a run that begins a day
//	                                        later or more releases it
//	claim        <path>/progress/0          a path that later runs avoid
//	confirm      (reads)                    likewise
//	export       <path>/data/<layer>-….sst  tables that nothing names
//	list         <path>/files.sst           likewise; of a sealed layer objects.sst, too
//	index        index/…/<path>             an entry that readers skip
//	manifest     <path>/BACKUP_MANIFEST     ══ the layer ══ and its parent's base,
//	                                        which a later run releases
//	settle       (in the store)
//
// An incremental begins with the first, a full with the second of these. To settle
// is to keep the snapshot, as the base of the layer, and to release the parent's; a
// run that fails releases its own, and the parent's stays.
//
// Readers go the other way: an entry of the index counts if the manifest that it
// points at is there; the manifest holds the hash of the list, the list those of the
// tables. FORMAT.md describes every object.
//
// # Invariants
//
// Comments and tests cite these by number.
//
//   - I1: A listed layer has every object that it names, with the named size and hash.
//   - I2: A restore as of t yields each live key of the layer's spans once, in its
//     newest revision at or before t, and nothing from before a span was introduced.
//   - I3: A run that is resumed gives the same entries, counts and digests as one
//     that was never interrupted.
//   - I4: To page an export at any key and revision, and to join the pages, gives the
//     unpaged export.
//   - I5: Of two writers, every committed layer can be restored; a fork shows in the
//     parents' IDs.
//   - I6: A store of another lineage cannot extend a chain, unless it is told to adopt
//     it, which the layer then says.
//   - I7: A reader refuses, clearly, what is too new for it.
//   - I8: To cut, rename or prefix keys does not alter logical content.
//   - I9: To compact layers leaves every point that it keeps as it was.
//   - I10: A run overwrites nothing, and deletes nothing that a committed layer or
//     another run could name. A job that is canceled deletes what it wrote itself. Only
//     Expire deletes what belongs to layers: what is retired and needed by none, what
//     needs before what is needed, the manifest before the data.
//   - I11: The failure of any single storage call, before or after it took effect,
//     leaves earlier layers intact and the next run able to go on.
//   - I12: No secret is in any object, log or error.
//   - I13: Full, full with incrementals, compacted, read in place and restored have
//     one digest.
//
// Of I4 the pages are the adapter's, and package kvtest checks them.
//
// # Errors
//
// Match them with errors.Is and errors.As. They tell what to do:
//
//   - fix the call: [OptionError], [TargetError]; [OrderError]: use a store of the
//     order that it wants
//   - choose another layer or moment: [ErrNoLayer], [NoRestorePointError], which names
//     the nearest, [BeforeGCError], which names the oldest
//   - take a full backup: [ErrNoFull], [ChainGapError], [LineageError]; or, after the
//     last, let a restored or copied store go on with the chain: BackupOptions.Adopt
//   - the data is damaged: [CorruptError]; restore another layer, and let
//     [Collection.Verify] list all that is wrong with this one. If only listings lack
//     layers that are there, [Collection.RebuildIndex] brings them back
//   - change the destination or its rights: [NotEmptyError], [AccessError]
//   - give a key, or another one: [ErrNoKey], [ErrWrongKey]
//   - use a newer varve: [FormatError]
//   - call again: [ErrConflict], [LockedError], [StallError]; of a job, go on with it or, after
//     [SnapshotGoneError], start another
//   - look at the job first: [JobStateError], [ErrNoJob]; [ErrPaused]: resume it
//   - sync the destination: [export.ErrCommitAgain], of a restore that is visible and
//     may not survive a crash
//
// Any other error is the store's, the bucket's or the context's, wrapped.
//
// # What is assumed of a bucket
//
//   - An object can be read and listed as soon as its write has returned.
//   - Of several conditional writes under one name exactly one wins. That is
//     If-None-Match on S3 and Azure, a generation of 0 on Google Cloud Storage, and
//     link(2) in a directory.
//   - A write that is cancelled leaves no object.
//   - Listings ascend by name.
//
// Overwriting and renaming are never asked for, and deleting only by [Collection.Expire]
// and [Collection.Release], and by readers of references that they have made, who can do
// without: a bucket may be under an object lock, and credentials without the right to
// delete. A bucket dates objects by one clock, which goes on. A directory must be
// on a file system that has hard links and keeps what was synced. Package pebblekv says
// what it assumes of the one that a database is on.
//
// # Compatibility
//
// A collection says which format it has. What a released version has written, every
// later version restores; what is too new for a version, it refuses with a
// [FormatError]. Exported names are kept, and options grow by fields whose zero value
// is what was before.
package varve
