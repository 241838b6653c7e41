package varve

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
)

// output is what the window is merged to: all revisions if their history is promised, else
// a state, or what it changes in what lies below.
func (m *compaction) output() merge.Output {
	switch {
	case m.oldest != m.layer.End:
		return merge.History
	case m.parent == nil:
		return merge.State
	}
	return merge.Changes
}

// canStay reports whether a file may be part of the new layer as it is.
func (m *compaction) canStay(v view) bool {
	switch history := v.layer.Oldest != v.layer.End; {
	case m.opts.Rewrite, !v.whole(m.order), history && m.output() != merge.History:
		return false
	case m.output() != merge.State:
		return true
	case !v.layer.info().Full() || v.Tier > 0: // where range keys may be unset, too
		return v.Counts.Deletes+v.Counts.RangeDeletes+v.Counts.RangeKeys == 0
	}
	return true
}

// untouched finds the files that can stay, for nothing else of the window has an entry in
// their spans. Where the bounds of the others leave that open, these are looked into. A file
// of which nothing counts is left out.
func (m *compaction) untouched(ctx context.Context) ([]view, error) {
	views := m.content.views
	over := overlaps(m.order, views)
	files := newOpenFiles(m.bucket.Bucket, idleFiles)
	stays := make([]bool, len(views))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(m.opts.Concurrency)
	for i, v := range views {
		if !m.canStay(v) {
			continue
		}
		rest := piece{span: v.span}
		lowest := true
		for _, j := range over[i] {
			part, _ := views[j].span.Intersect(m.order, v.span)
			lowest = lowest && views[j].level > v.level
			if views[j].mayMeet(m.order, part) {
				rest.views = append(rest.views, view{leveledFile: views[j].leveledFile, span: part})
			}
		}
		switch {
		case len(rest.views) == 0:
			stays[i] = true
		case lowest: // and what lies on others is not tried: it is there because they changed
			sortViews(m.order, rest.views)
			g.Go(func() (err error) {
				stays[i], err = m.isEmpty(gctx, files, rest)
				return err
			})
		}
	}
	if err := errors.Join(g.Wait(), files.close()); err != nil {
		return nil, err
	}
	var out []view
	for i, v := range views { // spans may overlap where no entries do; files of one layer must lie apart
		stays[i] = stays[i] && !slices.ContainsFunc(over[i], func(j int) bool { return j < i && stays[j] })
		if stays[i] {
			out = append(out, v)
		}
	}
	return out, nil
}

// overlaps are, for each of the views, which are in order, the others that overlap it.
func overlaps(order *export.Order, views []view) [][]int {
	out := make([][]int, len(views))
	var active []int
	for i, v := range views {
		active = slices.DeleteFunc(active, func(j int) bool { return !views[j].span.Overlaps(order, v.span) })
		for _, j := range active {
			out[i], out[j] = append(out[i], j), append(out[j], i)
		}
		active = append(active, i)
	}
	return out
}

// mayMeet reports whether the bounds of the file leave room for entries in span.
func (f *leveledFile) mayMeet(order *export.Order, span Span) bool {
	compare := order.WithDefaults().Compare
	return (len(span.End) == 0 || compare(f.Smallest, span.End) < 0) && compare(f.Largest, span.Start) >= 0
}

// isEmpty reports whether the views of a piece have no entry in it.
func (m *compaction) isEmpty(ctx context.Context, files *openFiles, p piece) (_ bool, err error) {
	src, err := openSource(ctx, files, p, merge.Options{Order: m.order, Output: merge.History})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	return !src.Next(), src.Err()
}

// referTo makes references to what the new layer needs: what it extends, and the layers
// whose files stay. The files of one that is on its way out are written again.
func (m *compaction) referTo(ctx context.Context, kept []view) ([]view, error) {
	if m.parent != nil {
		if err := m.refer(ctx, m.parent.info()); err != nil {
			return nil, err
		}
	}
	x, err := m.bucket.index(ctx)
	if err != nil {
		return nil, err
	}
	stays := map[string]bool{}
	for _, v := range kept {
		if _, known := stays[v.Layer]; known {
			continue
		}
		before := len(m.needs)
		l, err := x.layer(ctx, v.Layer)
		if err == nil {
			err = m.refer(ctx, l)
		}
		switch {
		case err == nil:
		case errors.Is(err, ErrConflict), errors.Is(err, ErrNoLayer):
			m.needs = m.needs[:before]
		default:
			return nil, err
		}
		stays[v.Layer] = err == nil
	}
	return slices.DeleteFunc(kept, func(v view) bool { return !stays[v.Layer] }), nil
}

// mergeTask is a part of the keyspace that one worker merges into files of its own.
type mergeTask struct {
	number int // names its files
	span   Span
	parts  []piece // merged one after the other
	bytes  int64   // stored
}

// tasks part what does not stay: an eighth of a worker's share, at least 16 MiB.
func (m *compaction) tasks(kept []view) []mergeTask {
	spans := m.last().Spans
	stays := map[*leveledFile]bool{}
	var gone []Span
	for _, v := range kept {
		stays[v.leveledFile], gone = true, append(gone, v.span)
	}
	rest := slices.DeleteFunc(slices.Clone(m.content.views), func(v view) bool { return stays[v.leveledFile] })
	var parts []piece
	var total int64
	for _, p := range planPieces(m.order, clipViews(m.order, rest, subtractSpans(m.order, spans, gone))) {
		parts, total = append(parts, p.split(m.order, partBytes)...), total+p.bytes
	}
	limit := max(total/int64(m.opts.Concurrency)/tasksPerWorker, minTaskBytes)
	if m.opts.TargetFileBytes < limit/2 {
		limit = 2 * m.opts.TargetFileBytes
	}
	var out []mergeTask
	for _, p := range parts {
		if n := len(out); n > 0 && out[n-1].bytes+p.bytes <= limit && out[n-1].meets(m.order, p, spans) {
			last := &out[n-1]
			last.span.End, last.parts, last.bytes = p.span.End, append(last.parts, p), last.bytes+p.bytes
			continue
		}
		out = append(out, mergeTask{number: len(out), span: p.span, parts: []piece{p}, bytes: p.bytes})
	}
	return out
}

// meets reports whether p begins where the task ends, in the same span of the layer: a file
// lies in one of them.
func (t *mergeTask) meets(order *export.Order, p piece, spans []Span) bool {
	here := spansFrom(order, spans, t.span.Start)
	return len(t.span.End) > 0 && order.WithDefaults().Compare(t.span.End, p.span.Start) == 0 &&
		len(here) > 0 && here[0].Contains(order, p.span.Start)
}
