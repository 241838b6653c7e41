package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/sink"
)

// A store that can show the sorted tables it consists of need not have all of its
// entries decoded and encoded again for a full. Tables of its bottom are copied as they
// are, to tier 0, and what its state has over just these is written to tier 1.

// smallTables is how much smaller than a file a table may be and still be copied: each
// becomes an object.
const smallTables = 128

// tables are those of span that are worth to be copied.
func (r *run) tables(ctx context.Context, s export.Snapshot, span Span) ([]export.Table, error) {
	exporter, ok := s.(export.TableExporter)
	if !ok || r.info.Revisions {
		return nil, nil
	}
	all, err := exporter.Tables(ctx, span, r.opts.TargetFileBytes/smallTables, 2*r.opts.TargetFileBytes)
	if err != nil {
		return nil, err
	}
	if err := checkTables(r.info.Order, span, all); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(t export.Table) bool { return !r.worthCopying(t.Info()) }), nil
}

// worthCopying reports whether readers can read the table, and whether the copy is about
// as small as what would be written instead: of a table that the store has compressed
// in blocks nothing more is gained, and compressed in frames it is smaller.
func (r *run) worthCopying(t export.TableInfo) bool {
	if !r.form().Reads(t.Format, t.KeySchema) {
		return false
	}
	return r.opts.Compression == CompressNone || t.Bytes >= t.LogicalBytes/8*7
}

func (r *run) form() sink.Form { return sink.Form{Order: r.info.Order, Revisions: r.info.Revisions} }

// checkTables says where tables do not lie apart in span, in order.
func checkTables(order *export.Order, span Span, tables []export.Table) error {
	cmp := order.WithDefaults().Compare
	at, open := span.Start, false
	for _, t := range tables {
		own := t.Info().Span
		switch {
		case own.IsEmpty(order), open, cmp(own.Start, at) < 0, order.CompareEnds(own.End, span.End) > 0:
			return fmt.Errorf("store broke its contract: table of %s in %s does not lie behind %q", own, span, at)
		case !order.CutPoint(own.Start), !order.CutPoint(own.End):
			return fmt.Errorf("store broke its contract: table of %s cuts a prefix", own)
		}
		at, open = own.End, len(own.End) == 0
	}
	return nil
}

// around cuts span at its tables, and what lies between as the snapshot does.
func (r *run) around(ctx context.Context, s export.Snapshot, span Span, tables []export.Table) ([]task, error) {
	order := r.info.Order
	var pieces []task
	rest, left := span, true
	for _, t := range tables {
		own := t.Info().Span
		if between := (Span{Start: rest.Start, End: own.Start}); order.WithDefaults().Compare(rest.Start, own.Start) < 0 {
			part, err := r.partition(ctx, s, between, Timestamp{})
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, part...)
		}
		pieces = append(pieces, task{span: own, bytes: t.Info().LogicalBytes, tables: []export.Table{t}})
		rest.Start, left = own.End, len(own.End) > 0
	}
	if !left || rest.IsEmpty(order) {
		return pieces, nil
	}
	part, err := r.partition(ctx, s, rest, Timestamp{})
	return append(pieces, part...), err
}

// copyTables stores the tables of a task as they are, and then what the state of its
// span has over them. One that proves not to be what it must is left out: what it has
// comes with the rest.
func (r *run) copyTables(ctx context.Context, s export.Snapshot, t task, w *tallyWriter) (files []sink.File, rows []digest.Row, err error) {
	rows = []digest.Row{{Start: t.span.Start}}
	for _, cut := range t.cuts {
		rows = append(rows, digest.Row{Start: cut})
	}
	files = make([]sink.File, len(t.tables))
	var copied []export.Table
	// While one table is stored the next one is read, so that neither the disk nor the
	// processor waits; not with a Concurrency of 1.
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(1)
	for i, table := range t.tables {
		part := w.tally.part()
		facts, read, err := r.readTable(gctx, table, part)
		if errors.Is(err, export.ErrUnsound) {
			r.c.opts.Logger.Info("table is not copied", "collection", r.c.name, "layer", r.layer.ID, "reason", err)
			continue
		}
		if err != nil {
			if stored := g.Wait(); stored != nil {
				err = stored // which is why the reading was cancelled
			}
			return nil, nil, err
		}
		w.tally.join(part)
		at := len(copied)
		store := func() (err error) {
			files[at], err = r.copyTable(gctx, table, formatData(r.layer.Path, r.layer.ID, t.number, i), facts)
			if err == nil {
				r.saver.copied(gctx, files[at])
			}
			return err
		}
		rows, copied = append(rows, read...), append(copied, table)
		if r.opts.Concurrency > 1 {
			g.Go(store)
		} else if err := store(); err != nil {
			return nil, nil, err
		}
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(rows, func(a, b digest.Row) int { return r.info.Order.WithDefaults().Compare(a.Start, b.Start) })
	rows, err = r.exportOver(ctx, s, t.span, copied, rows, w)
	return files[:len(copied)], rows, err
}

// readTable reads all of a table: what it holds is counted and digested.
func (r *run) readTable(ctx context.Context, t export.Table, count *tally) (facts sink.File, rows []digest.Row, err error) {
	entries, err := t.Entries(ctx)
	if err != nil {
		return facts, nil, err
	}
	defer func() { err = errors.Join(err, entries.Close()) }()
	own := t.Info().Span
	rower := digest.NewRower(r.info.Order, own.Start, digest.RowBytes)
	rower.Off = r.opts.NoDigest
	var last []byte
	for c := r.paced(ctx, guard(entries, r.info.Order, own)); ; {
		if !c.Next() {
			err = c.Err()
			break
		}
		e := c.Entry()
		if facts.Counts.Sets == 0 {
			facts.Smallest = slices.Clone(e.Key)
		}
		last = append(last[:0], e.Key...)
		if rower.Due(e.Key) {
			rower.End(e.Key[:r.info.Order.WithDefaults().Split(e.Key)], nil)
		}
		rower.Add(e)
		facts.Counts.Add(e)
		count.add(e)
	}
	rower.End(own.End, nil)
	facts.Largest = last
	return facts, rower.Rows(), err
}

// copyTable stores a table, unless the bucket has it.
func (r *run) copyTable(ctx context.Context, t export.Table, path string, facts sink.File) (_ sink.File, err error) {
	if f, found, err := r.reuse(ctx, t, facts); found || err != nil {
		return f, err
	}
	src, err := t.Open()
	if err != nil {
		return sink.File{}, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	return sink.CopyIn(ctx, r.fileOptions(0), path, t.Info(), facts, src)
}

// exportOver writes the changes that make the state out of that of tables, and updates
// the rows of these.
func (r *run) exportOver(ctx context.Context, s export.Snapshot, span Span, tables []export.Table, rows []digest.Row, w *tallyWriter) (_ []digest.Row, err error) {
	changes, err := s.(export.TableExporter).Over(ctx, span, tables, !r.opts.NoDigest)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, changes.Close()) }()
	entries := r.paced(ctx, guardChanges(changes, r.info.Order, span))
	if r.opts.NoDigest {
		return nil, r.copy(w, entries, nil)
	}
	ledger := newRowCheck(r.info.Order, rows)
	part := ledger.part()
	err = r.copy(w, entries, func(e *export.Entry) error {
		if former := changes.Former(); former != nil {
			w.tally.remove(former)
		}
		return count(part, e, changes.Former())
	})
	if err != nil {
		return nil, err
	}
	part.done()
	for i := range rows {
		rows[i].Digest = rows[i].Digest.Add(ledger.got[i])
	}
	return slices.DeleteFunc(rows, func(row digest.Row) bool { return row.Digest == digest.Digest{} }), nil
}
