package varve

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvekv/varve/export"
)

// RestoreOptions say what is restored and how. A nil pointer and the zero value are
// the defaults.
type RestoreOptions struct {
	// From is the layer to restore: Latest, a path, or a layer ID. "": the newest
	// that ends at AsOf, or Latest.
	From string
	// AsOf is the moment to restore. Zero: the end of From.
	AsOf Timestamp
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
	// Events are told of progress.
	Events *Events
	// Collection is for Restore by URL; methods of Collection refuse it.
	Collection *CollectionOptions
}

// Restored says what a restore put into the destination.
type Restored struct {
	From  LayerInfo
	AsOf  Timestamp
	Spans []Span
	Stats Stats
	Proof Proof
}

// Proof is how what was restored is known to be what was backed up.
type Proof int

const (
	// ProofHashes: every stored byte had the hash that its writer recorded.
	ProofHashes Proof = iota + 1
	// ProofDigest: and the state had the digest that was taken of the store.
	ProofDigest
)

// String is "hashes" or "digest".
func (p Proof) String() string {
	switch p {
	case ProofHashes:
		return "hashes"
	case ProofDigest:
		return "digest"
	}
	return fmt.Sprintf("Proof(%d)", int(p))
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

// Restore loads the targets into the store they name. Cluster restores a whole
// store into an empty one, which gets a new lineage; Spans restores just those.
// Nothing is visible in the store until all of it is; if the restore fails or ctx
// is cancelled, nothing is left behind, unless the error wraps
// [export.ErrCommitAgain]: all of it is visible then and may not survive a crash. Nobody else may write to the spans
// meanwhile.
func (c *Collection) Restore(ctx context.Context, targets Targets, opts *RestoreOptions) (*Restored, error) {
	r, err := c.newRestore(targets, valueOf(opts))
	if err != nil {
		return nil, fmt.Errorf("restore from %s: %w", c.name, err)
	}
	restored, err := r.restore(ctx)
	if err != nil {
		return nil, fmt.Errorf("restore from %s: %w", c.name, denied("read", "files", err))
	}
	return restored, nil
}

// restore is the whole of it. The destination is not touched before the layers are
// found complete, and shows nothing before Commit.
func (r *restore) restore(ctx context.Context) (_ *Restored, err error) {
	if err := r.resolve(ctx); err != nil {
		return nil, err
	}
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	ingester, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ingester.Abort()) }()
	if err := r.load(ctx, ingester); err != nil {
		return nil, err
	}
	if err := r.prove(ctx); err != nil {
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
	wanted, err := r.targets.resolve(r.info.Order)
	if err != nil {
		return err
	}
	if r.bucket, err = r.c.gate(ctx, r.c.bucket.With(r.meter)); err != nil {
		return err
	}
	if r.chain, err = r.bucket.resolve(ctx, r.opts.From, r.opts.AsOf); err != nil {
		return err
	}
	if err := r.fits(wanted); err != nil {
		return err
	}
	if r.content, err = r.bucket.content(ctx, r.chain); err != nil {
		return err
	}
	return r.content.fit(r.info.Order)
}

// fits compares the layer with the destination and the targets.
func (r *restore) fits(wanted []Span) error {
	m := r.chain.tip().Manifest
	if got := r.info.Order.WithDefaults().Name; got != m.Order {
		return &OrderError{Want: m.Order, Got: got}
	}
	if r.opts.Prove && m.Digest == nil {
		return &OptionError{Field: "Prove", Reason: "the backup was taken without digests"}
	}
	if r.targets.cluster {
		if !m.Complete {
			return &TargetError{Name: "Cluster", Reason: fmt.Sprintf("the backup holds only the spans %v", m.Spans)}
		}
		r.spans = m.Spans
		return nil
	}
	for _, w := range wanted {
		if !coveredBy(r.info.Order, m.Spans, w) {
			return &TargetError{Name: w.String(), Reason: fmt.Sprintf("the backup holds only the spans %v", m.Spans)}
		}
	}
	r.spans = wanted
	return nil
}

// begin opens the destination, which refuses if it holds data.
func (r *restore) begin(ctx context.Context) (export.Ingester, error) {
	opts := export.IngestOptions{Spans: r.spans, Replace: r.opts.Replace}
	var nameErr, lineageErr error
	opts.Name, nameErr = newID(r.c.opts.Rand)
	if r.targets.cluster {
		// The store's history is the backup's from here on and no longer its own.
		opts.Lineage, lineageErr = newID(r.c.opts.Rand)
	}
	if err := errors.Join(nameErr, lineageErr); err != nil {
		return nil, err
	}
	r.c.opts.Logger.Info("restore begins", "collection", r.c.name, "layer", r.chain.tip().ID, "as_of", r.chain.AsOf.String())
	ingester, err := r.targets.store.Ingest(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("destination: %w", err)
	}
	return ingester, nil
}
