package varve

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/sink"
)

// sizes asks for every file whether it is there, and how long it is.
func (v *verification) sizes(ctx context.Context) error {
	return v.eachFile(ctx, func(ctx context.Context, f leveledFile) error {
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
	return v.eachFile(ctx, func(ctx context.Context, f leveledFile) error {
		if err := sink.CheckHash(ctx, v.bucket.Bucket, f.File); err != nil {
			return err
		}
		if v.opts.Level == VerifyHash {
			v.passed(f, 0)
		}
		return nil
	})
}

func (v *verification) passed(f leveledFile, entries int64) {
	v.mu.Lock()
	v.report.StoredBytes += f.Size
	v.report.Entries += entries
	v.mu.Unlock()
	v.events.add(f.Size)
	v.events.file(fileInfo(f.File))
}

// entries reads every entry of every table and, at the level of digests, compares
// the state that they make up. A piece with one file is digested as it is read.
func (v *verification) entries(ctx context.Context) error {
	m := v.chain.tip().Manifest
	proof := newProof(v.content, m)
	alone := map[string]piece{}
	var shared []piece
	for _, p := range v.content.pieces([]Span{{}}) {
		if len(p.files) == 1 {
			alone[p.files[0].Path] = p
		} else {
			shared = append(shared, p)
		}
	}
	err := v.eachFile(ctx, func(ctx context.Context, f leveledFile) error {
		p, ok := alone[f.Path]
		part := &proofPart{proof: proof}
		if ok && v.opts.Level >= VerifyDigest {
			part = proof.part()
		}
		return v.table(ctx, f, p, part)
	})
	if err != nil || v.opts.Level < VerifyDigest {
		return err
	}
	for _, p := range shared {
		if err := v.problem(p.span.String(), v.piece(ctx, p, proof.part())); err != nil {
			return err
		}
	}
	for _, row := range proof.bad() {
		object := fmt.Sprintf("layer %s", m.Layer)
		if err := v.problem(fmt.Sprintf("row %d", row), proof.check.mismatch(object, row)); err != nil {
			return err
		}
	}
	return nil
}

// table reads one table and compares it with its entry in the file list.
func (v *verification) table(ctx context.Context, f leveledFile, p piece, part *proofPart) (err error) {
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
	part.done(p)
	v.passed(f, check.entries)
	return check.finish()
}

// piece digests the state of a piece that several files make up.
func (v *verification) piece(ctx context.Context, p piece, part *proofPart) (err error) {
	for _, f := range p.files {
		if v.isDamaged(f.Path) {
			return nil
		}
	}
	src, err := openSource(ctx, v.bucket.Bucket, p, v.content.order, p.span)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	for src.Next() {
		if err := part.add(src.Entry()); err != nil {
			return err
		}
	}
	part.done(p)
	return src.Err()
}

// tableCheck compares what is in a table with what its file entry says.
type tableCheck struct {
	file    leveledFile
	order   *export.Order
	counts  sink.Counts
	entries int64
	last    []byte
}

func newTableCheck(f leveledFile) *tableCheck {
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
