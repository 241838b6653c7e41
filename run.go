package varve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// run is one backup being taken.
type run struct {
	draft
	targets Targets
	opts    BackupOptions
	tasks   atomic.Int64 // numbers that were given to tasks, also those in vain

	journal  *journal
	saver    *saver
	vigil    *vigil
	patience *patience
	earlier  Stats            // of earlier processes
	course   course           // how what is written is found out
	parts    []checkpointPart // that an earlier process wrote down
	stock    []portion        // of these, what counts
	frozen   export.Snapshot
	made     atomic.Pointer[Layer] // once it is committed

	info  export.Info
	spans []Span
	asOf  Timestamp

	seen     *sighting // of the store's catalog; nil: there is none
	excluded []Span
	missing  []Missing

	copies bool        // tables are copied as they are
	stored []sink.File // tables that the latest full has, of a synthetic one
	gone   Timestamp   // the store's history up to here may have gone while it was exported

	pushes    atomic.Bool // locks are pushed by now
	pushTimer *time.Timer // sets it; nil: it is set

	// Of an incremental:
	parent     *Manifest
	base       string // name of the snapshot that is compared with
	reading    func() // ends that of the chain; nil: it has not begun
	below      string // path that the layer's is appended to
	kept       []Span // spans that the parent has, too
	introduced []Span // and those that it has not
	changes    ChangeSource
	segments   []segment // kept, by the parent's digests
	ledger     *rowCheck // counts changes by segment
	told       bool      // the store tells what changes replaced
	retaken    bool      // the parent's base was taken again
	chain      *content  // what the store is compared with
}

// newRun checks the options and fills in their defaults.
func (c *Collection) newRun(targets Targets, opts BackupOptions) (*run, error) {
	if err := targets.check(); err != nil {
		return nil, err
	}
	if err := opts.complete(); err != nil {
		return nil, err
	}
	d, err := c.newDraft(opts.BytesPerSecond, opts.Events)
	r := &run{draft: d, targets: targets, opts: opts, changes: Everything}
	r.saver, r.vigil, r.patience = newSaver(r), &vigil{limit: opts.StallAfter}, newPatience(c.opts.Retry)
	return r, err
}

func (o *BackupOptions) complete() error {
	switch {
	case o.Collection != nil:
		return &OptionError{Field: "Collection", Reason: "is for Backup by URL; this collection is open"}
	case o.Lag > 0 && !o.AsOf.IsZero():
		return &OptionError{Field: "Lag", Reason: "is given together with AsOf"}
	case o.Into != "" && o.Name != "":
		return &OptionError{Field: "Name", Reason: "names a full, and Into makes an incremental"}
	case o.Synthetic && o.Into != "" && o.FullEvery == 0:
		return &OptionError{Field: "Synthetic", Reason: "is for a full, and Into makes an incremental"}
	case o.FullEvery > 0 && o.Into != Latest:
		return &OptionError{Field: "FullEvery", Reason: "is for Into Latest"}
	case o.MaxChain < 0 || o.MaxChain == 1:
		return &OptionError{Field: "MaxChain", Reason: "leaves no room for an incremental"}
	case o.MaxChain > 0 && o.Into == "":
		return &OptionError{Field: "MaxChain", Reason: "is for an incremental"}
	case o.Adopt && o.Into == "":
		return &OptionError{Field: "Adopt", Reason: "is for an incremental: a full takes any store"}
	case o.Audit && o.NoDigest:
		return &OptionError{Field: "Audit", Reason: "compares digests, and NoDigest takes none"}
	}
	err := notNegative(
		amount{"Lag", int64(o.Lag)}, amount{"FullEvery", int64(o.FullEvery)}, amount{"BaseLimit", o.BaseLimit}, amount{"BaseAge", int64(o.BaseAge)},
		amount{"BytesPerSecond", o.BytesPerSecond}, amount{"MaxPause", int64(o.MaxPause)}, amount{"CheckpointEvery", int64(o.CheckpointEvery)},
		amount{"StallAfter", int64(o.StallAfter)},
	)
	if err := cmp.Or(err, completeFiles(o.Compression, &o.Concurrency, &o.TargetFileBytes), o.Locks.complete()); err != nil {
		return err
	}
	if o.Into != "" && o.Into != Latest && checkID(o.Into) != nil {
		if err := checkPath(o.Into); err != nil {
			return &OptionError{Field: "Into", Reason: err.Error()}
		}
	}
	if len(o.Name) > maxName {
		return &OptionError{Field: "Name", Reason: fmt.Sprintf("has %d bytes, the most are %d", len(o.Name), maxName)}
	}
	if o.Name != "" {
		if err := checkPath(o.Name); err != nil {
			return &OptionError{Field: "Name", Reason: err.Error()}
		}
	}
	o.MaxPause = cmp.Or(o.MaxPause, defaultMaxPause)
	o.CheckpointEvery = cmp.Or(o.CheckpointEvery, checkpointInterval)
	o.StallAfter = cmp.Or(o.StallAfter, defaultStall)
	o.Labels = maps.Clone(o.Labels)
	return nil
}

// claim takes the layer's path, create-only. A date-based path that another has
// taken, or a name that a run which never committed has taken, gets a suffix.
func (r *run) claim(ctx context.Context) error {
	r.layer.Path = r.pathBelow(r.below)
	if r.opts.Name != "" {
		r.layer.Path = r.opts.Name
	}
	err := r.createClaim(ctx)
	if !errors.Is(err, objectio.ErrExist) {
		return err
	}
	if r.opts.Name != "" {
		taken, err := committed(ctx, r.bucket.Bucket, r.layer.Path)
		if err != nil {
			return err
		}
		if taken {
			return &OptionError{Field: "Name", Reason: fmt.Sprintf("there is a backup named %q", r.opts.Name)}
		}
	}
	return r.claimBeside(ctx)
}

// audit reads each target span once more, in one piece, and compares what it finds
// with what was digested while the pieces were exported.
func (r *run) audit(ctx context.Context, s export.Snapshot, written *contents) error {
	if !r.opts.Audit {
		return nil
	}
	r.report.begin(PhaseAudit, digest.Total(written.rows).Bytes)
	check := newRowCheck(r.info.Order, written.rows)
	for _, span := range r.spans {
		_, done := r.vigil.working(PhaseAudit, span)
		err := scanSpan(ctx, s, r.info.Order, span, check, r.pass(ctx))
		if done(); err != nil {
			return fmt.Errorf("audit %s: %w", span, err)
		}
	}
	r.report.end()
	return check.compare("the export of layer " + r.layer.ID)
}

// commit makes the layer exist. Its files are stored; then come the list of them,
// the index entry, which alone means nothing, and the manifest, which is the
// moment of truth.
func (r *run) commit(ctx context.Context, written *contents, list FileList) (*Layer, error) {
	var err error
	if list.Size == 0 {
		if list, err = r.writeListed(ctx, written); err != nil {
			return nil, err
		}
	}
	var objects FileList
	if r.key != nil {
		if objects, err = writeObjects(ctx, r.bucket.Bucket, r.layer, written.files); err != nil {
			return nil, r.rival(err)
		}
	}
	if err := r.create(ctx, formatIndex(r.layer), kindIndex, indexRecord{Layer: r.layer.ID}); err != nil {
		return nil, err
	}
	m := r.manifest(written, list)
	r.sealManifest(m, written, objects)
	m.Stats.BasePinnedBytes = r.pinned(ctx)
	layer, err := r.publish(ctx, m, written, r.info.Order)
	if errors.Is(err, objectio.ErrExist) {
		head, peekErr := r.bucket.Peek(ctx, manifestObject(r.layer.Path), recordHead)
		if peekErr == nil && !isVoid(head) {
			return nil, r.rival(err)
		}
	}
	if err != nil {
		return nil, err
	}
	r.made.Store(layer)
	r.c.opts.Logger.Info("backup committed", "collection", r.c.name, "layer", layer.ID, "path", layer.Path,
		"keys", m.Stats.Keys, "stored_bytes", m.Stats.StoredBytes, "duration", m.Stats.Duration)
	return layer, nil
}

// writeListed stores the file list. A large one is looked at again, for of two that are
// equally long, of two processes that are at this job, storage does not tell which is there.
func (r *run) writeListed(ctx context.Context, written *contents) (FileList, error) {
	list, err := writeFileList(ctx, r.bucket.Bucket, r.layer, r.key, written)
	if err != nil || list.Size <= maxWhole {
		return list, r.rival(err)
	}
	object := fileListObject(r.layer.Path)
	reader, err := sink.Open(ctx, r.bucket.Bucket, sink.Form{}, list.object(object).Under(r.key))
	if err != nil {
		return list, storageError("read", object, err)
	}
	return list, reader.Close()
}

// maxWhole is up to which size an object that is found in the place of another is told
// from it by its bytes.
const maxWhole = 4 << 20

// rival says of an object that is there who has written it: another process that is at this
// job.
func (r *run) rival(err error) error {
	if errors.Is(err, objectio.ErrExist) {
		return fmt.Errorf("%w: %w: %w", errLost, ErrConflict, err)
	}
	return err
}

func (r *run) manifest(written *contents, list FileList) *Manifest {
	m := &Manifest{
		Collection: r.bucket.id, Layer: r.layer.ID, Chain: r.layer.ChainID, Path: r.layer.Path, Job: r.job, Epoch: r.journal.epoch,
		Engine: r.info.Engine, Lineage: r.info.Lineage,
		Start: r.layer.Start, End: r.layer.End, Oldest: r.oldest(),
		Parent: r.layer.ParentID, Complete: r.targets.cluster(), Spans: r.spans, Introduced: r.introduced,
		Excluded: r.excluded, Targets: r.targets.manifest(r.seen), Missing: r.missing,
		Order: r.info.Order.WithDefaults().Name, Revisions: r.info.Revisions, Merger: r.info.Merger,
		FileList: list, Labels: r.opts.Labels, CreatedAt: r.begun.UTC(), Writer: writerName(),
	}
	if !r.opts.NoDigest {
		m.Digest = newDigest(digest.Total(written.rows), r.opts.Audit)
		if (r.told || r.copies) && !r.opts.Audit {
			m.Digest.Source = DigestUpdate
		}
	}
	if r.parent != nil && r.parent.Lineage != m.Lineage {
		m.Adopts = r.parent.Lineage
	}
	m.Stats.Changes = r.changes
	r.account(m, written)
	m.Stats.Requests, m.Stats.Retries = r.earlier.Requests+m.Stats.Requests, r.earlier.Retries+m.Stats.Retries
	return m
}

func newDigest(d digest.Digest, audited bool) *Digest {
	out := &Digest{State: d.State, Revisions: d.Revisions, Keys: d.Keys, Bytes: d.Bytes, Source: DigestScan}
	if audited {
		out.Source = DigestAudit
	}
	return out
}

// writerName is the build of varve that is running.
func writerName() string {
	const module = "github.com/varvekv/varve"
	version := "(devel)"
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, d := range b.Deps {
			if d.Path == module {
				version = d.Version
			}
		}
	}
	return "varve " + version + " " + runtime.Version()
}
