package varve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// CompactOptions say what is compacted, and how. A nil pointer and the zero value are the
// defaults.
type CompactOptions struct {
	// First is the path or the ID of the first layer that is merged. If that is an
	// incremental, so is what is made of it and those above. "": the full of the chain, so
	// that all of it becomes a synthetic full.
	First string
	// Rewrite stores again what could be referred to. Else files that nothing else has
	// changed are shared with the layers that have them, and these must stay as long as the
	// compacted layer does.
	Rewrite bool
	// Concurrency is how many files are written at once. 0: GOMAXPROCS.
	Concurrency int
	// TargetFileBytes is the stored size at which a file is ended. 0: 128 MiB; more
	// than 16 GiB is taken for that.
	TargetFileBytes int64
	// BytesPerSecond limits traffic to and from the bucket. 0: unlimited.
	BytesPerSecond int64
	// Compression of what is stored. The zero value is zstd at its fastest level.
	Compression Compression
	// Events are told of progress.
	Events *Events
}

func (o *CompactOptions) complete() error {
	return cmp.Or(notNegative(amount{"BytesPerSecond", o.BytesPerSecond}), completeFiles(o.Compression, &o.Concurrency, &o.TargetFileBytes))
}

// Compact merges layers of a chain into one, from the bucket alone: the chain of from up to
// it into a synthetic full, or from CompactOptions.First on into an incremental. From is
// Latest, a path, or a layer ID; "" is Latest. The new layer has the end and the state of
// from, by digest, and stands for it: what extends from can be restored on the new layer,
// and is, where there is less to read. It becomes part of the chain as a fork does, beside
// the layers that it is made of, which stay as they are until a [Policy] drops them.
//
// Of layers with revision history the new one has it, too, as far back as it is without a
// gap and about the same keys; its Manifest.Oldest says how far. Other moments between the
// merged layers are restored from these as long as they are there.
//
// It returns once the layer is durable. If it fails or ctx is cancelled the chain is as it
// was. What has been compacted already, and a layer that nothing can be merged with, is
// returned as it is. It needs a key that opens, if the layers are sealed, and one that seals.
func (c *Collection) Compact(ctx context.Context, from string, opts *CompactOptions) (*Layer, error) {
	m, err := c.newCompaction(valueOf(opts))
	var layer *Layer
	if err == nil {
		layer, err = m.compact(ctx, from)
	}
	if err != nil {
		return nil, fmt.Errorf("compact %s: %w", c.name, denied("write", "files", err))
	}
	return layer, nil
}

// compaction is one call of Compact.
type compaction struct {
	draft
	opts    CompactOptions
	window  []*Layer  // that are merged, the lowest first
	parent  *Manifest // what the lowest of them is restored on; nil: it is a full
	oldest  Timestamp // moment that the new layer can restore
	order   *export.Order
	content *content       // of the window
	proof   *proof         // of what passes through
	objects []listedObject // of the new layer

	mu    sync.Mutex
	tally *tally // of these; nil: there are none
}

func (c *Collection) newCompaction(opts CompactOptions) (*compaction, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	d, err := c.newDraft(opts.BytesPerSecond, opts.Events)
	return &compaction{draft: d, opts: opts}, err
}

// last is the layer whose state the new one has.
func (m *compaction) last() *Manifest { return m.window[len(m.window)-1].Manifest }

// compact is the whole of it. Until commit has written the manifest there is no layer: a
// crash anywhere before leaves objects that nothing names.
func (m *compaction) compact(ctx context.Context, from string) (_ *Layer, err error) {
	if err := m.choose(ctx, from); err != nil {
		return nil, err
	}
	if done, err := m.done(ctx); done != nil || err != nil {
		return done, err
	}
	defer m.c.reads(ctx, m.bucket, &Chain{Layers: m.window, AsOf: m.last().End})()
	if err := m.read(ctx); err != nil {
		return nil, err
	}
	kept, err := m.untouched(ctx)
	if err != nil {
		return nil, err
	}
	if kept, err = m.referTo(ctx, kept); err != nil {
		return nil, err
	}
	if err := m.seal(ctx); err != nil {
		return nil, err
	}
	if err := m.claim(ctx); err != nil {
		return nil, err
	}
	defer func() { err = m.explain(ctx, err) }()
	defer m.lives(ctx)()
	if err := m.confirm(ctx); err != nil {
		return nil, err
	}
	written, err := m.merge(ctx, m.tasks(kept))
	if err != nil {
		return nil, err
	}
	if err := m.keep(ctx, kept, written); err != nil {
		return nil, err
	}
	return m.commit(ctx, written)
}

// claim takes the path of the layer, or if another has it, one with a suffix.
func (m *compaction) claim(ctx context.Context) error {
	below, err := m.below(ctx)
	if err != nil {
		return err
	}
	m.layer.Path = m.pathBelow(below)
	err = m.createClaim(ctx)
	if errors.Is(err, objectio.ErrExist) {
		err = m.claimBeside(ctx)
	}
	return err
}

// keep adds files to what was written that stay as they are.
func (m *compaction) keep(ctx context.Context, kept []view, written *contents) error {
	for _, v := range kept {
		if err := m.count(ctx, v); err != nil {
			return err
		}
		v.Tier = 0
		written.files = append(written.files, v.File)
	}
	compare := m.order.WithDefaults().Compare
	slices.SortFunc(written.files, func(a, b sink.File) int { return compare(a.Span.Start, b.Span.Start) })
	written.rows, written.objects = m.content.rows, m.counted()
	return nil
}

// commit makes the layer exist, with the digest of the state that it has.
func (m *compaction) commit(ctx context.Context, written *contents) (*Layer, error) {
	if err := m.proof.compare("layer " + m.last().Layer); err != nil {
		return nil, err
	}
	list, objects, err := m.list(ctx, written)
	if err != nil {
		return nil, err
	}
	out := m.manifest(list)
	m.account(out, written)
	m.sealManifest(out, written, objects)
	layer, err := m.publish(ctx, out, written, m.order)
	if err != nil {
		return nil, err
	}
	m.c.opts.Logger.Info("layers compacted", "collection", m.c.name, "layer", layer.ID, "path", layer.Path, "layers", len(m.window),
		"stored_bytes", out.Stats.StoredBytes, "shared_bytes", out.Stats.SharedBytes, "duration", out.Stats.Duration)
	return layer, nil
}

// manifest is that of the last layer, as far as it is about what was backed up.
func (m *compaction) manifest(list FileList) *Manifest {
	last := m.last()
	out := &Manifest{
		Collection: m.bucket.id, Layer: m.layer.ID, Parent: m.layer.ParentID, Chain: m.layer.ChainID, Path: m.layer.Path, Job: m.job,
		Engine: last.Engine, Lineage: last.Lineage,
		Start: m.layer.Start, End: m.layer.End, Oldest: m.oldest,
		Complete: last.Complete, Spans: last.Spans, Introduced: m.introduced(),
		Excluded: last.Excluded, Targets: last.Targets, Missing: last.Missing,
		Order: last.Order, Revisions: last.Revisions, Merger: last.Merger,
		StandsFor: last.Layer, FileList: list, Digest: last.Digest, Stats: Stats{Changes: FromChain},
		Labels: last.Labels, CreatedAt: m.begun.UTC(), Writer: writerName(),
	}
	for _, l := range m.window {
		if m.parent == nil || l.Manifest.StandsFor == "" {
			out.Covers = append(out.Covers, l.ID)
			continue
		}
		out.Covers = append(out.Covers, l.Manifest.Covers...) // of an incremental, backups are counted
	}
	if m.parent != nil && m.parent.Lineage != out.Lineage {
		out.Adopts = m.parent.Lineage
	}
	return out
}
