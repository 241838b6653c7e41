package memkv

import (
	"context"
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
)

// loader implements [export.Loader].
type loader struct {
	ctx      context.Context
	in       *ingester
	span     export.Span
	entries  []export.Entry
	finished bool
}

// Load implements [export.Ingester].
func (in *ingester) Load(ctx context.Context, span export.Span) (export.Loader, error) {
	db := in.store.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := in.usable(ctx); err != nil {
		return nil, fmt.Errorf("load %s: %w", span, err)
	}
	if err := db.checkSpan(span); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if !slices.ContainsFunc(in.opts.Spans, func(s export.Span) bool { return s.Covers(db.order, span) }) {
		return nil, fmt.Errorf("load %s: not in a span of the ingest", span)
	}
	if err := in.checkLoaded(span); err != nil {
		return nil, fmt.Errorf("load %s: %w", span, err)
	}
	return &loader{ctx: ctx, in: in, span: span.Clone()}, nil
}

// checkLoaded refuses a span that was loaded, unless somebody else loaded exactly
// this span under the same name before. It needs db.mu.
func (in *ingester) checkLoaded(span export.Span) error {
	order := in.store.db.order
	for _, l := range in.staging.loads {
		if l.span.Overlaps(order, span) && (l.by == in || !isSame(order, l.span, span)) {
			return fmt.Errorf("span %s was loaded before", l.span)
		}
	}
	return nil
}

func isSame(o *export.Order, s, t export.Span) bool { return s.Covers(o, t) && t.Covers(o, s) }

// Add implements [export.Loader].
func (l *loader) Add(e *export.Entry) error {
	if err := l.usable(); err != nil {
		return fmt.Errorf("load %s: %w", l.span, err)
	}
	if err := l.check(e); err != nil {
		return fmt.Errorf("load %s: %s %q: %w", l.span, e.Kind, e.Key, err)
	}
	l.entries = append(l.entries, cloneEntry(e))
	return nil
}

// check refuses entries of other kinds than a state has, outside of the span, or
// out of order.
func (l *loader) check(e *export.Entry) error {
	o := l.in.store.db.order
	switch e.Kind {
	case export.Set:
		if !l.span.Contains(o, e.Key) {
			return fmt.Errorf("outside of the span")
		}
	case export.RangeKeySet:
		reach := export.Span{Start: e.Key, End: e.End}
		if len(e.End) == 0 || reach.IsEmpty(o) || !l.span.Covers(o, reach) {
			return fmt.Errorf("its end %q is outside of the span", e.End)
		}
	default:
		return fmt.Errorf("a state has no such entry")
	}
	if len(l.entries) == 0 {
		return nil
	}
	last := &l.entries[len(l.entries)-1]
	if c := o.Compare(last.Key, e.Key); c > 0 || c == 0 && last.Kind == export.Set {
		return fmt.Errorf("not after %s %q", last.Kind, last.Key)
	}
	return nil
}

// Finish implements [export.Loader].
func (l *loader) Finish() error {
	if err := l.usable(); err != nil {
		return fmt.Errorf("finish %s: %w", l.span, err)
	}
	db := l.in.store.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := l.in.usable(l.ctx); err != nil {
		return fmt.Errorf("finish %s: %w", l.span, err)
	}
	if err := l.in.checkLoaded(l.span); err != nil {
		return fmt.Errorf("finish %s: %w", l.span, err)
	}
	staged := l.in.staging
	staged.loads = slices.DeleteFunc(staged.loads, func(old load) bool { return isSame(db.order, old.span, l.span) })
	staged.loads = append(staged.loads, load{span: l.span, entries: l.entries, by: l.in})
	l.finished, l.entries = true, nil
	return nil
}

func (l *loader) usable() error {
	if l.finished {
		return fmt.Errorf("finished: %w", export.ErrClosed)
	}
	l.in.store.db.mu.Lock()
	defer l.in.store.db.mu.Unlock()
	return l.in.usable(l.ctx)
}
