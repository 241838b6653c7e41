// Package sink turns a stream of entries into table objects in a bucket, and such
// objects back into streams.
//
// A [Writer] takes the entries of one span in order. It encodes them into Pebble
// row tables (format v3, uncompressed inside), wraps each table in the frames of
// internal/frame, and uploads it while it is being written; memory is a few
// frames for each writer, whatever the size of the span. As it goes it digests
// the state in rows of about 16 MiB. Rows, and so tables, end only where a prefix
// of the store's order ends: no key's revisions are ever torn apart, and every
// row lies in one table.
//
// A [Reader] is the other half: it trusts a [File], which says how long the
// object is and what the hash of its frame index must be, and believes no byte of
// the object that it has not checked against that.
//
// # Forms
//
// A table of a store without revisions holds the engine's own keys in the
// engine's own order. A table with revisions has one physical form, whatever the
// engine: the key format and order of Pebble's public cockroachkvs package, so
// that any versioned store on Pebble can link it.
//
//	set              key@timestamp → 0x01 ‖ value
//	delete           key@timestamp → (empty)
//	range kinds      range key [start, end), suffix @timestamp,
//	                 value kind ‖ uvarint(len(suffix)) ‖ suffix ‖ value
//
// Equal entries and equal options give equal plain tables for the same build.
package sink
