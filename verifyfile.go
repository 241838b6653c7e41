package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
	"github.com/varvekv/varve/sink"
)

// sizes asks for every file whether it is there, and how long it is.
func (v *verification) sizes(ctx context.Context) error {
	return v.eachFile(ctx, func(ctx context.Context, f *leveledFile) error {
		check := v.bucket.checkSize
		if v.opts.Level == VerifyExists {
			check = v.bucket.checkExists
		}
		err := check(ctx, f.File)
		if err == nil && v.opts.Level < VerifyHash {
			v.passed(f, 0)
		}
		return err
	})
}

// hashes reads every stored byte.
func (v *verification) hashes(ctx context.Context) error {
	return v.eachFile(ctx, func(ctx context.Context, f *leveledFile) error {
		if err := sink.CheckHash(ctx, v.bucket.Bucket, f.File); err != nil {
			return err
		}
		if v.opts.Level == VerifyHash {
			v.passed(f, 0)
		}
		return nil
	})
}

func (v *verification) passed(f *leveledFile, entries int64) {
	v.mu.Lock()
	v.report.StoredBytes += f.Size
	v.report.Entries += entries
	v.mu.Unlock()
	v.events.add(f.Size)
	v.events.file(fileInfo(f.File))
}

// entries reads every entry of every table and, at the level of digests, compares
// the state that they make up. A file that all alone says what is in its span is
// digested as it is read.
func (v *verification) entries(ctx context.Context) error {
	proof := newProof(v.content)
	alone := map[*leveledFile]bool{}
	var shared []piece
	for _, p := range planPieces(v.content.order, v.content.views) {
		// Of a key with several revisions only the newest is part of the state.
		if len(p.views) == 1 && p.views[0].whole(v.content.order) && !p.views[0].form.Revisions {
			alone[p.views[0].leveledFile] = true
		} else {
			shared = append(shared, p.split(v.content.order, partBytes)...)
		}
	}
	err := v.eachFile(ctx, func(ctx context.Context, f *leveledFile) error {
		part := &proofPart{proof: proof}
		if alone[f] && v.opts.Level >= VerifyDigest {
			part = proof.part()
		}
		return v.table(ctx, f, part)
	})
	if err != nil || v.opts.Level < VerifyDigest {
		return err
	}
	if err := v.pieces(ctx, shared, proof); err != nil {
		return err
	}
	for _, row := range proof.bad() {
		object := fmt.Sprintf("layer %s", v.chain.tip().ID)
		if err := v.problem(fmt.Sprintf("row %d", row), proof.check.mismatch(object, row)); err != nil {
			return err
		}
	}
	return nil
}

// pieces digests the state that several files make up, or a part of one.
func (v *verification) pieces(ctx context.Context, pieces []piece, proof *proof) (err error) {
	shelf := newShelf(v.bucket.Bucket, pieces)
	defer func() { err = errors.Join(err, shelf.close()) }()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(v.opts.Concurrency)
	for _, p := range pieces {
		g.Go(func() error {
			if gctx.Err() != nil {
				return gctx.Err()
			}
			return v.problem(p.span.String(), v.piece(gctx, shelf, p, proof.part()))
		})
	}
	return g.Wait()
}

// table reads one table and compares it with its entry in the file list.
func (v *verification) table(ctx context.Context, f *leveledFile, part *proofPart) (err error) {
	r, err := sink.Open(ctx, v.bucket.Bucket, f.form, f.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	cursor, err := r.Cursor(ctx, Span{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cursor.Close()) }()
	check := newTableCheck(f)
	for cursor.Next() {
		e := cursor.Entry()
		if err := check.add(e); err != nil {
			return err
		}
		if e.Kind == export.Set || e.Kind == export.RangeKeySet {
			if err := part.add(e); err != nil {
				return err
			}
		}
	}
	if err := cursor.Err(); err != nil {
		return err
	}
	part.done(f.Span)
	v.passed(f, check.entries)
	return check.finish()
}

// piece digests the state of one piece, unless one of its files is known to be
// damaged.
func (v *verification) piece(ctx context.Context, shelf *shelf, p piece, part *proofPart) (err error) {
	if slices.ContainsFunc(p.views, func(w view) bool { return v.isDamaged(w.Path) }) {
		return nil
	}
	src, err := openSource(ctx, shelf, p, merge.Options{Order: v.content.order})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	return part.addAll(src, p.span)
}

// tableCheck compares what is in a table with what its file entry says.
type tableCheck struct {
	file    *leveledFile
	order   *export.Order
	counts  sink.Counts
	entries int64
	last    []byte
}

func newTableCheck(f *leveledFile) *tableCheck {
	return &tableCheck{file: f, order: f.form.Order.WithDefaults()}
}

func (c *tableCheck) add(e *export.Entry) error {
	cmp := c.order.Compare
	end := e.Key
	if e.Kind.IsRange() {
		end = e.End
	}
	switch {
	case c.entries > 0 && cmp(c.last, e.Key) > 0:
		return c.wrong("keys in order", fmt.Sprintf("%q after %q", e.Key, c.last))
	case cmp(e.Key, c.file.Smallest) < 0 || cmp(end, c.file.Largest) > 0:
		return c.wrong(fmt.Sprintf("keys from %q to %q", c.file.Smallest, c.file.Largest), fmt.Sprintf("%q", e.Key))
	case !c.file.Span.Contains(c.order, e.Key) || e.Kind.IsRange() && c.order.CompareEnds(e.End, c.file.Span.End) > 0:
		return c.wrong("keys in "+c.file.Span.String(), fmt.Sprintf("%q", e.Key))
	}
	c.counts.Add(e)
	c.entries++
	c.last = append(c.last[:0], e.Key...)
	return nil
}

func (c *tableCheck) finish() error {
	// Ranges that overlap are cut at one another when they are written, so that more
	// of them come back than went in; points are countable.
	want, got := c.file.Counts, c.counts
	if want.Sets != got.Sets || want.Deletes != got.Deletes || (want.RangeKeys == 0) != (got.RangeKeys == 0) ||
		(want.RangeDeletes == 0) != (got.RangeDeletes == 0) {
		return c.wrong(fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got))
	}
	return nil
}

func (c *tableCheck) wrong(want, got string) error {
	return &CorruptError{Object: c.file.Path, Want: want, Got: got}
}
