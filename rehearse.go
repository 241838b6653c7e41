package varve

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvekv/varve/export"
)

// rehearse restores the layer into the scratch store and digests what is then
// seen there.
func (v *verification) rehearse(ctx context.Context) error {
	if len(v.report.Problems) > 0 {
		return nil // a restore would refuse, and say no more than is known
	}
	m := v.chain.tip().Manifest
	if len(m.Spans) == 0 {
		return nil // its objects have no data
	}
	targets := Spans(v.opts.Scratch, m.Spans...)
	if m.Complete {
		targets = Cluster(v.opts.Scratch)
	}
	r, err := v.c.newRestore(targets, RestoreOptions{
		From: m.Layer, Concurrency: v.opts.Concurrency, BytesPerSecond: v.opts.BytesPerSecond, SkipLocalityCheck: true,
	})
	if err == nil {
		err = r.rehearse(ctx)
	}
	if err != nil {
		return v.problem("rehearsal", fmt.Errorf("restore from %s: %w", v.c.name, denied("read", "files", err)))
	}
	check := newRowCheck(v.content.order, v.content.rows)
	check.stateOnly = true
	if err := v.scan(ctx, m.Spans, check); err != nil {
		return v.problem("rehearsal", err)
	}
	return v.problem("rehearsal", check.compare("the rehearsed restore of layer "+m.Layer))
}

// rehearse restores, and is no job.
func (r *restore) rehearse(ctx context.Context) (err error) {
	if err := r.find(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.leave()) }()
	_, err = r.restore(ctx)
	return err
}

// scan digests spans of the scratch store.
func (v *verification) scan(ctx context.Context, spans []Span, check *rowCheck) (err error) {
	s, err := v.opts.Scratch.Snapshot(ctx, export.SnapshotOptions{})
	if err != nil {
		return fmt.Errorf("scratch store: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, span := range spans {
		if err := scanSpan(ctx, s, v.content.order, span, check, nil); err != nil {
			return fmt.Errorf("scratch store %s: %w", span, err)
		}
	}
	return nil
}

// scanSpan digests one span of a snapshot in one piece. Pass, unless nil, is told of the
// bytes that were read.
func scanSpan(ctx context.Context, s export.Snapshot, order *export.Order, span Span, check *rowCheck, pass func(n int64) error) (err error) {
	cursor, err := s.Export(ctx, export.Request{Span: span})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cursor.Close()) }()
	return check.addAll(&paced{Cursor: guard(cursor, order, span), pass: pass})
}
