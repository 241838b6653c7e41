package varve

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvekv/varve/export"
)

// aim finds out what the targets are, and whether they can and may be backed up. Nothing is
// written. Where a catalog tells, it is looked at in a snapshot of its own, for the one that is
// exported wants to know its spans; that one then is of the same moment, or has the same
// catalog.
func (r *run) aim(ctx context.Context) error {
	ask := authorization(r.opts.Authorize)
	if err := ask.targets(ctx, r.targets, PrivilegeBackup, r.targets.spans); err != nil {
		return err
	}
	if !r.targets.named() && r.opts.Authorize == nil {
		return nil
	}
	seen, err := r.glance(ctx)
	if err != nil || seen == nil {
		return err
	}
	if r.targets.named() {
		if err := r.exclude(seen.spans); err != nil {
			return err
		}
	}
	if err := r.checkNeeds(seen.now); err != nil {
		return err
	}
	r.seen = seen
	return ask.objects(ctx, PrivilegeBackup, seen.now.objects, seen.now.catalog.path)
}

// glance looks at the catalog of a snapshot that is taken for this alone.
func (r *run) glance(ctx context.Context) (_ *sighting, err error) {
	s, err := r.targets.store.Snapshot(ctx, export.SnapshotOptions{AsOf: r.asOf, After: r.layer.Start})
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if r.info.Revisions && r.targets.named() {
		r.asOf = s.Timestamp()
	}
	return r.see(ctx, s)
}

// exclude leaves deliberate holes.
func (r *run) exclude(spans []Span) error {
	holes, err := sortedSpans(r.info.Order, r.opts.Exclude)
	var target *TargetError
	if errors.As(err, &target) {
		return &OptionError{Field: "Exclude", Reason: target.Name + " " + target.Reason}
	}
	r.excluded = intersectSpans(r.info.Order, spans, holes)
	r.spans = subtractSpans(r.info.Order, spans, holes)
	if len(r.spans) == 0 && !r.targets.named() {
		return &OptionError{Field: "Exclude", Reason: "leaves nothing to back up"}
	}
	return nil
}

// checkNeeds says which dependency would be missing, or notes those that may.
func (r *run) checkNeeds(s *selection) error {
	for _, m := range s.missing() {
		if !r.opts.AllowMissing {
			return m
		}
		r.missing = append(r.missing, Missing(*m))
	}
	return nil
}

// observe reads the catalog as of the layer's end.
func (r *run) observe(ctx context.Context, s export.Snapshot) error {
	seen, err := r.see(ctx, s)
	if err != nil {
		return err
	}
	if r.targets.named() && !equalSpans(seen.spans, r.seen.spans) {
		return fmt.Errorf("the store's catalog changed meanwhile: %w", ErrConflict)
	}
	r.seen = seen
	return nil
}
