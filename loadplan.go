package varve

import (
	"slices"
	"sort"

	"github.com/varvekv/varve/sink"
)

// loadPlan is how what is wanted gets into the destination.
type loadPlan struct {
	linked  []view  // of whole files, which it takes as they are
	stacked []piece // of upper levels, merged to one level of tables over what is linked
	merged  []piece // of which it takes the entries
	reread  []piece // of what is linked, to be digested
}

// plan finds what can be linked: all views of a piece, or its lower levels, or none.
func (r *restore) plan() *loadPlan {
	order := r.info.Order
	out := new(loadPlan)
	for _, p := range planPieces(order, clipViews(order, r.content.views, r.spans)) {
		lower, upper := r.lift(p)
		parts := p.split(order, partBytes)
		if len(lower) == 0 {
			out.merged = append(out.merged, parts...)
			continue
		}
		out.linked = append(out.linked, lower...)
		for _, q := range planPieces(order, upper) {
			out.stacked = append(out.stacked, q.split(order, partBytes)...)
		}
		if r.opts.Prove {
			out.reread = append(out.reread, parts...)
		}
	}
	return out
}

// lift takes off p what the destination cannot link: nothing, or the upper levels, as
// few as leave a place for what they are merged to, or everything.
func (r *restore) lift(p piece) (lower, upper []view) {
	if r.tables == nil || r.moveOf(p.span) != nil {
		return nil, p.views
	}
	if r.links(p, r.tables.Levels, maxLinked) || len(p.views) == 1 && r.takes(p.views[0]) {
		return p.views, nil
	}
	if r.info.Revisions || !slices.Contains(r.tables.Formats, sink.TableFormat) {
		return nil, p.views
	}
	levels := p.levels()
	n := sort.Search(len(levels), func(i int) bool {
		lower, _ := p.cutAbove(levels[i])
		return !r.links(lower, r.tables.Levels-1, maxLinked-1)
	})
	if n == 0 {
		return nil, p.views
	}
	below, above := p.cutAbove(levels[n-1])
	return below.views, above.views
}

// maxLinked is how many files may be linked over one another: Pebble puts five under
// the bottom level, each on one of its own, and the rest on L0, where too many make
// writers wait.
const maxLinked = 10

// links reports whether the destination takes the files of p as they are, over one
// another on so many levels and no deeper than that.
func (r *restore) links(p piece, levels, depth int) bool {
	for _, v := range p.views {
		if !r.takes(v) || v.level >= levels {
			return false
		}
	}
	return p.depth(r.info.Order) <= depth
}

// takes reports whether the destination takes the file as it is: it knows its format,
// and all of it counts and is wanted. Revisions that others follow become its history.
func (r *restore) takes(v view) bool {
	asOf := r.chain.within()
	return v.form.Revisions == r.info.Revisions &&
		(asOf.IsZero() || v.MaxTimestamp.Compare(asOf) <= 0) &&
		slices.Contains(r.tables.Formats, v.Format) &&
		(v.KeySchema == "" || slices.Contains(r.tables.KeySchemas, v.KeySchema)) &&
		(v.Merger == "" || v.Merger == r.info.Merger) &&
		v.whole(r.info.Order)
}
