package memkv

import (
	"context"
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
)

// staging is what was loaded and waits for a commit. One with a name outlives its
// ingester and the process; a store has at most one of these.
type staging struct {
	name  string
	spans []export.Span
	loads []load
	owner *ingester
}

// load is what one loader has finished.
type load struct {
	span    export.Span
	entries []export.Entry
	by      *ingester
}

// ingester implements [export.Ingester].
type ingester struct {
	store     *Store
	opts      export.IngestOptions
	published []export.Object // under db.mu
	staging   *staging        // nil after Commit and Abort; under db.mu
}

// Ingest implements [export.Store]. What is loaded becomes part of the store at
// one new timestamp; those of the entries are not kept. With a lineage the
// history of the store begins anew at that timestamp.
//
// Who resumes a name may load a span again that a loader of before has finished,
// in place of what that one loaded.
func (s *Store) Ingest(ctx context.Context, opts export.IngestOptions) (export.Ingester, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	opts.Spans = cloneSpans(opts.Spans)
	if err := s.db.checkIngest(opts); err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	in := &ingester{store: s, opts: opts}
	staged, err := s.db.stage(opts)
	if err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	staged.owner, in.staging = in, staged
	return in, nil
}

func cloneSpans(spans []export.Span) []export.Span {
	cloned := make([]export.Span, len(spans))
	for i, s := range spans {
		cloned[i] = s.Clone()
	}
	return cloned
}

func (db *database) checkIngest(opts export.IngestOptions) error {
	if err := checkName(opts.Name); err != nil {
		return err
	}
	for i, span := range opts.Spans {
		if err := db.checkSpan(span); err != nil {
			return err
		}
		for _, other := range opts.Spans[:i] {
			if span.Overlaps(db.order, other) {
				return fmt.Errorf("spans %s and %s overlap", other, span)
			}
		}
	}
	return db.checkEmpty(opts)
}

// checkEmpty is a *export.NotEmptyError where a span holds what must not be lost.
func (db *database) checkEmpty(opts export.IngestOptions) error {
	if opts.Replace {
		return nil
	}
	v := db.freeze()
	for _, span := range opts.Spans {
		if _, ok := newStream(db, v, span, window{until: db.last}, nil).next(); ok {
			return &export.NotEmptyError{Span: span}
		}
	}
	return nil
}

// stage is the staging area for opts: that of the name, or a new one.
func (db *database) stage(opts export.IngestOptions) (*staging, error) {
	if opts.Name == "" {
		return &staging{spans: opts.Spans}, nil
	}
	if db.staging != nil && db.staging.name == opts.Name {
		if !db.sameSpans(db.staging.spans, opts.Spans) {
			return nil, fmt.Errorf("resume %s: it was begun for other spans", opts.Name)
		}
		return db.staging, nil
	}
	db.staging = &staging{name: opts.Name, spans: opts.Spans}
	return db.staging, nil
}

func (db *database) sameSpans(a, b []export.Span) bool {
	return slices.EqualFunc(a, b, func(s, t export.Span) bool {
		return s.Covers(db.order, t) && t.Covers(db.order, s)
	})
}

// usable is why no call can be served now. It needs db.mu.
func (in *ingester) usable(ctx context.Context) error {
	if err := in.store.usable(ctx); err != nil {
		return err
	}
	switch {
	case in.staging == nil, in.staging.owner != in:
		return export.ErrClosed
	case in.staging.name != "" && in.store.db.staging != in.staging:
		return fmt.Errorf("another name has cleared the staging area: %w", export.ErrClosed)
	}
	return nil
}

// Abort implements [export.Ingester].
func (in *ingester) Abort() error {
	db := in.store.db
	db.mu.Lock()
	defer db.mu.Unlock()
	if in.store.closed {
		return nil
	}
	if in.staging != nil && in.staging == db.staging && in.staging.owner == in {
		db.staging = nil
	}
	in.staging = nil
	return nil
}
