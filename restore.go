package varve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varvekv/varve/export"
)

// RestoreOptions say what is restored and how. A nil pointer and the zero value are
// the defaults.
type RestoreOptions struct {
	// From is the layer to restore: Latest, a path, or a layer ID. "": the newest chain
	// that holds the targets, up to AsOf.
	From string
	// AsOf is the moment to restore. Zero: the end of From.
	AsOf Timestamp
	// Rename gives objects other names.
	Rename []Rename
	// Rewrite gives keys other prefixes, where Spans are restored.
	Rewrite []Rewrite
	// SkipMissing are the dependencies that are dropped where what they are on is not
	// restored, too. Others are a *DependencyError.
	SkipMissing Dependency
	// SkipLocalityCheck restores objects also where their regions are not.
	SkipLocalityCheck bool
	// SchemaOnly restores objects without their data.
	SchemaOnly bool
	// VerifyOnly reads, merges and compares all that would be restored, and keeps nothing of
	// it. The destination is not written to.
	VerifyOnly bool
	// Replace puts what is restored in the place of what the target spans hold,
	// atomically. Without it they must be empty.
	Replace bool
	// Prove compares the digest of what is restored also where whole tables are
	// linked, by reading them a second time. Where entries pass through, they are
	// compared in any case, and every byte's hash is checked always.
	Prove bool
	// Concurrency is how many files are loaded at once. 0: twice GOMAXPROCS.
	Concurrency int
	// BytesPerSecond limits traffic from the bucket. 0: unlimited.
	BytesPerSecond int64
	// Authorize is asked once for each object that is about to be restored, or for each of
	// the spans, and once for a whole store, before anything is written; its error ends the
	// restore. nil: the caller may do everything.
	Authorize func(ctx context.Context, p Privilege, o export.Object) error
	// MaxPause is how long the job may be paused: then it fails. 0: 24 h.
	MaxPause time.Duration
	// StallAfter is how long nothing at all may come of storage or of the destination
	// before the restore fails with a *StallError. 0: 15 min.
	StallAfter time.Duration
	// Events are told of progress.
	Events *Events
	// Collection is for Restore by URL; methods of Collection refuse it.
	Collection *CollectionOptions
}

// Restored says what a restore put into the destination.
type Restored struct {
	From    LayerInfo
	AsOf    Timestamp
	Spans   []Span          // of the destination
	Objects []export.Object // as they are there, each after what it is in
	Names   []Rename        // what each object was called, and is now
	Skipped []string        // for people: dependencies, views, and holes that Exclude has left
	Stats   Stats
	Proof   Proof
}

// Restore loads the targets from the collection at a URL into the store they name.
// See [Collection.Restore].
func Restore(ctx context.Context, targets Targets, collectionURL string, opts *RestoreOptions) (_ *Restored, err error) {
	o := valueOf(opts)
	c, err := OpenCollection(ctx, collectionURL, o.Collection)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	o.Collection = nil
	return c.Restore(ctx, targets, &o)
}

// StartRestore begins to load the targets from the collection at a URL, which stays open
// until the job has ended. See [Collection.StartRestore].
func StartRestore(ctx context.Context, targets Targets, collectionURL string, opts *RestoreOptions) (*Job, error) {
	o := valueOf(opts)
	c, err := OpenCollection(ctx, collectionURL, o.Collection)
	if err != nil {
		return nil, err
	}
	o.Collection = nil
	j, err := c.StartRestore(ctx, targets, &o)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	j.closeWhenEnded()
	return j, nil
}

// Restore loads the targets into the store they name. Cluster restores a whole
// store into an empty one, which gets a new lineage; Databases and Tables restore objects, as
// the layer names them, to where the store has room for them; Spans restores just those.
// Nothing is visible in the store until all of it is; if the restore fails or ctx
// is cancelled, nothing is left behind, unless the error wraps
// [export.ErrCommitAgain]: all of it is visible then and may not survive a crash. Nobody else may write to the spans
// meanwhile.
//
// It is [Collection.StartRestore] waited for. If its process dies, the job is there to be
// resumed.
func (c *Collection) Restore(ctx context.Context, targets Targets, opts *RestoreOptions) (*Restored, error) {
	j, err := c.startRestore(ctx, ctx, targets, opts)
	if err != nil {
		return nil, err
	}
	status, err := j.Wait(context.WithoutCancel(ctx)) // the job ends when ctx does
	return status.Restored, err
}

// StartRestore begins a restore and returns when the layers are found complete, there is
// room for what they have, and the record of the job is durable. From then on ctx does not
// matter: the job goes on until it ends, or is paused or canceled, or the collection is
// closed. What [Collection.Restore] says of a restore holds for it.
func (c *Collection) StartRestore(ctx context.Context, targets Targets, opts *RestoreOptions) (*Job, error) {
	return c.startRestore(ctx, context.WithoutCancel(ctx), targets, opts)
}

// startRestore begins a job that is canceled when life ends.
func (c *Collection) startRestore(ctx, life context.Context, targets Targets, opts *RestoreOptions) (*Job, error) {
	r, err := c.newRestore(targets, valueOf(opts))
	if err == nil {
		err = r.begin(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("restore from %s: %w", c.name, denied("read", "files", err))
	}
	return c.launch(life, r), nil
}

// begin opens the destination, and ends with the record of the job.
func (r *restore) begin(ctx context.Context) error {
	if err := r.find(ctx); err != nil {
		return err
	}
	if err := r.enter(ctx); err != nil {
		return errors.Join(err, r.leave())
	}
	return nil
}

// find finds out what is restored and where to, and opens the destination, which is not
// touched before the layers are found complete and there is room for what they have.
func (r *restore) find(ctx context.Context) (err error) {
	if r.targets.cluster() {
		// The store's history is the backup's from here on and no longer its own.
		if r.lineage, err = newID(r.c.opts.Rand); err != nil {
			return err
		}
	}
	if err := r.resolve(ctx); err != nil {
		return err
	}
	return r.prepare(ctx)
}

// prepare makes sure that the layers are complete and stay, and that there is room for what
// they have.
func (r *restore) prepare(ctx context.Context) error {
	r.reading = r.c.reads(context.WithoutCancel(ctx), r.bucket, r.chain)
	if err := r.check(ctx); err != nil {
		return errors.Join(err, r.leave())
	}
	if err := r.place(ctx); err != nil {
		return errors.Join(err, r.leave())
	}
	if err := r.open(ctx); err != nil {
		return errors.Join(err, r.leave())
	}
	return nil
}

// restore is the rest of it. The destination shows nothing before Commit.
func (r *restore) restore(ctx context.Context) (_ *Restored, err error) {
	ingester := r.ingester
	defer func() { err = errors.Join(err, ingester.Abort()) }()
	if err := r.load(ctx, ingester); err != nil {
		return nil, err
	}
	if err := r.prove(ctx); err != nil {
		return nil, err
	}
	if err := r.publish(ctx, ingester); err != nil {
		return nil, err
	}
	if err := commitIngest(ctx, ingester); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	return r.done(), nil
}

// commitIngest calls Commit once more where the store asks for it.
func commitIngest(ctx context.Context, ingester export.Ingester) error {
	err := ingester.Commit(ctx)
	if errors.Is(err, export.ErrCommitAgain) {
		err = ingester.Commit(ctx)
	}
	return err
}

// resolve finds the layers, and whether they fit the destination and hold what is
// asked for.
func (r *restore) resolve(ctx context.Context) (err error) {
	if r.info, err = r.targets.store.Info(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var wanted []Span
	if !r.targets.named() {
		if wanted, err = r.targets.intervals(r.info.Order); err != nil {
			return err
		}
	}
	if r.bucket, err = r.c.gate(ctx, r.c.bucket.With(r.meter)); err != nil {
		return err
	}
	if r.chain, err = r.choose(ctx, wanted); err != nil {
		return err
	}
	if r.spans, err = r.fits(ctx, r.chain.tip().Manifest, wanted); err != nil {
		return err
	}
	if r.content, err = r.bucket.content(ctx, r.chain); err != nil {
		return err
	}
	if err := r.content.fit(r.info.Order); err != nil {
		return err
	}
	if t := r.chain.within(); !t.IsZero() {
		r.content.endAt(t)
	}
	return nil
}

// choose finds the chain that was asked for or, if none was, the newest one of these
// targets. Several chains of one collection may be of several stores.
func (r *restore) choose(ctx context.Context, wanted []Span) (*Chain, error) {
	if r.opts.From != "" {
		return r.bucket.resolve(ctx, r.opts.From, r.opts.AsOf)
	}
	x, err := r.bucket.index(ctx)
	if err != nil {
		return nil, err
	}
	candidates := x.latests(ctx)
	if !r.opts.AsOf.IsZero() {
		candidates = x.allAt(ctx, r.opts.AsOf)
	}
	var first error
	for l, err := range candidates {
		var m *Manifest
		if err == nil {
			m, err = r.bucket.manifest(ctx, l.Path)
		}
		if err != nil {
			return nil, err // to pass over a newer layer that is damaged would bring back an old state
		}
		_, err = r.fits(ctx, m, wanted)
		if err == nil {
			return r.bucket.chainAt(ctx, l, r.opts.AsOf)
		}
		if !isOtherTarget(err) || r.shouldHold(m) {
			return nil, err
		}
		first = cmp.Or(first, err)
	}
	if first == nil {
		first = fmt.Errorf("%s: %w", Latest, ErrNoLayer)
	}
	return nil, first
}

// isOtherTarget reports whether err says that a layer is of something else.
func isOtherTarget(err error) bool {
	var target *TargetError
	var order *OrderError
	return errors.As(err, &target) || errors.As(err, &order)
}

// fits compares a layer with the destination and the targets, and returns the spans
// to restore.
func (r *restore) fits(ctx context.Context, m *Manifest, wanted []Span) ([]Span, error) {
	if err := m.readable(); err != nil {
		return nil, err
	}
	if got := r.info.Order.WithDefaults().Name; got != m.Order {
		return nil, &OrderError{Want: m.Order, Got: got}
	}
	if err := r.selectObjects(ctx, m); err != nil {
		return nil, err
	}
	wanted, err := r.aroundHoles(m, wanted)
	if err != nil {
		return nil, err
	}
	if err := r.canProve(m); err != nil {
		return nil, err
	}
	if r.opts.SchemaOnly {
		return nil, nil
	}
	return wanted, nil
}

// aroundHoles are the spans to restore without what was excluded from the layer, all of which
// it must have.
func (r *restore) aroundHoles(m *Manifest, wanted []Span) ([]Span, error) {
	switch {
	case r.targets.cluster() && !m.Complete:
		return nil, &TargetError{Name: "Cluster", Reason: fmt.Sprintf("the backup holds only the spans %v", m.Spans)}
	case r.targets.cluster():
		wanted = uniteSpans(r.info.Order, m.Spans, m.Excluded)
	case r.targets.named():
		wanted = r.selected.spans(r.info.Order)
	}
	r.holes = intersectSpans(r.info.Order, wanted, m.Excluded)
	wanted = subtractSpans(r.info.Order, wanted, m.Excluded)
	for _, w := range wanted {
		if !coveredBy(r.info.Order, m.Spans, w) {
			return nil, &TargetError{Name: w.String(), Reason: fmt.Sprintf("the backup holds only the spans %v", m.Spans)}
		}
	}
	if len(wanted) == 0 && len(r.holes) > 0 && !r.targets.named() {
		return nil, &TargetError{Name: r.targets.String(), Reason: "was excluded from the backup"}
	}
	return wanted, nil
}

// canProve says why there is no digest to compare with, where one was asked for.
func (r *restore) canProve(m *Manifest) error {
	switch {
	case !r.opts.Prove:
		return nil
	case m.Digest == nil:
		return &OptionError{Field: "Prove", Reason: "the backup was taken without digests"}
	case !r.opts.AsOf.IsZero() && r.opts.AsOf.Compare(m.End) < 0:
		return &OptionError{Field: "Prove", Reason: fmt.Sprintf("the backup has a digest of its end, %s, and of no moment before", m.End)}
	}
	return nil
}

// open opens the destination, which refuses if it holds data.
func (r *restore) open(ctx context.Context) error {
	if r.opts.VerifyOnly {
		r.ingester = discard{}
		return nil
	}
	name, err := newID(r.c.opts.Rand)
	if err != nil {
		return err
	}
	r.c.opts.Logger.Info("restore begins", "collection", r.c.name, "layer", r.chain.tip().ID, "as_of", r.chain.AsOf.String())
	ingester, err := r.targets.store.Ingest(ctx, export.IngestOptions{
		Name: name, Spans: r.placedSpans, Replace: r.opts.Replace, Lineage: r.lineage,
	})
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	r.ingester = ingester
	return nil
}
