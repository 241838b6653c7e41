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
	// Name is the path of the layer in the collection, of letters, digits, '.', '_',
	// '-' and '/'. "": 2006/01/02-150405.00 of its end, UTC.
	Name string
	// AsOf is the moment to back up, on a store that keeps revisions. Zero: now.
	AsOf Timestamp
	// Lag backs up the moment this long ago; not together with AsOf.
	Lag time.Duration
	// Labels are kept in the manifest.
	Labels map[string]string
	// Concurrency is how many tasks export at once. 0: GOMAXPROCS.
	Concurrency int
	// TargetFileBytes is the stored size at which a file is ended. 0: 128 MiB; more
	// than 16 GiB is taken for that.
	TargetFileBytes int64
	// BytesPerSecond limits traffic to the bucket. 0: unlimited.
	BytesPerSecond int64
	// Compression of what is stored. The zero value is zstd at its fastest level.
	Compression Compression
	// NoDigest takes no digest of the state, which saves up to a tenth of the time.
	// Without one, Verify ends at blocks and order, and Prove is refused.
	NoDigest bool
	// Audit scans the snapshot a second time before the layer is committed, each
	// target span in one piece, and compares digests: it proves that the export,
	// which runs in parallel pieces, has lost and invented nothing.
	Audit bool
	// Events are told of progress.
	Events *Events
	// Collection is for Backup by URL; methods of Collection refuse it.
	Collection *CollectionOptions
}

// Backup takes a full backup of the targets into the collection at a URL, which is
// made if need be, and returns once it is durable. See [Collection.Backup].
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

// Backup takes a full backup of the targets: all of their keys as of one moment,
// while the store is being written to. It returns once the layer is durable. If it
// fails or ctx is cancelled there is no layer, unless storage took the manifest and
// could then not be asked about it: that layer is whole. Calling again is safe; what
// was already stored is named by nothing.
func (c *Collection) Backup(ctx context.Context, targets Targets, opts *BackupOptions) (*Layer, error) {
	r, err := c.newRun(targets, valueOf(opts))
	if err != nil {
		return nil, fmt.Errorf("backup to %s: %w", c.name, err)
	}
	layer, err := r.backup(ctx)
	if err != nil {
		return nil, fmt.Errorf("backup to %s: %w", c.name, err)
	}
	return layer, nil
}

// backup is the whole of it. Until commit has written the manifest, which is its
// last act, there is no layer: a crash anywhere before leaves objects that nothing
// names, and a snapshot that a later run releases.
func (r *run) backup(ctx context.Context) (layer *Layer, err error) {
	if err := r.resolve(ctx); err != nil {
		return nil, err
	}
	if err := r.found(ctx); err != nil {
		return nil, err
	}
	snapshot, err := r.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = r.released(err, r.release(ctx, snapshot)) }()
	if err := r.claim(ctx); err != nil {
		return nil, err
	}
	tasks, err := planExport(ctx, snapshot, r.info.Order, r.spans, r.opts.Concurrency, r.opts.TargetFileBytes)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	written, err := r.export(ctx, snapshot, tasks)
	if err != nil {
		return nil, err
	}
	if err := r.audit(ctx, snapshot, written); err != nil {
		return nil, err
	}
	return r.commit(ctx, written)
}

// resolve finds out what is to be backed up, and whether that is possible. Nothing
// is written.
func (r *run) resolve(ctx context.Context) (err error) {
	if r.info, err = r.targets.store.Info(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if r.info.Revisions && r.info.Order.WithDefaults().Name != export.BytewiseName {
		return &OrderError{Want: export.BytewiseName, Got: r.info.Order.Name}
	}
	if r.spans, err = r.targets.resolve(r.info.Order); err != nil {
		return err
	}
	return r.checkMoment()
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

// found makes sure that the collection exists, which is also the first proof that
// it can be written to.
func (r *run) found(ctx context.Context) (err error) {
	r.bucket, err = r.c.found(ctx, r.c.bucket.With(r.meter))
	return err
}
