package varve

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/merge"
)

// Where a store cannot say what changed, on a new machine or because its snapshot was
// released, it is compared with the chain. It is read and digested segment by segment;
// one with the digest that the parent has is as it was, and nothing of it is read from
// the bucket. Others are read a second time, beside the layers.

const (
	// comparedBytes and comparedSegments bound what one task compares.
	comparedBytes    = 128 << 20
	comparedSegments = 64
)

// planComparison reads the file lists of the chain and cuts the segments into tasks.
func (r *run) planComparison(ctx context.Context, s export.Snapshot) ([]task, error) {
	if err := r.parent.readable(); err != nil {
		return nil, fmt.Errorf("the store cannot tell what changed, and the chain cannot be read: %w: take a full, or give a key that opens it", err)
	}
	r.changes = FromChain
	chain, err := r.bucket.chain(ctx, r.parent.info())
	if err != nil {
		return nil, err
	}
	if r.reading == nil {
		r.reading = r.c.reads(ctx, r.bucket, chain)
	}
	if r.chain, err = r.bucket.content(ctx, chain); err != nil {
		return nil, err
	}
	if err := r.chain.fit(r.info.Order); err != nil {
		return nil, err
	}
	all, err := r.comparable(ctx, s)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, seg := range all {
		total += seg.digest.Bytes
	}
	limit := min(max(total/int64(r.opts.Concurrency)/tasksPerWorker, minTaskBytes), comparedBytes)
	var tasks []task
	for _, seg := range all {
		next := task{span: seg.span, bytes: seg.digest.Bytes, by: comparison, segments: []segment{seg}}
		if n := len(tasks); n > 0 {
			last := &tasks[n-1]
			if last.bytes+next.bytes <= limit && len(last.segments) < comparedSegments && last.meets(next, r.spans, r.info.Order) {
				last.span.End, last.bytes = seg.span.End, last.bytes+next.bytes
				last.segments = append(last.segments, seg)
				continue
			}
		}
		tasks = append(tasks, next)
	}
	return tasks, nil
}

// comparable are the segments to compare: by the rows of the parent, or by the
// partitions of the snapshot where it has none.
func (r *run) comparable(ctx context.Context, s export.Snapshot) ([]segment, error) {
	if r.parent.Digest != nil {
		return segments(r.info.Order, r.chain.rows, r.parent.Spans, r.kept), nil
	}
	var all []segment
	for _, span := range r.kept {
		pieces, err := r.partition(ctx, s, span, Timestamp{})
		if err != nil {
			return nil, err
		}
		for _, p := range pieces {
			all = append(all, segment{span: p.span, digest: digest.Digest{Bytes: p.bytes}})
		}
	}
	return all, nil
}

// compareTask writes what differs in the segments of a task, and digests all of it.
func (r *run) compareTask(ctx context.Context, s export.Snapshot, t task, w *tallyWriter) (rows []digest.Row, err error) {
	views := clipViews(r.info.Order, r.chain.views, []Span{t.span})
	for _, seg := range t.segments {
		if seg.known || !r.opts.NoDigest {
			read, err := r.scanRows(ctx, s, seg.span, t.policy())
			if err != nil {
				return nil, err
			}
			rows = append(rows, read...)
			if seg.known && digest.Total(read) == seg.digest {
				continue
			}
		}
		p := piece{span: seg.span, views: clipViews(r.info.Order, views, []Span{seg.span})}
		if err := r.compareSegment(ctx, s, p, w, t.policy()); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// compareSegment reads the chain beside the snapshot.
func (r *run) compareSegment(ctx context.Context, s export.Snapshot, p piece, w *tallyWriter, locks export.LockPolicy) (err error) {
	shelf := newShelf(r.bucket.Bucket, []piece{p})
	defer func() { err = errors.Join(err, shelf.close()) }()
	was, err := openSource(ctx, shelf, p, merge.Options{Order: r.info.Order})
	if err != nil {
		return err
	}
	req := export.Request{Span: p.span, Locks: locks}
	is, err := r.read(ctx, s, req)
	if err != nil {
		return errors.Join(err, was.Close())
	}
	changes := export.Compare(r.info.Order, was, r.guard(is, req))
	defer func() { err = errors.Join(err, changes.Close()) }()
	return r.copy(w, r.paced(ctx, &dated{Cursor: changes, at: r.removedAt()}), r.checkAge)
}

// errRewritten says that the store holds something other than the chain, and that it did so
// before the chain was written.
var errRewritten = errors.New("store: its past is another one than it was")

// checkAge refuses what no reader would see over what the chain has there. That is so
// where a span was loaded with revisions of before.
func (r *run) checkAge(e *export.Entry) error {
	if r.info.Revisions && e.Timestamp.Compare(r.layer.Start) <= 0 {
		return errRewritten
	}
	return nil
}

// removedAt is the timestamp of what is found to be gone: no revision tells when that
// was. It is after all that the chain has, and not after anything that was written
// since.
func (r *run) removedAt() Timestamp {
	if !r.info.Revisions {
		return Timestamp{}
	}
	return r.layer.Start.Next()
}

// dated gives removals a timestamp.
type dated struct {
	export.Cursor
	at Timestamp
}

func (d *dated) Next() bool {
	ok := d.Cursor.Next()
	if e := d.Entry(); ok && e.Kind != export.Set && e.Kind != export.RangeKeySet {
		e.Timestamp = d.at
	}
	return ok
}
