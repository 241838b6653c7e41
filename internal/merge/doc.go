// Package merge reads levels of entries as one: the engine behind restoring,
// verifying, comparing and compacting layers. A level is a run of tables that do
// not overlap; a higher level lies over a lower one, as in any LSM tree.
//
// Who wins is decided by age, which is the timestamp and, among equal
// timestamps, the level. The youngest revision of a key at or before AsOf is the
// one that counts. A range deletion hides the points that are older than itself,
// and a range key those of its suffix. Entries of equal age do not undo one
// another: a point survives a range deletion that stands beside it.
//
// Points are streamed. Ranges are read in advance and held in memory, as whoever
// wrote them did: a caller merges pieces whose tables he is willing to open.
package merge
