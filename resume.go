package varve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/internal/seal"
	"github.com/varvekv/varve/sink"
)

// planHash tells plans apart: what one has brought counts in another only if both are made
// of the same parts.
func (r *run) planHash() string {
	var starts [][]byte
	for _, s := range r.segments {
		starts = append(starts, s.span.Start)
	}
	return hashOf(r.bucket.id, r.course, r.changes, r.told, r.introduced, r.kept, starts)
}

// resume takes from the tasks of a plan what is stored already.
func (r *run) resume(ctx context.Context, tasks []task) ([]task, error) {
	plan := r.planHash()
	r.saver.begin(ctx, plan, r.course)
	r.stock = nil
	if len(r.parts) == 0 {
		return tasks, nil
	}
	sizes, err := r.storedSizes(ctx)
	if err != nil {
		return nil, err
	}
	others := r.otherKeys()
	var covered []Span
	for _, part := range slices.Backward(r.parts) { // where two processes were at it the last counts
		if part.Plan != plan {
			continue
		}
		for _, stored := range part.Portions {
			p, err := stored.portion()
			if err != nil || !r.trusts(p, sizes) || len(meeting(r.info.Order, covered, p.span)) > 0 {
				continue
			}
			for i, f := range p.files {
				if f.Layer != r.layer.ID {
					p.files[i] = f.Under(others[f.Layer])
				}
			}
			r.stock = append(r.stock, p)
			covered = slices.Insert(covered, len(covered)-len(spansFrom(r.info.Order, covered, p.span.Start)), p.span)
			for _, f := range p.files {
				r.copies = r.copies || f.Content != ""
			}
		}
		for _, f := range part.Tables {
			if f.Content != "" && r.trustsFile(f, sizes) {
				r.stored = append(r.stored, f)
			}
		}
	}
	slices.SortStableFunc(r.stored, func(a, b sink.File) int { return int(min(max(a.Plain-b.Plain, -1), 1)) })
	var rest []task
	for _, t := range tasks {
		rest = append(rest, t.without(r.info.Order, covered)...)
	}
	r.c.opts.Logger.InfoContext(ctx, "backup goes on", "collection", r.c.name, "job", r.job, "layer", r.layer.ID,
		"portions", len(r.stock), "tasks", len(rest))
	return rest, nil
}

// otherKeys are the data keys of other sealed layers whose files may be referred to.
func (r *run) otherKeys() map[string]*seal.DataKey {
	keys := map[string]*seal.DataKey{}
	for i := range r.stored {
		if f := &r.stored[i]; f.Layer != r.layer.ID && f.Key() != nil {
			keys[f.Layer] = f.Key()
		}
	}
	return keys
}

// storedSizes are the objects of tables at the run's path.
func (r *run) storedSizes(ctx context.Context) (map[string]int64, error) {
	sizes, prefix := map[string]int64{}, r.layer.Path+"/"+dataFolder
	for o, err := range r.bucket.List(ctx, prefix) {
		if err != nil {
			return nil, storageError("list", prefix, err)
		}
		sizes[o.Key] = o.Size
	}
	return sizes, nil
}

// trusts reports whether a portion can be part of the layer. What it says was hashed when
// it was written; what is asked here is whether it belongs here, and is there.
func (r *run) trusts(p portion, sizes map[string]int64) bool {
	if p.span.IsEmpty(r.info.Order) || !coveredBy(r.info.Order, r.spans, p.span) {
		return false
	}
	for _, f := range p.files {
		if !r.trustsFile(f, sizes) || !p.span.Covers(r.info.Order, f.Span) {
			return false
		}
	}
	for _, row := range p.rows {
		if !p.span.Contains(r.info.Order, row.Start) {
			return false
		}
	}
	for i := range p.sums {
		if i < 0 || i >= len(r.segments) {
			return false
		}
	}
	return true
}

func (r *run) trustsFile(f sink.File, sizes map[string]int64) bool {
	folder, layer, _, _, err := parseData(f.Path)
	if err != nil || f.Validate() != nil || f.Layer != layer {
		return false
	}
	if layer == r.layer.ID {
		size, there := sizes[f.Path]
		return folder == r.layer.Path && there && size == f.Size
	}
	// The layer whose file it is was referred to, and so stays.
	return slices.ContainsFunc(r.needs, func(l LayerInfo) bool { return l.ID == layer })
}

// meeting are those of spans, which are in order and apart, that overlap one.
func meeting(order *export.Order, spans []Span, with Span) []Span {
	here := spansFrom(order, spans, with.Start)
	n := sort.Search(len(here), func(i int) bool { return !here[i].Overlaps(order, with) })
	return here[:n]
}

// without is what is left of a task where some of it is done.
func (t task) without(order *export.Order, covered []Span) []task {
	if covered = meeting(order, covered, t.span); len(covered) == 0 {
		return []task{t}
	}
	var out []task
	for _, rest := range subtractSpans(order, []Span{t.span}, covered) {
		part := t
		part.span, part.bytes = rest, t.bytes/2
		part.tables = slices.DeleteFunc(slices.Clone(t.tables), func(table export.Table) bool { return !rest.Covers(order, table.Info().Span) })
		part.cuts = slices.DeleteFunc(slices.Clone(t.cuts), func(cut []byte) bool { return !rest.Contains(order, cut) })
		part.segments = nil
		for _, seg := range t.segments {
			for _, s := range intersectSpans(order, []Span{seg.span}, []Span{rest}) {
				known := seg.known && equalSpans([]Span{s}, []Span{seg.span})
				part.segments = append(part.segments, segment{span: s, digest: seg.digest, known: known})
			}
		}
		out = append(out, part)
	}
	return out
}

// listed is what an earlier process has listed, who then died with nothing but the manifest
// left to write; nil: it has not. There is one list, whoever wrote it.
func (r *run) listed(ctx context.Context) (*contents, FileList, error) {
	if r.journal.epoch == 0 {
		return nil, FileList{}, nil
	}
	written, list, err := r.readListed(ctx)
	if written == nil || err != nil {
		return nil, FileList{}, err
	}
	for _, f := range written.files {
		r.copies = r.copies || f.Content != ""
	}
	if err := r.checkListed(ctx, written); err != nil {
		return nil, FileList{}, err
	}
	_, err = r.planOn(ctx, r.course) // which finds out how the layer was made
	if err == nil {
		err = r.look(ctx)
	}
	return written, list, err
}

// checkListed makes sure that what is listed is there.
func (r *run) checkListed(ctx context.Context, written *contents) error {
	sizes, err := r.storedSizes(ctx)
	if err != nil {
		return err
	}
	for _, f := range written.files {
		if !r.trustsFile(f, sizes) {
			return &CorruptError{Object: f.Path, Want: fmt.Sprintf("%d bytes, as %s says", f.Size, fileListObject(r.layer.Path)), Got: "no such object"}
		}
	}
	return nil
}

// readListed reads the file list at the run's path; nil, if there is none.
func (r *run) readListed(ctx context.Context) (*contents, FileList, error) {
	object := fileListObject(r.layer.Path)
	body, err := r.bucket.Get(ctx, object, maxManifest)
	if errors.Is(err, objectio.ErrNotExist) {
		return nil, FileList{}, nil
	}
	if err != nil {
		return nil, FileList{}, storageError("read", object, err)
	}
	list, err := describeList(body)
	if err != nil {
		return nil, FileList{}, &CorruptError{Object: object, Want: "a list of files", Got: err.Error()}
	}
	m := &Manifest{Layer: r.layer.ID, Path: r.layer.Path, sealer: sealer{key: r.key, others: r.otherKeys()}}
	for _, l := range r.needs {
		m.Refers = append(m.Refers, l.ID)
	}
	most := list
	most.Files, most.Rows, most.Objects = math.MaxInt64, math.MaxInt64, math.MaxInt64
	written, err := scanList(ctx, r.bucket.Bucket, m, most, object)
	if err != nil {
		return nil, FileList{}, err
	}
	list.Files, list.Rows, list.Objects = int64(len(written.files)), int64(len(written.rows)), int64(len(written.objects))
	for _, f := range written.files {
		list.Stored += f.Size
	}
	return written, list, nil
}

// stats are what a portion adds to those of the run.
func (p *portion) stats(layer string) Stats {
	var s Stats
	for _, f := range p.files {
		one := Stats{
			Keys: f.Counts.Sets, Deletions: f.Counts.Deletes + f.Counts.RangeDeletes, RangeKeys: f.Counts.RangeKeys,
			LogicalBytes: f.Counts.LogicalBytes, Files: 1,
		}
		switch {
		case f.Layer != layer:
			one.SharedBytes = f.Size
		case f.Content != "":
			one.CopiedBytes, one.StoredBytes = f.Size, f.Size
		default:
			one.StoredBytes = f.Size
		}
		s = s.plus(one)
	}
	for c := range maps.Values(p.counts) {
		s.Rows, s.IndexEntries = s.Rows+c.Rows, s.IndexEntries+c.IndexEntries
	}
	return s
}
