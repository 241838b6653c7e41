// Package objectio does all work on stored objects: put, create, get, open, size,
// list and delete, over any bucket that gocloud opens. What is written here is written
// once and never changed, which makes the rest simple:
//
//   - Every write is create-only. An error does not tell whether a write took effect,
//     so what is stored is looked at; only where that fails, too, it stays open.
//   - A small object is held until it is complete, and sent as often as it takes. A large
//     one is streamed: its driver repeats what fails of it, and nobody else.
//   - A streamed object that fails half way leaves nothing behind, with every driver.
//   - A read that breaks goes on where it broke, and only in an object of the same size.
//   - A request that stands still is given up: drivers set no deadline. One that sends an
//     object has longer by what the object has bytes.
//   - Errors read `op "key": cause`. No query and no password of a URL is in them.
//
// # Assumptions about storage
//
// An object is visible, to reads and to listings, as soon as its write returned; a
// conditional write lets exactly one writer win; a cancelled upload leaves no
// object; listings ascend by key.
package objectio
