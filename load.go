package varve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// restore is one restore being done.
type restore struct {
	c        *Collection
	targets  Targets
	opts     RestoreOptions
	meter    *objectio.Meter
	report   *reporter
	begun    time.Time
	job      string
	vigil    *vigil
	journal  *journal
	lineage  string // that the destination gets; "": it keeps its own
	reading  func() // ends that of the chain
	ingester export.Ingester
	made     *Restored // once it is committed

	info    export.Info
	spans   []Span // of the layers
	bucket  *collectionBucket
	chain   *Chain
	content *content

	selected    *selection // of the layer's objects; nil: spans are meant
	skipped     []string
	holes       []Span
	placed      []export.Object
	placedSpans []Span // of the destination
	moves       []move
	names       []Rename

	tables *export.TableSupport // nil: the destination takes entries only
	proof  *proof

	mu     sync.Mutex
	counts sink.Counts
	stored int64
	left   map[*leveledFile]int // tasks that have yet to load a part of the file
	taken  map[string]bool      // paths of files that were loaded
}

// newRestore checks the options and fills in their defaults.
func (c *Collection) newRestore(targets Targets, opts RestoreOptions) (*restore, error) {
	if err := targets.check(); err != nil {
		return nil, err
	}
	switch {
	case opts.Collection != nil:
		return nil, &OptionError{Field: "Collection", Reason: "is for Restore by URL; this collection is open"}
	case len(opts.Rename) > 0 && !targets.named():
		return nil, &OptionError{Field: "Rename", Reason: "is for Databases and Tables"}
	case len(opts.Rewrite) > 0 && targets.kind != spansTarget:
		return nil, &OptionError{Field: "Rewrite", Reason: "is for Spans"}
	case opts.SchemaOnly && !targets.named():
		return nil, &OptionError{Field: "SchemaOnly", Reason: "is for Databases and Tables"}
	case opts.SchemaOnly && (opts.VerifyOnly || opts.Prove):
		return nil, &OptionError{Field: "SchemaOnly", Reason: "restores no data, which VerifyOnly and Prove are about"}
	}
	err := notNegative(
		amount{"Concurrency", int64(opts.Concurrency)}, amount{"BytesPerSecond", opts.BytesPerSecond}, amount{"MaxPause", int64(opts.MaxPause)},
		amount{"StallAfter", int64(opts.StallAfter)},
	)
	if err != nil {
		return nil, err
	}
	opts.Concurrency = cmp.Or(opts.Concurrency, 2*runtime.GOMAXPROCS(0))
	opts.MaxPause = cmp.Or(opts.MaxPause, defaultMaxPause)
	opts.StallAfter = cmp.Or(opts.StallAfter, defaultStall)
	job, err := newID(c.opts.Rand)
	report, meter := newReporter(opts.Events, c.opts.Now, opts.BytesPerSecond)
	return &restore{
		c: c, targets: targets, opts: opts, meter: meter, report: report, begun: c.opts.Now(), job: job,
		vigil: &vigil{limit: opts.StallAfter}, left: map[*leveledFile]int{}, taken: map[string]bool{},
	}, err
}

// check asks for every file that will be read whether it is there, so that a hole
// is found before the destination is touched.
func (r *restore) check(ctx context.Context) error {
	var mu sync.Mutex
	var missing []error
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opts.Concurrency)
	for _, f := range r.content.wanted(r.spans) {
		g.Go(func() error {
			err := r.bucket.checkSize(gctx, f.File)
			mu.Lock()
			defer mu.Unlock()
			missing = append(missing, err)
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return errors.Join(missing...)
}

// load brings all that is wanted into the staging area of the destination.
func (r *restore) load(ctx context.Context, ingester export.Ingester) (err error) {
	tables, ok := ingester.(export.TableLoader)
	if ok {
		support := tables.TableSupport()
		r.tables = &support
	}
	r.proof = newProof(r.content)
	plan := r.plan()
	r.report.begin(PhaseLoad, r.expect(plan))
	shelf := newShelf(r.bucket.Bucket, slices.Concat(plan.stacked, plan.merged, plan.reread))
	defer func() { err = errors.Join(err, shelf.close()) }()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opts.Concurrency)
	each := func(span Span, do func() error) {
		g.Go(func() error {
			if gctx.Err() != nil {
				return gctx.Err()
			}
			_, done := r.vigil.working(PhaseLoad, span)
			defer done()
			if err := do(); err != nil {
				return fmt.Errorf("load %s: %w", span, err)
			}
			return nil
		})
	}
	for _, p := range plan.stacked {
		each(p.span, func() error { return r.stack(gctx, tables, shelf, p) })
	}
	for _, p := range plan.merged {
		each(p.span, func() error { return r.merge(gctx, ingester, shelf, p) })
	}
	for _, v := range plan.linked {
		each(v.span, func() error { return r.link(gctx, tables, v) })
	}
	for _, p := range plan.reread {
		each(p.span, func() error { return r.reread(gctx, shelf, p) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.report.end()
	return nil
}

// expect notes how often each file will be read, and returns the bytes of all.
func (r *restore) expect(plan *loadPlan) int64 {
	for _, v := range plan.linked {
		r.left[v.leveledFile]++
	}
	for _, p := range slices.Concat(plan.stacked, plan.merged) {
		for _, f := range p.files() {
			r.left[f]++
		}
	}
	var total int64
	for f := range r.left {
		total += f.Size
	}
	return total
}

// loaded notes entries that were put into the destination, and the files they came
// from. A file is done with when its last part is; one that several lists name is one
// file all the same.
func (r *restore) loaded(counts sink.Counts, files ...*leveledFile) {
	r.vigil.progress()
	for _, f := range r.finished(counts, files) {
		r.report.add(f.Size)
		if r.first(f) {
			r.report.file(fileInfo(f.File))
		}
	}
}

// finished adds up the counts and returns those of the files of which nothing is
// left to load.
func (r *restore) finished(counts sink.Counts, files []*leveledFile) []*leveledFile {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts = r.counts.Plus(counts)
	var done []*leveledFile
	for _, f := range files {
		if r.left[f]--; r.left[f] == 0 {
			done = append(done, f)
		}
	}
	return done
}

// first counts a file that was not loaded before.
func (r *restore) first(f *leveledFile) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken[f.Path] {
		return false
	}
	r.taken[f.Path] = true
	r.stored += f.Size
	return true
}

// prove compares the digests of what was read entry by entry.
func (r *restore) prove(context.Context) error {
	return r.proof.compare("layer " + r.chain.tip().ID)
}

func (r *restore) done() *Restored {
	tip := r.chain.tip()
	out := &Restored{
		From: tip.LayerInfo, AsOf: r.chain.AsOf, Spans: r.placedSpans, Proof: r.proof.kind(r.spans),
		Objects: r.placed, Names: r.names, Skipped: r.skipped,
		Stats: Stats{
			JobID: r.job, Keys: r.counts.Sets, Deletions: r.counts.Deletes + r.counts.RangeDeletes, RangeKeys: r.counts.RangeKeys,
			LogicalBytes: r.counts.LogicalBytes, StoredBytes: r.stored, Files: int64(len(r.taken)),
			Requests: r.meter.Requests(), Retries: r.meter.Retries(),
			Duration: r.c.opts.Now().Sub(r.begun), Changes: tip.Stats.Changes,
		},
	}
	if r.opts.SchemaOnly {
		out.Proof = ProofHashes
	}
	for _, hole := range r.holes {
		out.Skipped = append(out.Skipped, "span "+hole.String()+", which was excluded from the backup")
	}
	r.c.opts.Logger.Info("restore committed", "collection", r.c.name, "layer", tip.ID,
		"keys", out.Stats.Keys, "stored_bytes", out.Stats.StoredBytes, "proof", out.Proof.String(), "duration", out.Stats.Duration)
	r.report.layer(tip.LayerInfo)
	return out
}
