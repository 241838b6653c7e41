package varve

import (
	"slices"

	"github.com/varvekv/varve/sink"
)

// loadPlan is how what is wanted gets into the destination.
type loadPlan struct {
	linked  []view  // of whole files, which it takes as they are
	stacked []piece // of upper levels, merged to one level of tables over what is linked
	merged  []piece // of which it takes the entries
	reread  []piece // of what is linked, to be digested
}

// plan finds what can be linked: all views of a piece, or its bottom, or none.
func (r *restore) plan() *loadPlan {
	order := r.info.Order
	out := new(loadPlan)
	for _, p := range planPieces(order, clipViews(order, r.content.views, r.spans)) {
		parts := p.split(order, partBytes)
		switch {
		case r.links(p):
			out.linked = append(out.linked, p.views...)
		case r.stacks(p):
			bottom, upper := p.lift()
			out.linked = append(out.linked, bottom...)
			for _, q := range planPieces(order, upper) {
				out.stacked = append(out.stacked, q.split(order, partBytes)...)
			}
		default:
			out.merged = append(out.merged, parts...)
			continue
		}
		if r.opts.Prove {
			out.reread = append(out.reread, parts...)
		}
	}
	return out
}

// links reports whether the destination takes the files of p as they are: all of
// every file counts and is wanted, it knows their format, and it can lay one over
// another as high as they are.
func (r *restore) links(p piece) bool {
	if r.tables == nil {
		return false
	}
	for _, v := range p.views {
		if !r.takes(v) || len(p.views) > 1 && v.level >= r.tables.Levels {
			return false
		}
	}
	return p.depth(r.info.Order) <= maxLinked
}

// takes reports whether the destination takes the file as it is.
func (r *restore) takes(v view) bool {
	return v.form.Revisions == r.info.Revisions &&
		slices.Contains(r.tables.Formats, v.Format) &&
		(v.KeySchema == "" || slices.Contains(r.tables.KeySchemas, v.KeySchema)) &&
		(v.Merger == "" || v.Merger == r.info.Merger) &&
		v.whole(r.info.Order)
}

// maxLinked is how many files may be linked over one another: Pebble puts five under
// the bottom level, each on one of its own, and the rest on L0, where too many make
// writers wait.
const maxLinked = 10

// stacks reports whether the bottom files of p can be linked, so that the levels over
// them need only be merged with one another, and not with all that they lie on.
func (r *restore) stacks(p piece) bool {
	if r.tables == nil || r.tables.Levels < 2 || r.info.Revisions || !slices.Contains(r.tables.Formats, sink.TableFormat) {
		return false
	}
	bottom, _ := p.lift()
	return len(bottom) > 0 && !slices.ContainsFunc(bottom, func(v view) bool { return !r.takes(v) })
}

// lift takes what lies on others off the bottom level of a chain.
func (p piece) lift() (bottom, upper []view) {
	for _, v := range p.views {
		if v.level == 0 {
			bottom = append(bottom, v)
		} else {
			upper = append(upper, v)
		}
	}
	return bottom, upper
}
