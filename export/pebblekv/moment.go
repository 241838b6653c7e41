package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	walrecord "github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"
)

// A checkpoint is the tables of one moment, and the write-ahead log as it was
// copied a little later. Writes in between are in the log, and so the whole would be
// as of the log's end. But tables that were ingested in between, or spans that were
// excised, are in neither: the checkpoint would have later writes without them.
//
// Every operation takes sequence numbers, so that what the log lacks shows as a
// gap. A marker that is logged just before, and waited for, divides the numbers:
// all that came before it is in tables or in the log before it. If the checkpoint
// has nothing in tables that came later, then with its log cut off before the first
// gap it is the database at that number. That shows in the numbers of its tables;
// but a compaction zeroes them, and an excise may leave no table. So if there was
// an ingest or excise, it must have the tables of before.

// momentTries is how many checkpoints are taken before it is an error that each
// had a table younger than its marker. That takes an ingest or a flush within the
// instant between two calls.
const momentTries = 200

// errTorn says that a checkpoint cannot be made one of one moment.
var errTorn = errors.New("tables were ingested, excised or flushed meanwhile")

// createMoment takes checkpoints at path until one is as of one moment.
func (s *Store) createMoment(ctx context.Context, path string) error {
	var err error
	for range momentTries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err = s.tryMoment(ctx, path); !errors.Is(err, errTorn) {
			return err
		}
		if err := s.fs.RemoveAll(path); err != nil {
			return err
		}
	}
	return fmt.Errorf("%d times in a row: %w", momentTries, err)
}

func (s *Store) tryMoment(ctx context.Context, path string) error {
	unflushed, err := s.tally()
	if err != nil {
		return err
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	flushed, err := s.tally()
	if err != nil {
		return err
	}
	if s.pebble.DisableWAL {
		// What is not flushed yet is lost, and what was ingested after it is not.
		if flushed.ingests != unflushed.ingests {
			return errTorn
		}
		if err := guard(func() error { return s.db.Checkpoint(path) }); err != nil {
			return err
		}
		return s.checkTables(path, math.MaxUint64, flushed)
	}
	marker := []byte("varve snapshot " + randomHex(16))
	err = guard(func() error {
		if err := s.db.LogData(marker, pebble.Sync); err != nil {
			return err
		}
		return s.db.Checkpoint(path)
	})
	if err != nil {
		return err
	}
	tail := logTail{marker: marker}
	if err := tail.read(ctx, wal.Dir{FS: s.fs, Dirname: path}); err != nil {
		return err
	}
	if err := tail.cut(); err != nil {
		return fmt.Errorf("cut log: %w", err)
	}
	return s.checkTables(path, tail.begin, flushed)
}

// tally is by what it shows that something was ingested or excised.
type tally struct {
	ingests uint64 // Pebble counts these, excises too, before anybody can see them
	tables  map[uint64]bool
}

func (s *Store) tally() (t tally, err error) {
	err = guard(func() (err error) {
		t.ingests = s.db.Metrics().Ingest.Count
		t.tables, err = tableNumbers(s.db)
		return err
	})
	return t, err
}

func tableNumbers(db *pebble.DB) (map[uint64]bool, error) {
	levels, err := db.SSTables()
	numbers := map[uint64]bool{}
	for _, level := range levels {
		for _, t := range level {
			numbers[uint64(t.FileNum)] = true
		}
	}
	return numbers, err
}

// checkTables finds tables of the checkpoint that are younger than the marker, and
// refuses others than there were before it if any of them may be.
func (s *Store) checkTables(path string, marker pebble.SeqNum, before tally) (err error) {
	db, err := pebble.Open(path, s.readOptions())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	levels, err := db.SSTables()
	if err != nil {
		return err
	}
	for _, level := range levels {
		if slices.ContainsFunc(level, func(t pebble.SSTableInfo) bool { return t.LargestSeqNum >= marker }) {
			return errTorn
		}
	}
	return s.checkIngests(db, before)
}

func (s *Store) checkIngests(checkpoint *pebble.DB, before tally) error {
	now, err := s.tally()
	if err != nil || now.ingests == before.ingests {
		return err
	}
	tables, err := tableNumbers(checkpoint)
	if err == nil && !maps.Equal(tables, before.tables) {
		err = errTorn
	}
	return err
}

// segment is a file of a log.
type segment struct {
	fs   vfs.FS
	path string
	num  wal.NumWAL
	last bool // of the last log
}

// logTail is what the copied logs hold from the marker on.
type logTail struct {
	marker []byte

	found bool
	begin pebble.SeqNum // the marker's number
	next  pebble.SeqNum // that the next record must have
	head  []byte

	end    int64     // offset of the first gap in beyond[0]
	beyond []segment // the one with the gap and those after it; none: there is no gap
}

// read goes through all logs in dir, up to a gap.
func (t *logTail) read(ctx context.Context, dir wal.Dir) error {
	logs, err := wal.Scan(dir)
	if err != nil {
		return fmt.Errorf("list logs: %w", err)
	}
	var segments []segment
	for i, l := range logs {
		for n := range l.NumSegments() {
			fs, path := l.SegmentLocation(n)
			segments = append(segments, segment{fs: fs, path: path, num: l.Num, last: i == len(logs)-1})
		}
	}
	for i, s := range segments {
		gap, err := t.readSegment(ctx, s)
		if errors.Is(err, errGap) {
			t.end, t.beyond = gap, segments[i:]
			break
		}
		if err != nil {
			return err
		}
	}
	if !t.found { // flushed since: it would have to be looked for in tables
		return errTorn
	}
	return nil
}

// readSegment reads the records themselves: Pebble's own reader of logs leaves out
// those that carry no operation, of which the marker is one. It returns errGap and
// the offset where a gap begins.
func (t *logTail) readSegment(ctx context.Context, s segment) (gap int64, err error) {
	f, err := s.fs.Open(s.path, vfs.SequentialReadsOption)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := newLogReader(walrecord.NewReader, f, s.num)
	for n := 1; ; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		offset := r.Offset()
		rec, err := r.Next()
		if err == nil {
			err = t.readHead(rec)
		}
		switch {
		case err == nil:
		case errors.Is(err, errGap):
			return offset, errGap
		case errors.Is(err, io.EOF), s.last && walrecord.IsInvalidRecord(err):
			// The last log may end anywhere; Pebble, too, reads it up to the first record
			// that is not whole.
			return 0, nil
		case walrecord.IsInvalidRecord(err):
			return 0, errTorn
		default:
			return 0, err
		}
	}
}

// newLogReader calls Pebble's constructor, whose type of log numbers has no name
// outside of Pebble.
func newLogReader[N ~uint64, R any](construct func(io.Reader, N) R, f io.Reader, num wal.NumWAL) R {
	return construct(f, N(num))
}

// headBytes of a record hold its header, the kind of its first operation, and all
// of a marker.
const headBytes = 64

var errGap = errors.New("the log lacks an operation here")

func (t *logTail) readHead(rec io.Reader) error {
	if t.head == nil {
		t.head = make([]byte, headBytes)
	}
	n, err := io.ReadFull(rec, t.head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	repr := t.head[:n]
	h, ok := batchrepr.ReadHeader(repr)
	if !ok {
		return errTorn
	}
	if !t.found {
		ops := batchrepr.Read(repr)
		kind, key, _, _, err := ops.Next()
		if err == nil && kind == pebble.InternalKeyKindLogData && string(key) == string(t.marker) {
			t.found, t.begin, t.next = true, h.SeqNum, h.SeqNum
		}
		return nil
	}
	switch {
	case h.SeqNum < t.next: // a log that failed over holds it twice
		return nil
	case h.SeqNum > t.next, n > batchrepr.HeaderLen && isIngest(repr[batchrepr.HeaderLen]):
		return errGap
	}
	t.next += pebble.SeqNum(h.Count)
	return nil
}

// isIngest reports whether the first operation of a record is one of an ingest,
// which refers to files that the checkpoint may not have.
func isIngest(kind byte) bool {
	k := pebble.InternalKeyKind(kind)
	return k == pebble.InternalKeyKindIngestSST || k == pebble.InternalKeyKindExcise
}

// cut ends the log before the first gap, durably but for the directory's entry,
// which the sidecar's write will sync. The checkpoint has no sidecar yet, so that a
// crash leaves nothing that could be mistaken for a snapshot.
func (t *logTail) cut() error {
	if len(t.beyond) == 0 {
		return nil
	}
	first := t.beyond[0]
	for _, s := range t.beyond[1:] {
		if err := s.fs.Remove(s.path); err != nil {
			return err
		}
	}
	short := first.path + ".short"
	if err := copyHead(first.fs, first.path, short, t.end); err != nil {
		return err
	}
	return first.fs.Rename(short, first.path)
}

// copyHead copies the first n bytes of a file to another, synced.
func copyHead(fs vfs.FS, from, to string, n int64) (err error) {
	src, err := fs.Open(from, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := fs.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if _, err := io.CopyN(dst, src, n); err != nil {
		return err
	}
	return dst.Sync()
}
