package varve

import (
	"context"

	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/sink"
)

// stint is the work on a task at one time.
type stint struct {
	*exporting
	task   task
	effort *effort
	writer *tallyWriter
	count  *tally // of what is not kept yet

	at    []byte      // where what is not kept begins
	all   bool        // there is nothing
	files []sink.File // of it, that are stored
	rows  int         // that are kept

	done sink.Result // what was stored and digested beside the writer
}

// encode gives all entries of the task to a writer, or those before a lock.
func (st *stint) encode(ctx context.Context) (rest *behind, err error) {
	r, s, t := st.run, st.snapshot, st.task
	tier := 0
	if len(t.tables) > 0 {
		tier = 1
	}
	opts := r.fileOptions(tier)
	opts.NoDigest = opts.NoDigest || !r.digests(t)
	opts.Name = func(file int) string {
		name := formatData(r.layer.Path, r.layer.ID, t.number, len(t.tables)+file)
		r.vigil.storing(st.effort, name)
		return name
	}
	if st.piecewise() {
		opts.Wrote = func(f sink.File) {
			r.wrote(f)
			st.stored(ctx, f)
		}
	}
	writer, err := sink.NewWriter(ctx, t.span, opts)
	if err != nil {
		return nil, err
	}
	w := &tallyWriter{Writer: writer, tally: st.count}
	st.writer = w
	defer func() {
		if err != nil {
			w.Abort()
		}
	}()
	switch {
	case t.by == toldChange:
		rest, err = r.exportChanges(ctx, s, t, w)
	case t.by == comparison:
		st.done.Rows, err = r.compareTask(ctx, s, t, w)
	case len(t.tables) > 0:
		st.done.Files, st.done.Rows, err = r.copyTables(ctx, s, t, w)
	default:
		rest, err = r.exportState(ctx, s, t, w)
	}
	return rest, err
}

// piecewise reports whether each file of the task can be kept by itself, for the rest can be
// exported by itself.
func (st *stint) piecewise() bool { return st.task.by != comparison && len(st.task.tables) == 0 }

// stored keeps what is stored up to the end of a file, unless something that was counted
// goes on behind it.
func (st *stint) stored(ctx context.Context, f sink.File) {
	st.files = append(st.files, f)
	at := f.Span.End
	if len(at) > 0 && !st.digests(st.task) && st.writer.Crosses(at) {
		return
	}
	st.keepUpTo(ctx, at)
}

func (st *stint) keepUpTo(ctx context.Context, at []byte) {
	p := portion{span: Span{Start: st.at, End: at}, by: st.task.by, files: st.files, rows: st.newRows(at), counts: st.count.flush()}
	if st.writer.part != nil {
		p.sums = st.writer.part.take()
	}
	st.at, st.all, st.files = at, len(at) == 0, nil
	st.keep(ctx, p)
}

// newRows are those before at that are not kept yet.
func (st *stint) newRows(at []byte) []digest.Row {
	var all []digest.Row
	switch {
	case st.writer.live != nil:
		st.writer.live.cut(at)
		all = st.writer.live.rower.Rows()
	case st.digests(st.task):
		all = st.writer.Rows()
	}
	rows := all[st.rows:]
	st.rows = len(all)
	return rows
}

// finish ends the last file and keeps what is not kept yet, up to a lock.
func (st *stint) finish(ctx context.Context, rest *behind) error {
	result, err := st.writer.Finish()
	if err != nil {
		return err
	}
	end := st.task.span.End
	if rest != nil {
		end = rest.task.span.Start
	}
	if !st.piecewise() {
		p := portion{span: Span{Start: st.at, End: end}, by: st.task.by, files: append(st.done.Files, result.Files...), counts: st.count.flush()}
		if !st.opts.NoDigest {
			p.rows = st.done.Rows
		}
		st.keep(ctx, p)
		return nil
	}
	if left := (Span{Start: st.at, End: end}); !st.all && !left.IsEmpty(st.info.Order) {
		st.keepUpTo(ctx, end)
	}
	return nil
}

// ofState reports whether the task writes all that is in its span.
func (t *task) ofState() bool { return t.by == wholeState || t.by == introduced }

// digests reports whether what the task writes is all that its rows are of.
func (r *run) digests(t task) bool {
	return t.ofState() && len(t.tables) == 0 && !r.opts.RevisionHistory
}

// fileOptions are those of files of a tier.
func (r *run) fileOptions(tier int) sink.Options {
	overlay := sink.Bottom
	if r.parent != nil || tier > 0 {
		overlay = sink.Above
	}
	return sink.Options{
		Bucket: r.bucket.Bucket, Form: r.form(), Layer: r.layer.ID, Tier: tier, Overlay: overlay,
		Compression: codecs[r.opts.Compression], TargetBytes: r.opts.TargetFileBytes, NoDigest: r.opts.NoDigest,
		Key: r.key, Wrote: r.wrote,
	}
}
