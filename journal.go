package varve

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/internal/seal"
)

// maxEpochs bounds how often a job may be gone on with; tasksPerEpoch is how many tasks
// each time may number, so that no two name an object alike.
const (
	maxEpochs     = 900
	tasksPerEpoch = 1_000_000
)

// journal writes the records of a job, one after the other under ascending numbers. Whoever
// finds that the next number is taken has lost the job: somebody else goes on with it.
type journal struct {
	b      *collectionBucket
	now    func() time.Time
	record jobRecord // what all records of it say
	key    *seal.DataKey
	epoch  int

	turn   *semaphore.Weighted
	next   atomic.Int64 // written by whoever has the turn
	doubt  []byte       // a record that may be there under that number, though storing it failed
	silent bool         // there is no right to write: of a restore only
}

func newJournal(b *collectionBucket, now func() time.Time, record jobRecord, key *seal.DataKey) *journal {
	return &journal{b: b, now: now, record: record, key: key, epoch: record.Epoch, turn: semaphore.NewWeighted(1)}
}

// append writes that the job is in a state.
func (j *journal) append(ctx context.Context, state JobState, pinnedUntil time.Duration, detail jobDetail) error {
	if j.silent {
		return nil
	}
	if err := j.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer j.turn.Release(1)
	if err := j.settle(ctx); err != nil {
		return err
	}
	r := j.record
	r.State, r.At, r.Writer = state, j.now().UTC(), writerName()
	if pinnedUntil > 0 {
		r.PinnedUntil = r.At.Add(pinnedUntil)
	}
	r.Number = int(j.next.Load())
	object := formatJob(r.Job, r.Number)
	body, err := j.encode(object, r, detail)
	if err != nil {
		return err
	}
	return j.write(ctx, object, body)
}

// write takes the next number.
func (j *journal) write(ctx context.Context, object string, body []byte) error {
	j.doubt = nil
	err := j.b.Create(ctx, object, body)
	switch {
	case errors.Is(err, objectio.ErrExist):
		return j.lost()
	case err != nil:
		j.doubt = body
		return storageError("write", object, err)
	}
	j.next.Add(1)
	return nil
}

// settle stores a record again of which it is not known whether it is there: under its
// number, a later one would be taken for somebody else's.
func (j *journal) settle(ctx context.Context) error {
	if j.doubt == nil {
		return nil
	}
	return j.write(ctx, formatJob(j.record.Job, int(j.next.Load())), j.doubt)
}

func (j *journal) encode(object string, r jobRecord, detail jobDetail) ([]byte, error) {
	if j.key == nil {
		r.Detail = &detail
		return encodeRecord(kindJob, r)
	}
	return encodeSealed(kindJob, nil, r, detail, j.key, object)
}

// lost is what whoever finds that is told.
func (j *journal) lost() error {
	return fmt.Errorf("job %s: another process goes on with it: %w: %w", j.record.Job, errLost, ErrConflict)
}

// holds says whether somebody else goes on with the job.
func (j *journal) holds(ctx context.Context) error {
	if j.silent {
		return nil
	}
	if err := j.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer j.turn.Release(1)
	if err := j.settle(ctx); err != nil {
		return err
	}
	prefix, next := jobsPrefix+j.record.Job+"/", int(j.next.Load())
	for o, err := range j.b.List(ctx, prefix) {
		if err != nil {
			return storageError("list", prefix, err)
		}
		if _, n, err := parseJob(o.Key); err == nil && n >= next {
			return j.lost()
		}
	}
	return nil
}
