package varve

import (
	"context"
	"errors"
	"io"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
	"github.com/varvekv/varve/sink"
)

// link copies one table, every byte of it checked, into the staging area.
func (r *restore) link(ctx context.Context, tables export.TableLoader, v view) error {
	level := v.level
	if level >= r.tables.Levels { // it overlaps nothing, see links
		level = 0
	}
	w, err := tables.LoadTable(ctx, export.TableInfo{
		Span: v.Span, Level: level, Format: v.Format, KeySchema: v.KeySchema, Bytes: v.Plain,
	})
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := sink.Copy(ctx, r.bucket.Bucket, v.File, passing{w, r.vigil}); err != nil {
		return err
	}
	if err := w.Finish(); err != nil {
		return err
	}
	r.loaded(v.Counts, v.leveledFile)
	return nil
}

// merging is how the layers are merged: as of the moment to restore, which may lie between
// revisions that the last of them has.
func (r *restore) merging(output merge.Output) merge.Options {
	return merge.Options{Order: r.info.Order, AsOf: r.chain.within(), Output: output}
}

// openPiece opens the layers of a piece, merged, and watches that something comes.
func (r *restore) openPiece(ctx context.Context, shelf *shelf, p piece, output merge.Output) (export.Cursor, error) {
	src, err := openSource(ctx, shelf, p, r.merging(output))
	if err != nil {
		return nil, err
	}
	return &paced{Cursor: src, pass: func(int64) error {
		r.vigil.progress()
		return nil
	}}, nil
}

// passing is a writer that tells of progress.
type passing struct {
	io.Writer
	vigil *vigil
}

func (w passing) Write(p []byte) (int, error) {
	w.vigil.progress()
	return w.Writer.Write(p)
}

// merge adds the entries of a piece one by one, digesting them as they pass.
func (r *restore) merge(ctx context.Context, ingester export.Ingester, shelf *shelf, p piece) (err error) {
	src, err := r.openPiece(ctx, shelf, p, merge.State)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	loader, err := ingester.Load(ctx, r.moved(p.span))
	if err != nil {
		return err
	}
	if m := r.moveOf(p.span); m != nil {
		loader = &movingLoader{Loader: loader, rewriter: m.rewriter()}
	}
	var counts sink.Counts
	part := r.proof.part()
	for src.Next() {
		e := src.Entry()
		counts.Add(e)
		if err := part.add(e); err != nil {
			return err
		}
		if err := loader.Add(e); err != nil {
			return err
		}
	}
	if err := src.Err(); err != nil {
		return err
	}
	if err := loader.Finish(); err != nil {
		return err
	}
	part.done(p.span)
	r.loaded(counts, p.files()...)
	return nil
}

// movingLoader gives entries the keys that they have in the destination.
type movingLoader struct {
	export.Loader
	rewriter *merge.Rewriter
}

// Add implements export.Loader.
func (l *movingLoader) Add(e *export.Entry) error {
	moved, err := l.rewriter.Entry(e)
	if err != nil {
		return err
	}
	return l.Loader.Add(moved)
}

// reread digests a piece that is linked.
func (r *restore) reread(ctx context.Context, shelf *shelf, p piece) (err error) {
	src, err := r.openPiece(ctx, shelf, p, merge.State)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	return r.proof.part().addAll(src, p.span)
}

// stackBytes is about how large a table is that upper levels are merged to. It is
// built in memory, for the destination wants to know its size first.
const stackBytes = 8 << 20

// stack merges a piece of upper levels to tables of the lowest of them, deletions
// included.
func (r *restore) stack(ctx context.Context, tables export.TableLoader, shelf *shelf, p piece) (err error) {
	src, err := r.openPiece(ctx, shelf, p, merge.Changes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	level := min(p.levels()[0], r.tables.Levels-1)
	var counts sink.Counts
	w := sink.NewPlainWriter(sink.Form{Order: r.info.Order}, p.span, stackBytes, func(t sink.PlainTable) error {
		counts = counts.Plus(t.Counts)
		return loadPlain(ctx, tables, t, level)
	})
	defer w.Abort()
	for src.Next() {
		if err := w.Add(src.Entry()); err != nil {
			return err
		}
	}
	if err := src.Err(); err != nil {
		return err
	}
	if err := w.Finish(); err != nil {
		return err
	}
	r.loaded(counts, p.files()...)
	return nil
}

// loadPlain hands over a table of a level that nothing is linked to there or above.
func loadPlain(ctx context.Context, tables export.TableLoader, t sink.PlainTable, level int) error {
	w, err := tables.LoadTable(ctx, export.TableInfo{Span: t.Span, Level: level, Format: sink.TableFormat, Bytes: t.Bytes})
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := t.WriteTo(w); err != nil {
		return err
	}
	return w.Finish()
}
