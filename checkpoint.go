package varve

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/internal/seal"
	"github.com/varvekv/varve/sink"
)

// A backup writes down now and then what of it is stored: objects whose upload has ended,
// and of which storage has said how long they are. Whoever goes on with it trusts these
// records alone; whatever else lies at its path is named by nothing. A record that cannot
// be written, or read, costs to store that part again, and nothing else.

const (
	// checkpointInterval is how often that is.
	checkpointInterval = time.Minute
	// alwaysBelow is the interval from which on every file is worth a record.
	alwaysBelow = time.Second
	// maxPending is how many portions may wait for the next record.
	maxPending = 4096
	// silence is how many intervals a backup may go without a record, so that others see
	// that it lives.
	silence = 5
)

// portion is a part of what a layer must hold, all of which is stored.
type portion struct {
	span   Span
	by     method
	files  []sink.File
	rows   []digest.Row
	counts map[uint64]ObjectCounts
	sums   map[int]digest.Digest // what changes have added to segments
}

// checkpointRecord is what of a record of progress is not sealed.
type checkpointRecord struct {
	Layer string          `json:"layer"`
	Job   string          `json:"job"`
	Epoch int             `json:"epoch"`
	At    time.Time       `json:"at"`
	Part  *checkpointPart `json:"part,omitempty"` // nil: it is sealed
}

// checkpointPart is what is stored since the record before.
type checkpointPart struct {
	Plan     string          `json:"plan"` // hash of what the portions are portions of
	Course   course          `json:"course,omitempty"`
	Portions []portionRecord `json:"portions,omitempty"`
	Tables   []sink.File     `json:"tables,omitempty"` // that were copied for portions to come
	Requests int64           `json:"requests,string"`
	Retries  int64           `json:"retries,string"`
}

// portionRecord is a portion as it is stored.
type portionRecord struct {
	Span   Span                    `json:"span"`
	By     string                  `json:"by"`
	Files  []sink.File             `json:"files,omitempty"`
	Rows   []listedRow             `json:"rows,omitempty"`
	Counts map[uint64]ObjectCounts `json:"counts,omitempty"`
	Sums   map[int]listedRow       `json:"sums,omitempty"`
}

var methodNames = map[method]string{wholeState: "state", introduced: "introduced", toldChange: "changes", comparison: "comparison"}

func listRow(start []byte, d digest.Digest) listedRow {
	return listedRow{Start: start, State: d.State, Revisions: d.Revisions, Keys: d.Keys, Bytes: d.Bytes}
}

func (l listedRow) digest() digest.Digest {
	return digest.Digest{State: l.State, Revisions: l.Revisions, Keys: l.Keys, Bytes: l.Bytes}
}

func (p *portion) record() portionRecord {
	out := portionRecord{Span: p.span, By: methodNames[p.by], Files: p.files, Counts: p.counts}
	for _, row := range p.rows {
		out.Rows = append(out.Rows, listRow(row.Start, row.Digest))
	}
	for i, d := range p.sums {
		if out.Sums == nil {
			out.Sums = map[int]listedRow{}
		}
		out.Sums[i] = listRow(nil, d)
	}
	return out
}

func (p portionRecord) portion() (portion, error) {
	out := portion{span: p.Span, by: -1, files: p.Files, counts: p.Counts}
	for by, name := range methodNames {
		if name == p.By {
			out.by = by
		}
	}
	if out.by < 0 {
		return out, fmt.Errorf("a portion by %q", p.By)
	}
	for _, row := range p.Rows {
		out.rows = append(out.rows, digest.Row{Start: row.Start, Digest: row.digest()})
	}
	for i, row := range p.Sums {
		if out.sums == nil {
			out.sums = map[int]digest.Digest{}
		}
		out.sums[i] = row.digest()
	}
	return out, nil
}

// saver writes those records. It is safe for concurrent use.
type saver struct {
	r    *run
	lost func(error)         // ends the run, which another has taken over
	turn *semaphore.Weighted // records are written one after the other
	due  atomic.Bool

	mu      sync.Mutex
	begun   bool
	pending pending
	next    int // number of the next record
}

// pending is what waits for the next record.
type pending struct {
	plan     string
	course   course
	portions []portion
	tables   []sink.File
}

func (p *pending) empty() bool { return len(p.portions) == 0 && len(p.tables) == 0 }

func newSaver(r *run) *saver {
	s := &saver{r: r, turn: semaphore.NewWeighted(1), next: 1}
	s.due.Store(s.always())
	return s
}

func (s *saver) always() bool { return s.r.opts.CheckpointEvery < alwaysBelow }

// begin says what the portions to come are portions of. Another plan than before is written
// down at once, for what an earlier one has brought does not count any more.
func (s *saver) begin(ctx context.Context, plan string, by course) {
	s.mu.Lock()
	again := s.begun && s.pending.plan != plan
	if s.pending.plan != plan {
		s.pending = pending{plan: plan, course: by}
	}
	s.begun = true
	s.mu.Unlock()
	if again {
		s.save(ctx, true)
	}
}

// keep takes a portion, and writes all that there are if it is time. The portion is stored:
// what goes wrong here is only worth a warning.
func (s *saver) keep(ctx context.Context, p portion) {
	s.mu.Lock()
	s.pending.portions = append(s.pending.portions, p)
	full := len(s.pending.portions) >= maxPending
	s.mu.Unlock()
	if full || s.due.Load() {
		s.save(ctx, false)
	}
}

// copied takes a table that is stored before the rest of its portion is.
func (s *saver) copied(ctx context.Context, f sink.File) {
	s.mu.Lock()
	s.pending.tables = append(s.pending.tables, f)
	s.mu.Unlock()
	if s.due.Load() {
		s.save(ctx, false)
	}
}

// take is what there is to write, and under which number.
func (s *saver) take() (pending, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pending
	s.pending = pending{plan: p.plan, course: p.course}
	return p, s.next
}

// back takes what could not be written for the next record.
func (s *saver) back(p pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending.plan == p.plan {
		s.pending.portions = append(p.portions, s.pending.portions...)
		s.pending.tables = append(p.tables, s.pending.tables...)
	}
}

// save writes a record, if there is anything to say or it must be said that the run lives.
// It reports whether there is one.
func (s *saver) save(ctx context.Context, always bool) bool {
	if s.turn.Acquire(ctx, 1) != nil {
		return false
	}
	defer s.turn.Release(1)
	p, n := s.take()
	if p.empty() && !always {
		return false
	}
	s.due.Store(s.always())
	err := s.write(ctx, p, n)
	if err == nil {
		return true
	}
	s.back(p)
	switch {
	case errors.Is(err, errLost):
		s.lost(err)
	case ctx.Err() == nil:
		s.r.c.opts.Logger.WarnContext(ctx, "progress is not written down", "collection", s.r.c.name, "job", s.r.job, "error", err)
	}
	return false
}

// maxRivals is how many records of one who does not know yet that he has lost the job are
// passed over.
const maxRivals = 64

// write stores a record under the next number that is free.
func (s *saver) write(ctx context.Context, p pending, n int) error {
	part := &checkpointPart{
		Plan: p.plan, Course: p.course, Tables: p.tables,
		Requests: s.r.earlier.Requests + s.r.meter.Requests(), Retries: s.r.earlier.Retries + s.r.meter.Retries(),
	}
	for i := range p.portions {
		part.Portions = append(part.Portions, p.portions[i].record())
	}
	for range maxRivals {
		err := s.r.createCheckpoint(ctx, n, part)
		if !errors.Is(err, objectio.ErrExist) {
			s.mu.Lock()
			s.next = n + 1 // also if it failed: it may be there
			s.mu.Unlock()
			return err
		}
		if err := s.r.journal.holds(ctx); err != nil {
			return err
		}
		n++
	}
	return fmt.Errorf("checkpoint %d of %s: too many are there", n, s.r.layer.Path)
}

func (r *run) createCheckpoint(ctx context.Context, n int, part *checkpointPart) error {
	body := checkpointRecord{Layer: r.layer.ID, Job: r.job, Epoch: r.journal.epoch, At: r.c.opts.Now().UTC()}
	object := checkpointObject(r.layer.Path, n)
	if r.key == nil {
		body.Part = part
		return r.create(ctx, object, kindProgress, body)
	}
	b, err := encodeSealed(kindProgress, nil, body, part, r.key, object)
	if err != nil {
		return err
	}
	return storageError("write", object, r.bucket.Create(ctx, object, b))
}

// saves writes records in time until the function that it returns is called.
func (s *saver) saves(ctx context.Context) (end func()) {
	stopping, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(max(s.r.opts.CheckpointEvery, alwaysBelow))
		defer ticker.Stop()
		for quiet := 1; ; quiet++ {
			select {
			case <-stopping.Done():
				return
			case <-ticker.C:
			}
			s.due.Store(true)
			if s.save(stopping, quiet >= silence) {
				quiet = 0
			}
		}
	})
	return func() {
		stop()
		wg.Wait()
	}
}

// readCheckpoints are the records of progress at a path that can be read, of the job, and
// the number of the next. One that is damaged is passed over.
func (r *run) readCheckpoints(ctx context.Context) (parts []checkpointPart, next int, err error) {
	byNumber := map[int]*checkpointPart{}
	next = 1
	prefix := r.layer.Path + "/" + progressName
	for o, err := range r.bucket.List(ctx, prefix) {
		if err != nil {
			return nil, 0, storageError("list", prefix, err)
		}
		layerPath, n, err := parseCheckpoint(o.Key)
		if err != nil || n == 0 || layerPath != r.layer.Path {
			continue
		}
		next = max(next, n+1)
		part, err := r.readCheckpoint(ctx, o.Key)
		if err != nil {
			if !isNoLayer(err) {
				return nil, 0, err
			}
			r.c.opts.Logger.WarnContext(ctx, "progress is not known", "collection", r.c.name, "job", r.job, "error", err)
			continue
		}
		byNumber[n] = part
	}
	for _, n := range sortedKeys(byNumber) {
		parts = append(parts, *byNumber[n])
	}
	return parts, next, nil
}

func (r *run) readCheckpoint(ctx context.Context, object string) (*checkpointPart, error) {
	b, err := r.bucket.Get(ctx, object, maxManifest)
	if err != nil {
		return nil, storageError("read", object, err)
	}
	rec, err := parseRecord(object, b, kindProgress)
	if err != nil {
		return nil, err
	}
	var body checkpointRecord
	if err := rec.decode(object, &body); err != nil {
		return nil, err
	}
	part := body.Part
	if rec.Sealed != nil && r.key != nil {
		part = new(checkpointPart)
		if err := rec.open(object, r.key, part); err != nil {
			return nil, err
		}
	}
	if body.Layer != r.layer.ID || body.Job != r.job || part == nil || (rec.Sealed == nil) != (r.key == nil) {
		return nil, &CorruptError{Object: object, Want: "progress of job " + r.job, Got: "that of " + body.Job}
	}
	for i := range part.Portions {
		under(part.Portions[i].Files, r.layer.ID, r.key)
	}
	under(part.Tables, r.layer.ID, r.key)
	return part, nil
}

// under gives files of a layer its key.
func under(files []sink.File, layer string, key *seal.DataKey) {
	for i := range files {
		if files[i].Layer == layer {
			files[i] = files[i].Under(key)
		}
	}
}
