package varve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/objectio"
)

// VerifyLevel says how much Verify proves. Each level includes those before it.
type VerifyLevel int

const (
	// VerifyExists: manifests and file lists can be read, every file is there.
	VerifyExists VerifyLevel = iota + 1
	// VerifySize: and is as long as it was.
	VerifySize
	// VerifyHash: and every stored byte is the one that was written. Storage alone
	// is enough for this; the levels after it need to know the order of keys.
	VerifyHash
	// VerifyOrder: and the tables can be read, their keys are in order and in
	// bounds, and as many as were written.
	VerifyOrder
	// VerifyDigest: and the state in them has the digest that was taken of the store.
	VerifyDigest
	// VerifyRehearsal: and it has it still after a restore into Scratch.
	VerifyRehearsal
)

var verifyNames = [...]string{"default", "exists", "size", "hash", "order", "digest", "rehearsal"}

// String is the level's name in lower case.
func (l VerifyLevel) String() string {
	if l < 0 || int(l) >= len(verifyNames) {
		return fmt.Sprintf("VerifyLevel(%d)", int(l))
	}
	return verifyNames[l]
}

// VerifyOptions say how a layer is verified. A nil pointer and the zero value are
// the defaults.
type VerifyOptions struct {
	// Level is how much is proved. 0: VerifyHash.
	Level VerifyLevel
	// Scratch is a throwaway store for VerifyRehearsal: empty, and of the layer's
	// order. It can be read back, as a Pebble database in memory can.
	Scratch export.Store
	// Record notes in the collection that the layer was verified, if nothing is wrong: a
	// Policy takes into account what was verified at VerifyHash or above. It needs the
	// right to write.
	Record bool
	// Concurrency is how many files are read at once. 0: GOMAXPROCS.
	Concurrency int
	// BytesPerSecond limits traffic from the bucket. 0: unlimited.
	BytesPerSecond int64
	// Events are told of progress.
	Events *Events
}

// Report says what Verify has found.
type Report struct {
	Chain       []LayerInfo // the layers that a restore of the last one needs
	Level       VerifyLevel
	Files       int64
	StoredBytes int64
	Entries     int64 // read, from VerifyOrder on
	Requests    int64
	Duration    time.Duration
	Problems    []error // mostly *CorruptError, each naming its object
}

// Err is nil if no problem was found, else all of them.
func (r *Report) Err() error { return errors.Join(r.Problems...) }

// Verify reads a layer, and those that a restore of it needs, as far as the level
// asks. From is Latest, a path, or a layer ID; "" is Latest. The error is not nil
// if the layer has a problem, and the report, if there is one, lists all of them.
func (c *Collection) Verify(ctx context.Context, from string, opts *VerifyOptions) (*Report, error) {
	v, err := c.newVerification(valueOf(opts))
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", c.name, err)
	}
	report, err := v.verify(ctx, from)
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		return report, fmt.Errorf("verify %s: %w", c.name, denied("read", "files", err))
	}
	return report, nil
}

// verification is one call of Verify.
type verification struct {
	c      *Collection
	opts   VerifyOptions
	meter  *objectio.Meter
	events *reporter
	begun  time.Time

	bucket  *collectionBucket
	chain   *Chain
	content *content

	mu      sync.Mutex
	report  *Report
	partial bool            // of the chain or a list not all could be read
	damaged map[string]bool // paths of files of which a problem is known
}

func (c *Collection) newVerification(opts VerifyOptions) (*verification, error) {
	if opts.Level == 0 {
		opts.Level = VerifyHash
	}
	switch {
	case opts.Level < VerifyExists || opts.Level > VerifyRehearsal:
		return nil, &OptionError{Field: "Level", Reason: fmt.Sprintf("%d is not known", opts.Level)}
	case opts.Level == VerifyRehearsal && opts.Scratch == nil:
		return nil, &OptionError{Field: "Scratch", Reason: "is needed for a rehearsal: an empty store to restore into"}
	}
	if err := notNegative(amount{"Concurrency", int64(opts.Concurrency)}, amount{"BytesPerSecond", opts.BytesPerSecond}); err != nil {
		return nil, err
	}
	opts.Concurrency = cmp.Or(opts.Concurrency, runtime.GOMAXPROCS(0))
	events, meter := newReporter(opts.Events, c.opts.Now, opts.BytesPerSecond)
	return &verification{
		c: c, opts: opts, meter: meter, begun: c.opts.Now(), damaged: map[string]bool{},
		events: events, report: &Report{Level: opts.Level},
	}, nil
}

// verify climbs the levels. A problem of one object does not end it: the others are
// looked at too, so that the report is complete. But where a manifest or a list is
// damaged, nobody knows what the keys are, and no more than hashes are compared.
func (v *verification) verify(ctx context.Context, from string) (*Report, error) {
	if err := v.resolve(ctx, from); err != nil {
		return nil, err
	}
	defer v.c.reads(ctx, v.bucket, v.chain)()
	climb := []struct {
		level VerifyLevel
		check func(context.Context) error
	}{
		{VerifyExists, v.sizes},
		{VerifyHash, v.hashes},
		{VerifyOrder, v.entries},
		{VerifyRehearsal, v.rehearse},
	}
	for _, step := range climb {
		if v.opts.Level < step.level || v.partial && step.level > VerifyHash {
			break
		}
		if err := step.check(ctx); err != nil {
			return v.finish(), err
		}
	}
	v.events.end()
	if err := v.record(ctx); err != nil {
		return v.finish(), err
	}
	if len(v.report.Problems) == 0 {
		v.events.layer(v.chain.tip().LayerInfo)
	}
	return v.finish(), nil
}

func (v *verification) finish() *Report {
	v.report.Requests = v.meter.Requests()
	v.report.Duration = v.c.opts.Now().Sub(v.begun)
	return v.report
}

// resolve reads manifests and file lists, which hash one another.
func (v *verification) resolve(ctx context.Context, from string) (err error) {
	if v.bucket, err = v.c.gate(ctx, v.c.bucket.With(v.meter)); err != nil {
		return err
	}
	if err := v.follow(ctx, from); err != nil {
		return err
	}
	for _, l := range v.chain.Layers {
		v.report.Chain = append(v.report.Chain, l.LayerInfo)
	}
	var errs []error
	read := shownList
	if v.opts.Level >= VerifyOrder {
		read = openList
	}
	v.content, errs = v.bucket.readable(ctx, v.chain.Layers, read)
	for _, err := range errs {
		v.partial = true
		if err := v.problem(err.Error(), err); err != nil {
			return err
		}
	}
	v.report.Files = int64(len(v.content.files))
	var total int64
	for _, f := range v.content.files {
		total += f.Size
	}
	v.events.begin(PhaseVerify, total)
	if v.opts.Level < VerifyOrder {
		return nil
	}
	return v.fit(ctx)
}

// follow finds the chain. If it is broken, all that is wrong with its manifests
// becomes part of the report, and the layers that can be read are the chain.
func (v *verification) follow(ctx context.Context, from string) error {
	tip, err := v.bucket.find(ctx, from)
	if err != nil {
		return err
	}
	v.chain, err = v.bucket.chain(ctx, tip)
	if err == nil || !isBroken(err) {
		return err
	}
	layers, errs := v.bucket.survey(ctx, tip)
	if len(layers) == 0 {
		return err
	}
	v.chain, v.partial = &Chain{Layers: layers, AsOf: tip.End}, true
	v.report.Problems = append(v.report.Problems, err)
	for _, other := range errs {
		switch {
		case !isBroken(other):
			return other
		case other.Error() != err.Error():
			v.report.Problems = append(v.report.Problems, other)
		}
	}
	return nil
}

// fit finds the order of keys: that of the scratch store, or one that the
// collection was opened with.
func (v *verification) fit(ctx context.Context) error {
	orders := v.bucket.orders
	if v.opts.Scratch != nil {
		info, err := v.opts.Scratch.Info(ctx)
		if err != nil {
			return fmt.Errorf("scratch store: %w", err)
		}
		orders = append(orders, info.Order)
	}
	m := v.chain.tip().Manifest
	order, err := m.checkOrder(orders...)
	if err != nil {
		return err
	}
	if v.opts.Level >= VerifyDigest && m.Digest == nil {
		return &OptionError{Field: "Level", Reason: fmt.Sprintf("%s needs a digest, and the backup was taken without", v.opts.Level)}
	}
	if v.partial {
		return nil
	}
	err = v.content.fit(order)
	v.partial = err != nil
	return v.problem("fit", err)
}

// problem notes what is wrong with a file, once. What is no statement about the
// collection, such as a lost connection or a cancelled context, ends the run.
func (v *verification) problem(path string, err error) error {
	var corrupt *CorruptError
	if err == nil || !errors.As(err, &corrupt) {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.damaged[path] {
		v.damaged[path] = true
		v.report.Problems = append(v.report.Problems, corrupt)
	}
	return nil
}

func (v *verification) isDamaged(path string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.damaged[path]
}

// eachFile runs a check over the files that are not known to be damaged.
func (v *verification) eachFile(ctx context.Context, check func(context.Context, *leveledFile) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(v.opts.Concurrency)
	for i := range v.content.files {
		f := &v.content.files[i]
		g.Go(func() error {
			if gctx.Err() != nil {
				return gctx.Err()
			}
			if v.isDamaged(f.Path) {
				return nil
			}
			return v.problem(f.Path, check(gctx, f))
		})
	}
	return g.Wait()
}
