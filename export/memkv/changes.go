package memkv

import (
	"context"
	"fmt"

	"github.com/varvekv/varve/export"
)

// comparable is a snapshot of a store of single revisions, which knows what changed
// after its base, and what changes replaced.
type comparable struct{ *snapshot }

var _ export.Differ = (*comparable)(nil)

// Changes implements [export.Differ].
func (s *comparable) Changes(ctx context.Context, req export.Request) (export.Changes, error) {
	return s.changes(ctx, req)
}

// base is the named snapshot to compare with, nil if there is none. Versions never
// change, so that it may be released meanwhile. It needs mu.
func (db *database) base(name string) *kept {
	k := db.named[name]
	if k == nil || k.released || k.lineage != db.lineage {
		return nil
	}
	return k
}

// changes compares the whole states: nothing here is large.
func (s *snapshot) changes(ctx context.Context, req export.Request) (export.Changes, error) {
	w, err := s.window(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("changes %s: %w", req.Span, err)
	}
	if s.base == nil || s.base.at != req.Since {
		return nil, fmt.Errorf("changes %s since %s: no such base: %w", req.Span, req.Since, export.ErrNoBase)
	}
	w.since = export.Timestamp{}
	before := w
	before.until = s.base.until
	whole := req
	whole.Resume = nil
	c := export.Compare(s.store.db.order, s.cursor(ctx, s.base.version, before, whole), s.cursor(ctx, s.version, w, whole))
	if p := clonePosition(req.Resume); p != nil {
		c = export.After(s.store.db.order, c, *p)
	}
	return c, nil
}
