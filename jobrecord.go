package varve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/internal/seal"
)

// ErrNoJob is returned where no job is found under the given ID: list the jobs.
var ErrNoJob = errors.New("no such job")

// JobKind is what a job does.
type JobKind string

const (
	BackupJob  JobKind = "backup"
	RestoreJob JobKind = "restore"
)

// jobRecord is the body of jobs/<id>/<n>, as far as it is not sealed. Each is written once,
// when the job begins, when somebody goes on with it, and when it pauses or ends.
type jobRecord struct {
	Job    string    `json:"job"`
	Number int       `json:"number"` // of the record, which its name has, too
	Kind   JobKind   `json:"kind"`
	State  JobState  `json:"state"`
	At     time.Time `json:"at"`
	Begun  time.Time `json:"begun"`
	Epoch  int       `json:"epoch"`  // how often somebody has gone on with it
	Holder string    `json:"holder"` // ID drawn by whoever writes the record

	Scheduled bool `json:"scheduled,omitempty"` // it is one of a schedule, which goes on with it

	Layer string `json:"layer"` // that a backup becomes, or that is restored
	Path  string `json:"path"`
	// PinnedUntil is for how long a job that is paused keeps its snapshot; only what is
	// between At and this counts, for both are of some client's clock.
	PinnedUntil time.Time `json:"pinned_until,omitzero"`

	Keys   []seal.Wrapped `json:"keys,omitempty"`   // of the layer: what seals the detail
	Detail *jobDetail     `json:"detail,omitempty"` // nil: it is sealed, or it was not said
	Writer string         `json:"writer"`
}

// jobDetail is what of a job is sealed if the layer is.
type jobDetail struct {
	Spec     *jobSpec   `json:"spec,omitempty"` // in the first record
	Stats    Stats      `json:"stats"`
	Fraction float64    `json:"fraction"`
	Phase    Phase      `json:"phase,omitempty"`
	Error    string     `json:"error,omitempty"`
	Left     *Leftovers `json:"left,omitempty"`
	Pinned   int64      `json:"pinned_bytes,omitempty,string"`
}

func (r *jobRecord) validate(object string) error {
	switch {
	case formatJob(r.Job, r.Number) != object:
		return fmt.Errorf("record %d of job %q", r.Number, r.Job)
	case r.Kind != BackupJob && r.Kind != RestoreJob:
		return fmt.Errorf("a job of the kind %q", r.Kind)
	case r.State == 0:
		return errors.New("a job in no state")
	case r.Epoch < 0 || r.Epoch >= maxEpochs:
		return fmt.Errorf("epoch %d", r.Epoch)
	}
	return errors.Join(checkID(r.Layer), checkPath(r.Path), checkID(r.Holder))
}

func (r *jobRecord) scope(collection string) seal.Scope {
	return seal.Scope{Collection: collection, Layer: r.Layer}
}

// shownJobRecord reads one record, but for what is sealed.
func (b *collectionBucket) shownJobRecord(ctx context.Context, job, object string) (*jobRecord, record, error) {
	body, err := b.Get(ctx, object, maxManifest)
	if errors.Is(err, objectio.ErrNotExist) {
		return nil, record{}, err
	}
	if err != nil {
		return nil, record{}, storageError("read", object, err)
	}
	rec, err := parseRecord(object, body, kindJob)
	if err != nil {
		return nil, rec, err
	}
	r := new(jobRecord)
	if err := rec.decode(object, r); err != nil {
		return nil, rec, err
	}
	if err := r.validate(object); err != nil {
		return nil, rec, &CorruptError{Object: object, Want: "a possible record of job " + job, Got: err.Error()}
	}
	return r, rec, nil
}

// readJobRecord reads one record and, with a key that opens it, its detail.
func (b *collectionBucket) readJobRecord(ctx context.Context, job, object string) (*jobRecord, error) {
	r, rec, err := b.shownJobRecord(ctx, job, object)
	if err != nil || rec.Sealed == nil || !b.keys.opens() {
		return r, err
	}
	key, err := seal.UnwrapAny(ctx, b.keys, r.Keys, r.scope(b.id))
	if errors.Is(err, seal.ErrOtherKey) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	r.Detail = new(jobDetail)
	return r, rec.open(object, key, r.Detail)
}

// jobHistory is what is known of a job.
type jobHistory struct {
	first, last *jobRecord
	next        int       // number of the next record
	seen        time.Time // when the last was written, by the bucket's clock
}

// spec is what the first record says that the job does.
func (h *jobHistory) spec(keys keyring, kind JobKind) (*jobSpec, error) {
	switch {
	case h.first.Kind != kind:
		return nil, &JobStateError{ID: h.first.Job, State: h.last.State}
	case h.first.Detail == nil && !keys.opens():
		return nil, fmt.Errorf("job %s: %w", h.first.Job, ErrNoKey)
	case h.first.Detail == nil:
		return nil, fmt.Errorf("job %s: %w", h.first.Job, ErrWrongKey)
	}
	spec := h.first.Detail.Spec
	if spec == nil || kind == BackupJob && spec.Backup == nil || kind == RestoreJob && spec.Restore == nil {
		return nil, h.corrupt(errors.New("nothing"))
	}
	return spec, nil
}

// nextEpoch is that of whoever goes on with the job.
func (h *jobHistory) nextEpoch() (int, error) {
	next := h.last.Epoch + 1
	if next >= maxEpochs {
		return 0, fmt.Errorf("job %s was gone on with %d times: start another", h.first.Job, h.last.Epoch)
	}
	return next, nil
}

// corrupt says that the first record does not say what the job does.
func (h *jobHistory) corrupt(cause error) error {
	return &CorruptError{Object: formatJob(h.first.Job, 0), Want: "what the job does", Got: cause.Error()}
}

// jobHistory reads the first and the last record of a job.
func (b *collectionBucket) jobHistory(ctx context.Context, id string) (*jobHistory, error) {
	if err := checkID(id); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoJob, err)
	}
	h := &jobHistory{}
	prefix := jobsPrefix + id + "/"
	last := -1
	for o, err := range b.List(ctx, prefix) {
		if err != nil {
			return nil, storageError("list", prefix, err)
		}
		if _, n, err := parseJob(o.Key); err == nil && n > last {
			last, h.seen = n, o.ModTime
		}
	}
	if last < 0 {
		return nil, fmt.Errorf("job %s: %w", id, ErrNoJob)
	}
	var err error
	if h.first, err = b.readJobRecord(ctx, id, formatJob(id, 0)); err == nil {
		h.last = h.first
		if last > 0 {
			h.last, err = b.readJobRecord(ctx, id, formatJob(id, last))
		}
	}
	if errors.Is(err, objectio.ErrNotExist) {
		err = &CorruptError{Object: prefix, Want: "all records of the job", Got: err.Error()}
	}
	h.next = last + 1
	return h, err
}
