package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
)

// segment is a part of the keyspace that a layer has taken over from its parent, and
// what the parent's digests say of it.
type segment struct {
	span   Span
	digest digest.Digest
	known  bool // digest is that of all that the parent has in span
}

// segments cuts the spans that were kept at the rows of the parent. Before the first
// row of a span nothing was there; of a row that only partly lies in what was kept it
// is not known how much that part has to do with its digest.
func segments(order *export.Order, rows []digest.Row, former, kept []Span) []segment {
	check := newRowCheck(order, rows)
	var out []segment
	for _, span := range kept {
		at, ended := span.Start, false
		for i := max(check.find(span.Start), 0); i < len(rows) && !ended; i++ {
			row := check.span(i)
			part, ok := row.Intersect(order, span)
			if !ok {
				break
			}
			if check.order.Compare(at, part.Start) < 0 {
				out = append(out, segment{span: Span{Start: at, End: part.Start}, known: true})
			}
			outside := subtractSpans(order, intersectSpans(order, []Span{row}, spansFrom(order, former, row.Start)), []Span{span})
			out = append(out, segment{span: part, digest: rows[i].Digest, known: len(outside) == 0})
			at, ended = part.End, order.CompareEnds(part.End, span.End) == 0
		}
		if !ended {
			out = append(out, segment{span: Span{Start: at, End: span.End}, known: true})
		}
	}
	return out
}

// openLedger reads the digests of the parent, to be updated by the changes that the
// store tells.
func (r *run) openLedger(ctx context.Context, s export.Snapshot) error {
	if r.opts.NoDigest {
		return nil
	}
	if r.parent.Digest == nil {
		for _, span := range r.kept {
			r.segments = append(r.segments, segment{span: span})
		}
	} else {
		list, err := readFileList(ctx, r.bucket.Bucket, r.parent)
		if err != nil {
			return err
		}
		r.segments = segments(r.info.Order, list.rows, r.parent.Spans, r.kept)
		_, r.told = s.(export.Differ)
	}
	r.ledger = newRowCheck(r.info.Order, rowsOf(r.segments))
	return nil
}

// rowsOf are the segments as the rows that changes are counted by.
func rowsOf(segments []segment) []digest.Row {
	rows := make([]digest.Row, len(segments))
	for i, s := range segments {
		rows[i] = digest.Row{Start: s.span.Start, Digest: s.digest}
	}
	return rows
}

// maxRowBytes is how large a row may grow until it is read anew and cut: so long
// after it was last read that most of it has changed since.
const maxRowBytes = 4 * digest.RowBytes

// digest makes the rows of an incremental complete. Where the store told what its
// changes replaced, they are the parent's, updated; what these do not tell is read from
// the snapshot, and so is everything where nothing was told. A comparison with the
// chain has read all of it already, and has no segments left.
func (r *run) digest(ctx context.Context, s export.Snapshot, written *contents) error {
	if r.opts.NoDigest || r.parent == nil && !r.copies {
		return nil
	}
	var unread []segment
	for i, seg := range r.segments {
		seg.digest = seg.digest.Add(r.ledger.got[i])
		seg.known = seg.known && r.told
		switch {
		case !seg.known || seg.digest.Bytes > maxRowBytes:
			unread = append(unread, seg)
		case seg.digest != digest.Digest{}:
			written.rows = append(written.rows, digest.Row{Start: seg.span.Start, Digest: seg.digest})
		}
	}
	read, err := r.scanSegments(ctx, s, unread)
	if err != nil {
		return err
	}
	written.rows = joinRows(append(written.rows, read...), r.spans, r.info.Order)
	return nil
}

// joinRows puts rows in order and joins neighbours that are small together, as long
// as they belong to one span: they must not become many where much was deleted.
func joinRows(rows []digest.Row, spans []Span, order *export.Order) []digest.Row {
	cmp := order.WithDefaults().Compare
	slices.SortFunc(rows, func(a, b digest.Row) int { return cmp(a.Start, b.Start) })
	var out []digest.Row
	for _, row := range rows {
		if n := len(out); n > 0 {
			last := &out[n-1]
			here := spansFrom(order, spans, last.Start)
			if len(here) > 0 && here[0].Contains(order, row.Start) && last.Digest.Bytes+row.Digest.Bytes <= digest.RowBytes/2 {
				last.Digest = last.Digest.Add(row.Digest)
				continue
			}
		}
		out = append(out, row)
	}
	return out
}

// scanSegments reads segments of the snapshot and digests them in rows. One whose
// digest is known must have it.
func (r *run) scanSegments(ctx context.Context, s export.Snapshot, all []segment) ([]digest.Row, error) {
	if len(all) == 0 {
		return nil, nil
	}
	pieces := make([][]task, len(all))
	rows := make([][][]digest.Row, len(all))
	var total int64
	for i, seg := range all {
		var err error
		if pieces[i], err = r.partition(ctx, s, seg.span, Timestamp{}); err != nil {
			return nil, err
		}
		rows[i] = make([][]digest.Row, len(pieces[i]))
		total += bytesOf(pieces[i])
	}
	r.report.begin(PhaseDigest, total)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opts.Concurrency)
	for i := range all {
		for j, p := range pieces[i] {
			g.Go(func() (err error) {
				_, done := r.vigil.working(PhaseDigest, p.span)
				defer done()
				// What was exported before has met all locks that there can be.
				if rows[i][j], err = r.scanRows(gctx, s, p.span, export.PushLocks); err != nil {
					return fmt.Errorf("digest %s: %w", p.span, err)
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	r.report.end()
	var out []digest.Row
	for i, seg := range all {
		read := slices.Concat(rows[i]...)
		if got := digest.Total(read); seg.known && got != seg.digest {
			return nil, fmt.Errorf("store broke its contract: %s has %s, by its changes it should have %s", seg.span, describe(got), describe(seg.digest))
		}
		out = append(out, read...)
	}
	return out, nil
}

// scanRows digests one span of the snapshot in rows.
func (r *run) scanRows(ctx context.Context, s export.Snapshot, span Span, locks export.LockPolicy) (_ []digest.Row, err error) {
	req := export.Request{Span: span, Locks: locks}
	cursor, err := r.read(ctx, s, req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cursor.Close()) }()
	rows := newLiveRows(r.info, span.Start, digest.RowBytes)
	c := r.paced(ctx, r.guard(cursor, req))
	for c.Next() {
		rows.add(c.Entry())
	}
	return rows.rows(span.End), c.Err()
}
