package varve

import (
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
	c       *Collection
	targets Targets
	opts    RestoreOptions
	meter   *objectio.Meter
	report  *reporter
	begun   time.Time

	info    export.Info
	spans   []Span
	bucket  *collectionBucket
	chain   *Chain
	content *content

	tables *export.TableSupport // nil: the destination takes entries only
	proof  *proof

	mu     sync.Mutex
	counts sink.Counts
	stored int64
	taken  map[string]bool // paths of files that were loaded, in part at least
}

// newRestore checks the options and fills in their defaults.
func (c *Collection) newRestore(targets Targets, opts RestoreOptions) (*restore, error) {
	if err := targets.check(); err != nil {
		return nil, err
	}
	switch {
	case opts.Collection != nil:
		return nil, &OptionError{Field: "Collection", Reason: "is for Restore by URL; this collection is open"}
	case opts.Concurrency < 0:
		return nil, &OptionError{Field: "Concurrency", Reason: "is negative"}
	case opts.BytesPerSecond < 0:
		return nil, &OptionError{Field: "BytesPerSecond", Reason: "is negative"}
	}
	if opts.Concurrency == 0 {
		opts.Concurrency = 2 * runtime.GOMAXPROCS(0)
	}
	return &restore{
		c: c, targets: targets, opts: opts, begun: c.opts.Now(),
		meter: objectio.NewMeter(opts.BytesPerSecond), report: newReporter(opts.Events, c.opts.Now),
		taken: map[string]bool{},
	}, nil
}

// check asks for every file that will be read whether it is there, so that a hole
// is found before the destination is touched.
func (r *restore) check(ctx context.Context) error {
	var mu sync.Mutex
	var missing []error
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opts.Concurrency)
	for _, p := range r.content.pieces(r.spans) {
		for _, f := range p.files {
			g.Go(func() error {
				err := r.bucket.checkSize(gctx, f.File)
				mu.Lock()
				defer mu.Unlock()
				missing = append(missing, err)
				return gctx.Err()
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return errors.Join(missing...)
}

// load brings every piece into the staging area of the destination.
func (r *restore) load(ctx context.Context, ingester export.Ingester) error {
	if tables, ok := ingester.(export.TableLoader); ok {
		support := tables.TableSupport()
		r.tables = &support
	}
	r.proof = newProof(r.content, r.chain.tip().Manifest)
	pieces := r.content.pieces(r.spans)
	var total int64
	for _, p := range pieces {
		total += p.bytes
	}
	r.report.begin(PhaseLoad, total)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opts.Concurrency)
	for _, p := range pieces {
		g.Go(func() error {
			if err := r.loadPiece(gctx, ingester, p); err != nil {
				return fmt.Errorf("load %s: %w", p.span, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.report.end()
	return nil
}

func (r *restore) loadPiece(ctx context.Context, ingester export.Ingester, p piece) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.links(p) {
		for _, f := range p.files {
			if err := r.link(ctx, ingester.(export.TableLoader), f); err != nil {
				return err
			}
		}
		if r.opts.Prove {
			return r.reread(ctx, p)
		}
		return nil
	}
	return r.merge(ctx, ingester, p)
}

// links reports whether the destination takes the files of p as they are: all of
// every file is wanted, it knows their format, and it can lay one over another as
// high as they are.
func (r *restore) links(p piece) bool {
	if r.tables == nil {
		return false
	}
	for _, f := range p.files {
		switch {
		case f.form.Revisions != r.info.Revisions,
			!slices.Contains(r.tables.Formats, f.Format),
			f.KeySchema != "" && !slices.Contains(r.tables.KeySchemas, f.KeySchema),
			!p.span.Covers(r.info.Order, f.Span),
			len(p.files) > 1 && f.level >= r.tables.Levels:
			return false
		}
	}
	return true
}

// link copies one table, every byte of it checked, into the staging area.
func (r *restore) link(ctx context.Context, tables export.TableLoader, f leveledFile) error {
	level := f.level
	if r.tables.Levels <= 1 {
		level = 0
	}
	w, err := tables.LoadTable(ctx, export.TableInfo{
		Span: f.Span, Level: level, Format: f.Format, KeySchema: f.KeySchema, Bytes: f.Plain,
	})
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := sink.Copy(ctx, r.bucket.Bucket, f.File, w); err != nil {
		return err
	}
	if err := w.Finish(); err != nil {
		return err
	}
	r.loaded(f.Counts, f)
	return nil
}

// merge adds the entries of a piece one by one, digesting them as they pass.
func (r *restore) merge(ctx context.Context, ingester export.Ingester, p piece) (err error) {
	src, err := openSource(ctx, r.bucket.Bucket, p, r.info.Order, p.span)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	loader, err := ingester.Load(ctx, p.span)
	if err != nil {
		return err
	}
	var counts sink.Counts
	part := r.proof.part()
	for src.Next() {
		e := src.Entry()
		counts.Add(e)
		if err := part.add(e); err != nil {
			return err
		}
		if err := loader.Add(e); err != nil {
			return err
		}
	}
	if err := src.Err(); err != nil {
		return err
	}
	if err := loader.Finish(); err != nil {
		return err
	}
	part.done(p)
	r.loaded(counts, p.files...)
	return nil
}

// reread digests a piece that was linked.
func (r *restore) reread(ctx context.Context, p piece) (err error) {
	src, err := openSource(ctx, r.bucket.Bucket, p, r.info.Order, p.span)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	part := r.proof.part()
	for src.Next() {
		if err := part.add(src.Entry()); err != nil {
			return err
		}
	}
	part.done(p)
	return src.Err()
}

// loaded notes entries that were put into the destination, and the files they came
// from. A file of which several parts are wanted is one file all the same.
func (r *restore) loaded(counts sink.Counts, files ...leveledFile) {
	r.mu.Lock()
	r.counts = r.counts.Plus(counts)
	r.mu.Unlock()
	for _, f := range files {
		r.report.add(f.Size)
		if r.first(f) {
			r.report.file(fileInfo(f.File))
		}
	}
}

// first counts a file that was not loaded before.
func (r *restore) first(f leveledFile) bool {
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
		From: tip.LayerInfo, AsOf: r.chain.AsOf, Spans: r.spans, Proof: r.proof.kind(r.spans),
		Stats: Stats{
			Keys: r.counts.Sets, Deletions: r.counts.Deletes + r.counts.RangeDeletes, RangeKeys: r.counts.RangeKeys,
			LogicalBytes: r.counts.LogicalBytes, StoredBytes: r.stored, Files: int64(len(r.taken)),
			Requests: r.meter.Requests(), Retries: r.meter.Retries(),
			Duration: r.c.opts.Now().Sub(r.begun), Changes: tip.Stats.Changes,
		},
	}
	r.c.opts.Logger.Info("restore committed", "collection", r.c.name, "layer", tip.ID,
		"keys", out.Stats.Keys, "stored_bytes", out.Stats.StoredBytes, "proof", out.Proof.String(), "duration", out.Stats.Duration)
	r.report.layer(tip.LayerInfo)
	return out
}
