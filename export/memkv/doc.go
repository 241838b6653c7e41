// Package memkv is an in-memory store with several revisions a key: the
// reference implementation of the contract in package export, and at once the
// model and the fake of tests. [Store] is the store; it has writes and reads of
// its own beside the contract.
//
// # Two modes
//
// A store keeps revisions: every write has a timestamp, snapshots reach into the
// past, changes since a moment are exact, and [Store.Collect] forgets. With
// Options.SingleRevision it keeps only what is there now: entries have no
// timestamps, and changes are known after a snapshot that it keeps, with which it
// compares.
//
// # How a version is kept
//
// What the database says at one moment is a version: a tree of keys, a list of
// range key writes, a list of locks. A version that a snapshot has taken is never
// changed again; the next write copies what it touches. So a snapshot costs
// nothing to take, cursors need no lock, and a commit that fails puts the former
// version back.
//
// # Catalog
//
// [Store.PutObjects] and [Store.DropObjects] change a catalog, whose versions are kept like
// those of keys. It is no part of the keys. Objects that are restored keep their ID and
// spans, if nobody had these; else they get new ones. With Options.Objects the catalog
// stands still.
//
// # Restarts
//
// [Store.Reopen] is the restart of the process. The database stays, and with it
// named snapshots and what loaders with a named staging area have finished.
// Everything else ends: unnamed snapshots, cursors, ingesters, unnamed staging.
//
// # Judging its callers
//
// Cursors overwrite the bytes of an entry as soon as they may, so a caller who
// keeps them reads garbage. Spans that tear a prefix apart, entries out of order
// or outside of their span, and names that are not lower-case hex are refused.
package memkv
