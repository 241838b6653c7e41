// Bench measures varve and its peers on the same data, in turn, in one run.
//
//	go run . -size 1GB
//
// # What is measured
//
// A data set is rows of one kind, put into a database of every engine. Keys are 16
// hex digits of a hash; text values are 100 bytes of words and noise, random ones
// 1 KiB that no codec makes smaller. A settled set was written in random order, with
// compactions in the background left to end; a compacted one was compacted to the
// bottom.
//
// Each tool then takes a full backup, gets it back, and takes backups after nothing
// has changed, after one row in a hundred got a new value, scattered over all keys,
// after one in a hundred did that are neighbours, and once more after scattered ones,
// when the engine has compacted what it likes; at the end what the tool has by then is
// restored. Of each there are wall and CPU time, the bytes that the backup has
// grown by, the memory needed, and, of varve, requests to storage.
//
// # Why it is fair
//
//   - Same data: rows are a function of their number, the same in all engines. No
//     database compresses its blocks, so that whoever compresses does it himself.
//   - Same state: every tool gets a copy of its own of the database, linked where files
//     never change. What was changed is flushed before, and nothing is compacted while
//     the clock runs. Badger and bbolt, which are loaded in order, have one layout.
//   - Same cache: all that an operation will read is read once before it, and what others
//     wrote is on disk.
//   - Same promise: at the end of each operation everything is synced. What a tool
//     leaves unsynced, the bench syncs within the time measured, and says so.
//   - Same scope: what works on files of a checkpoint has the taking of it on its bill.
//     Programs pay for their start, as they do wherever they are used.
//   - In turn: tools follow one another within a round, and the median of several rounds
//     counts, so that what disturbs the machine disturbs all.
//   - Right first: in the first round what was restored is read, and is an error if it is
//     not the data set.
//
// Every operation has a process of its own, which opens the database and warms the
// cache before the clock starts. Memory is how far that process's resident set rises
// above what it was when the clock starts, mapped files included, and of a program all that it has.
//
// A peer that is not installed is listed as missing, and what a tool cannot do as "none".
// It runs on Linux, whose /proc it reads.
package main
