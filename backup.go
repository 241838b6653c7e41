package varve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varvekv/varve/export"
)

// BackupOptions say how a backup is taken. A nil pointer and the zero value are
// the defaults.
type BackupOptions struct {
	// Into is what the backup extends, and so makes an incremental: Latest; or the path
	// or ID of a full, whose chain is continued where it ends; or those of an
	// incremental, which is itself extended. "": nothing, for a full.
	Into string
	// Name is the path of a full in the collection, of letters, digits, '.', '_', '-'
	// and '/'. "": 2006/01/02-150405.00 of its end, UTC.
	Name string
	// FullEvery, with Into Latest, takes a full where there is none, or where the one
	// that would be extended began this long ago or longer. 0: never.
	FullEvery time.Duration
	// MaxChain is how many layers a restore may need. Where an incremental would need more,
	// Events.LongChain is told, and the chain is compacted into a synthetic full before the
	// backup is taken, see [Collection.Compact]: that is what the incremental extends. Should
	// the chain not be compacted, for want of a key that opens it, say, the backup is a full.
	// At least 2; 0: unlimited.
	MaxChain int
	// Synthetic, of a full, refers to tables that the latest full of the collection has
	// copied as they are, and that the store still has, instead of storing them again. The
	// two then share these objects: one that is damaged is missing in both, and the older
	// full must stay as long as the newer one. It costs to read the store, and stores what
	// is new.
	Synthetic bool
	// AsOf is the moment to back up, on a store that keeps revisions. Zero: now.
	AsOf Timestamp
	// Lag backs up the moment this long ago; not together with AsOf.
	Lag time.Duration
	// RevisionHistory backs up every revision and deletion since the end of the layer that
	// is extended, of a full as far back as the store still has them, so that any moment
	// in between can be restored. It is for stores that keep revisions. Layers with and
	// without it may follow one another.
	RevisionHistory bool
	// Locks say what is done about writes that are not committed.
	Locks LockOptions
	// Adopt lets a store of another lineage extend the chain: one that was restored
	// or made from a copy, and holds much of the same. It is compared with the chain.
	// A store that keeps revisions cannot be adopted.
	Adopt bool
	// NoBase keeps nothing in the store for the next incremental, which then compares
	// the store with the chain: it reads all of the store, and once more where it
	// changed, beside what the bucket has there.
	NoBase bool
	// BaseLimit is how many bytes of disk a snapshot that is kept for the next
	// incremental of its targets may pin: what pins more when a run ends is released. It
	// concerns all that the collection keeps in the store. 0: unlimited.
	BaseLimit int64
	// BaseAge is how old a snapshot may become that is kept for the next incremental of its
	// targets: an older one is released when a run of the collection ends, whatever its
	// targets are, and holds back no garbage collection any more. 0: unlimited.
	BaseAge time.Duration
	// Exclude are spans whose data is left out, on purpose: the layer says so, and a restore
	// goes around them. What is not excluded any more is backed up from the beginning.
	Exclude []Span
	// AllowMissing takes objects without what they depend on, where that is not among the
	// targets. The manifest says what is missing. Else that is a *DependencyError.
	AllowMissing bool
	// Authorize is asked once for each object that is about to be backed up, or for each of
	// the spans, and once for a whole store, before anything is written; its error ends the
	// backup. nil: the caller may do everything.
	Authorize func(ctx context.Context, p Privilege, o export.Object) error
	// Labels are kept in the manifest.
	Labels map[string]string
	// Concurrency is how many tasks export at once. 0: GOMAXPROCS.
	Concurrency int
	// TargetFileBytes is the stored size at which a file is ended. 0: 128 MiB; more
	// than 16 GiB is taken for that.
	TargetFileBytes int64
	// BytesPerSecond limits traffic to the bucket. 0: unlimited.
	BytesPerSecond int64
	// Pace is called after each MiB or so that a task has read, with the bytes since its
	// last call, by several tasks at once: a task goes on when it returns, so that it can
	// wait until the application has less to do. An error of it ends the backup. It must
	// return when its context is over. nil: tasks go on.
	Pace func(ctx context.Context, bytes int64) error
	// Compression of what is stored. The zero value is zstd at its fastest level.
	Compression Compression
	// NoDigest takes no digest of the state, which saves up to a tenth of the time of a
	// full, and of an incremental a search for each key that changed. Without one,
	// Verify ends at blocks and order, Prove is refused, a comparison with the chain
	// reads all of it, and the next layer that takes a digest reads the whole store.
	NoDigest bool
	// Audit scans the snapshot a second time before the layer is committed, each
	// target span in one piece, and compares digests: it proves that the export,
	// which runs in parallel pieces, or the difference to the layer before has lost
	// and invented nothing.
	Audit bool
	// MaxPause is how long the job may be paused: then it fails, and its snapshot is
	// released. 0: 24 h.
	MaxPause time.Duration
	// CheckpointEvery is how often it is written down what is stored, so that whoever goes
	// on with the job need not store it again; below a second, with each file. 0: a minute.
	CheckpointEvery time.Duration
	// StallAfter is how long nothing at all may come of the store or of storage before the
	// backup fails with a *StallError. Pace may take its time. 0: 15 min.
	StallAfter time.Duration
	// Events are told of progress.
	Events *Events
	// Collection is for Backup by URL; methods of Collection refuse it.
	Collection *CollectionOptions

	scheduled bool // by a Schedule
}

// Backup takes a backup of the targets into the collection at a URL, which is made
// if need be, and returns once it is durable. See [Collection.Backup].
func Backup(ctx context.Context, targets Targets, collectionURL string, opts *BackupOptions) (_ *Layer, err error) {
	o := valueOf(opts)
	c, err := OpenCollection(ctx, collectionURL, o.Collection)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	o.Collection = nil
	return c.Backup(ctx, targets, &o)
}

// StartBackup begins a backup of the targets into the collection at a URL, which is made if
// need be, and stays open until the job has ended. See [Collection.StartBackup].
func StartBackup(ctx context.Context, targets Targets, collectionURL string, opts *BackupOptions) (*Job, error) {
	o := valueOf(opts)
	c, err := OpenCollection(ctx, collectionURL, o.Collection)
	if err != nil {
		return nil, err
	}
	o.Collection = nil
	j, err := c.StartBackup(ctx, targets, &o)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	j.closeWhenEnded()
	return j, nil
}

// Backup takes a backup of the targets as of one moment, while the store is being
// written to: all of their keys, or with BackupOptions.Into those that changed after
// the layer that it extends. It returns once the layer is durable. If it fails or ctx
// is cancelled there is no layer, unless storage took the manifest and could then not
// be asked about it: that layer is whole. Calling again is safe; what was already
// stored is named by nothing.
//
// The snapshot of the newest layer is kept in the store, if it can keep any, so that
// the next incremental costs what changed; that of the layer before is released.
// Targets that the extended layer did not have are introduced: they are backed up
// from the beginning. Those that it had and that are not named any more just end.
//
// It is [Collection.StartBackup] waited for. If its process dies, the job is there to be
// resumed.
func (c *Collection) Backup(ctx context.Context, targets Targets, opts *BackupOptions) (*Layer, error) {
	j, err := c.startBackup(ctx, ctx, targets, opts)
	if err != nil {
		return nil, err
	}
	status, err := j.Wait(context.WithoutCancel(ctx)) // the job ends when ctx does
	return status.Layer, err
}

// StartBackup begins a backup and returns when its moment is fixed and its record durable,
// before anything is exported. From then on ctx does not matter: the job goes on until it
// ends, or is paused or canceled, or the collection is closed. What [Collection.Backup]
// says of a backup holds for it.
func (c *Collection) StartBackup(ctx context.Context, targets Targets, opts *BackupOptions) (*Job, error) {
	return c.startBackup(ctx, context.WithoutCancel(ctx), targets, opts)
}

// startBackup begins a job that is canceled when life ends.
func (c *Collection) startBackup(ctx, life context.Context, targets Targets, opts *BackupOptions) (*Job, error) {
	r, err := c.newRun(targets, valueOf(opts))
	if err == nil {
		err = r.begin(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("backup to %s: %w", c.name, err)
	}
	return c.launch(life, r), nil
}

// begin fixes what is backed up, and as of when, and ends with the record of the job. If
// the process dies before that there is an empty path, and a snapshot that a later run
// releases.
func (r *run) begin(ctx context.Context) (err error) {
	if err := r.resolve(ctx); err != nil {
		return err
	}
	if err := r.findParent(ctx); err != nil {
		return err
	}
	if err := r.aim(ctx); err != nil {
		return err
	}
	if err := r.extend(ctx); err != nil {
		return err
	}
	if err := r.synthesize(ctx); err != nil {
		return err
	}
	if err := r.found(ctx); err != nil {
		return err
	}
	if err := r.seal(ctx); err != nil {
		return err
	}
	if err := r.snapshot(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = r.end(ctx, err)
		}
	}()
	if err := r.observe(ctx, r.frozen); err != nil {
		return err
	}
	if err := r.claim(ctx); err != nil {
		return err
	}
	return r.enter(ctx)
}

// backup is the rest of it. Until commit has written the manifest, which is its last act,
// there is no layer: a crash anywhere before leaves objects that nothing names, and a job
// that can be resumed.
func (r *run) backup(ctx context.Context) (layer *Layer, err error) {
	defer func() { err = r.explain(ctx, err) }()
	defer r.lives(ctx)()
	defer func() {
		if r.reading != nil {
			r.reading()
		}
	}()
	if err := r.confirm(ctx); err != nil {
		return nil, err
	}
	written, list, err := r.listed(ctx)
	if err != nil {
		return nil, err
	}
	if written == nil {
		if written, err = r.write(ctx); err != nil {
			return nil, err
		}
	}
	return r.commit(ctx, written, list)
}

// write stores what the layer holds, and finds out its digest.
func (r *run) write(ctx context.Context) (*contents, error) {
	written, err := r.exportOn(ctx, r.course)
	if r.course == planned && errors.Is(err, export.ErrNoBase) {
		written, err = r.exportAnew(ctx, err)
	}
	if errors.Is(err, errRewritten) {
		written, err = r.exportOn(ctx, fromTheBeginning)
	}
	if err != nil {
		return nil, err
	}
	if err := r.look(ctx); err != nil {
		return nil, err
	}
	if err := r.digest(ctx, r.frozen, written); err != nil {
		return nil, err
	}
	return written, r.audit(ctx, r.frozen, written)
}

// resolve finds out which moment is to be backed up, and whether that is possible. Nothing
// is written.
func (r *run) resolve(ctx context.Context) (err error) {
	if r.info, err = r.targets.store.Info(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if r.info.Revisions && r.info.Order.WithDefaults().Name != export.BytewiseName {
		return &OrderError{Want: export.BytewiseName, Got: r.info.Order.Name}
	}
	if r.opts.RevisionHistory && !r.info.Revisions {
		return &OptionError{Field: "RevisionHistory", Reason: fmt.Sprintf("the store (%s) keeps no history", r.info.Engine)}
	}
	if !r.targets.named() {
		spans, err := r.targets.intervals(r.info.Order)
		if err != nil {
			return err
		}
		if err := r.exclude(spans); err != nil {
			return err
		}
	}
	if err := r.checkMoment(); err != nil {
		return err
	}
	if r.bucket, err = r.c.gate(ctx, r.c.bucket.With(r.meter)); err != nil {
		return err
	}
	return r.checkKeys()
}

// checkMoment says why the moment asked for cannot be seen.
func (r *run) checkMoment() error {
	asOf, field := r.opts.AsOf, "AsOf"
	if r.opts.Lag > 0 {
		asOf, field = export.At(r.begun.Add(-r.opts.Lag)), "Lag"
	}
	switch {
	case asOf.IsZero():
	case !r.info.Revisions:
		return &OptionError{Field: field, Reason: fmt.Sprintf("the store (%s) keeps no history: now is all it can show", r.info.Engine)}
	case asOf.Compare(export.At(r.begun)) > 0:
		return &OptionError{Field: field, Reason: asOf.String() + " is in the future"}
	case asOf.Compare(r.info.Oldest) < 0:
		return &BeforeGCError{AsOf: asOf, Threshold: r.info.Oldest}
	}
	r.asOf = asOf
	return nil
}

// found makes sure that the collection exists, and so proves before the export begins
// that it can be listed and written to. The gate has read it. An incremental has done all
// of this when it has found its parent and said that it needs it. Nothing is ever deleted.
func (r *run) found(ctx context.Context) error {
	if r.parent != nil {
		return nil
	}
	if _, err := r.bucket.index(ctx); err != nil {
		return err
	}
	bucket, err := r.c.found(ctx, r.bucket)
	if err == nil {
		r.bucket = bucket
	}
	return err
}
