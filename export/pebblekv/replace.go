package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/tables"
)

// replacement is how spans lose what they hold, all in the one ingest that brings the
// new: Pebble excises one span of an ingest, and in others deletions do it that the
// tables of the load bring along.
type replacement struct {
	excised *export.Span // nil: none
	cleared []export.Span
}

// replacementOf excises a single span, into which whole tables can be linked then, and one
// without end, which no deletion reaches.
func (s *Store) replacementOf(opts export.IngestOptions) (how replacement, err error) {
	if !opts.Replace {
		return how, nil
	}
	v := s.db.FormatMajorVersion()
	excises := v >= pebble.FormatVirtualSSTables
	for _, span := range opts.Spans {
		switch {
		case len(span.End) > 0 && (len(opts.Spans) > 1 || !excises):
			how.cleared = append(how.cleared, span.Clone())
		case excises:
			excised := span.Clone()
			how.excised = &excised
		default:
			return how, fmt.Errorf("replace %s: the database has format major version %d, a span without end takes %d: %w", span, v, pebble.FormatVirtualSSTables, errors.ErrUnsupported)
		}
	}
	return how, nil
}

func (in *ingester) publish(ctx context.Context, paths []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	db := in.store.db
	return guard(func() error {
		if in.how.excised == nil {
			return db.Ingest(ctx, paths)
		}
		span, err := in.exciseSpan(ctx, paths)
		if err != nil {
			return err
		}
		_, err = db.IngestAndExcise(ctx, paths, nil, nil, span)
		return err
	})
}

// exciseSpan is the span to replace, with the end that Pebble requires: where it
// is open, the first prefix after everything that the database and the load hold.
func (in *ingester) exciseSpan(ctx context.Context, paths []string) (pebble.KeyRange, error) {
	span := pebble.KeyRange{Start: append([]byte{}, in.how.excised.Start...), End: in.how.excised.End} // a nil Start is no range to Pebble
	if len(span.End) > 0 {
		return span, nil
	}
	c := in.store.pebble.Comparer
	if c.ImmediateSuccessor == nil {
		return span, fmt.Errorf("replace %s: comparer %s has no ImmediateSuccessor to end it: %w", in.how.excised, c.Name, errors.ErrUnsupported)
	}
	last, err := in.store.lastPrefix(ctx)
	if err != nil {
		return span, err
	}
	last = maxKey(c, last, span.Start)
	for _, path := range paths {
		key, err := tables.LastPrefix(ctx, in.store.fs, path, in.store.pebble)
		if err != nil {
			return span, err
		}
		last = maxKey(c, last, key)
	}
	span.End = c.ImmediateSuccessor(nil, last)
	return span, nil
}

func maxKey(c *pebble.Comparer, a, b []byte) []byte {
	if c.Compare(a, b) < 0 {
		return b
	}
	return a
}

// lastPrefix is the bare prefix of the last key, or the end of the last range
// key, that a reader of the database sees; nil if it sees none.
func (s *Store) lastPrefix(ctx context.Context) (_ []byte, err error) {
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{KeyTypes: pebble.IterKeyTypePointsAndRanges})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.Last() {
		return nil, it.Error()
	}
	last := it.Key()
	if _, hasRange := it.HasPointAndRange(); hasRange {
		_, last = it.RangeBounds()
	}
	return slices.Clone(last[:s.pebble.Comparer.Split(last)]), nil
}
