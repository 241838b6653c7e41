package varve

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
)

// exportState writes what is in the span of a task.
func (r *run) exportState(ctx context.Context, s export.Snapshot, t task, w *tallyWriter) (rest *behind, err error) {
	if t.by == introduced {
		if err := r.cutOlder(t.span, w); err != nil {
			return nil, err
		}
	}
	req := export.Request{Span: t.span, Revisions: r.opts.RevisionHistory, Locks: t.policy()}
	cursor, err := r.read(ctx, s, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cursor.Close()) }()
	var count func(e *export.Entry) error
	if req.Revisions && !r.opts.NoDigest {
		w.live = newLiveRows(r.info, t.span.Start, min(digest.RowBytes, r.opts.TargetFileBytes))
		count = func(e *export.Entry) error {
			w.live.add(e)
			return nil
		}
	}
	err = r.copy(w, r.paced(ctx, r.guard(cursor, req)), count)
	if rest = r.split(&t, w, err); rest != nil {
		err = nil
	}
	return rest, err
}

// cutOlder hides what older layers have in a span that is introduced. Readers leave
// that out by themselves, and must where the span has no end to name; tables that are
// linked over others carry it with them. Revisions have no such form: their order is
// that of timestamps.
func (r *run) cutOlder(span Span, w *tallyWriter) error {
	if r.info.Revisions || len(span.End) == 0 {
		return nil
	}
	for _, kind := range []export.Kind{export.DeleteRange, export.RangeKeyDelete} {
		if err := w.Writer.Add(&export.Entry{Kind: kind, Key: span.Start, End: span.End}); err != nil { // not counted: it is no change
			return err
		}
	}
	return nil
}

// exportChanges writes what the store says has changed, and counts it in the ledger
// if it says what was replaced.
func (r *run) exportChanges(ctx context.Context, s export.Snapshot, t task, w *tallyWriter) (rest *behind, err error) {
	req := export.Request{Span: t.span, Since: r.parent.End, Revisions: r.opts.RevisionHistory, Locks: t.policy()}
	if r.told {
		return r.exportTold(ctx, s, t, req, w)
	}
	cursor, err := r.read(ctx, s, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cursor.Close()) }()
	err = r.copy(w, r.paced(ctx, r.guard(cursor, req)), nil)
	if rest = r.split(&t, w, err); rest != nil {
		err = nil
	}
	return rest, err
}

// exportTold writes changes and counts them, for the ledger once they are stored. Of a key with several revisions the newest
// one counts. Where a range reaches beyond a lock nothing was counted, for the whole task
// is tried again.
func (r *run) exportTold(ctx context.Context, s export.Snapshot, t task, req export.Request, w *tallyWriter) (rest *behind, err error) {
	changes, err := r.readChanges(ctx, s, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, changes.Close()) }()
	w.part = r.ledger.part()
	order := r.info.Order.WithDefaults()
	var last, reach []byte // key of the point before, and farthest end of a range
	err = r.copy(w, r.paced(ctx, r.guard(changes, req)), func(e *export.Entry) error {
		if req.Revisions && !e.Kind.IsRange() {
			if last != nil && bytes.Equal(last, e.Key) {
				return nil
			}
			last = append(last[:0], e.Key...)
		}
		if e.Kind.IsRange() && order.Compare(reach, e.End) < 0 {
			reach = append(reach[:0], e.End...)
		}
		return count(w.part, e, changes.Former())
	})
	if l := locked(err); l != nil && order.Compare(reach, l.Key[:order.Split(l.Key)]) <= 0 {
		if rest = r.split(&t, w, err); rest != nil {
			err = nil
		}
	}
	return rest, err
}

// copy writes entries, and counts each once it is written: a file that it ends has what was
// counted before. Deletes that a DeleteRange beside them
// covers are counted only.
func (r *run) copy(w *tallyWriter, entries export.Cursor, count func(*export.Entry) error) error {
	order := r.info.Order.WithDefaults()
	var gone []byte // end of the last DeleteRange
	for entries.Next() {
		e := entries.Entry()
		if e.Kind == export.DeleteRange && order.Compare(gone, e.End) < 0 {
			gone = append(gone[:0], e.End...)
		}
		if e.Kind != export.Delete || r.info.Revisions || order.Compare(e.Key, gone) >= 0 {
			if err := w.Add(e); err != nil {
				return err
			}
		}
		if count != nil {
			if err := count(e); err != nil {
				return err
			}
		}
	}
	return entries.Err()
}

// count accounts for a change: what it replaced is gone, and what it is is there.
func count(ledger *rowPart, e, former *export.Entry) error {
	if former != nil {
		if err := ledger.remove(former); err != nil {
			return err
		}
	}
	if e.Kind == export.Set || e.Kind == export.RangeKeySet {
		return ledger.add(e)
	}
	return nil
}

// behind is what is left of a task because of a lock.
type behind struct {
	task task
	lock error
}

// split makes the task end before the lock that it has met, and is what comes after; nil
// if there is no lock or nothing comes before it, or if it is not known what.
func (r *run) split(t *task, w *tallyWriter, err error) *behind {
	l := locked(err)
	if l == nil {
		return nil
	}
	rest := &behind{task: *t, lock: err}
	rest.task.span.Start = slices.Clone(l.Key[:r.info.Order.WithDefaults().Split(l.Key)])
	if !w.EndAt(rest.task.span.Start) {
		return nil
	}
	t.span.End, rest.task.pushing = rest.task.span.Start, 0
	return rest
}
