package varve

import (
	"cmp"
	"slices"
	"strings"
)

// ways finds for each layer what it is restored on: of what it extends, and what stands
// for that, the one that is preferred. A stand-in counts when it has been there for grace:
// whoever reads took the other way before that, and may be at it still.
func (c *census) ways() {
	c.stands = map[string][]*stored{}
	for _, l := range c.layers {
		if id := l.manifest.StandsFor; id != "" && c.old(l.at) {
			c.stands[id] = append(c.stands[id], l)
		}
	}
	for _, l := range slices.Backward(c.sorted()) { // what is below ends before
		for _, id := range l.manifest.Refers {
			if other := c.layers[id]; other != nil {
				l.shares = append(l.shares, other)
			}
		}
		l.bytes, l.count = l.manifest.storedBytes(), 1
		if l.info.Full() {
			l.whole = len(l.shares) == len(l.manifest.Refers)
			continue
		}
		parent := c.layers[l.info.ParentID]
		for _, p := range append([]*stored{parent}, c.stands[l.info.ParentID]...) {
			if p != nil && l.canFollow(p) && (l.below == nil || c.prefers(p, l.below)) {
				l.below = p
			}
		}
		if l.below == nil {
			l.below = parent // whatever it is good for
			continue
		}
		l.whole = l.below.whole && len(l.shares) == len(l.manifest.Refers)
		l.bytes, l.count = l.bytes+l.below.bytes, l.count+l.below.count
	}
}

// canFollow reports whether l can be restored on p, as readers do it.
func (l *stored) canFollow(p *stored) bool {
	if p.info.ID == l.info.ParentID && l.info.follows(p.info) != nil {
		return false
	}
	return p.info.End == l.info.Start && l.manifest.extends(p.manifest) == nil
}

// prefers reports whether a layer is rather restored on p than on q: on what is whole, then
// on what stays. So what is on its way out is not needed again, and what is needed does not
// leave, however much there is to read by then. Of two that leave, which runs that do not
// know of each other may bring about, all runs must keep the same: the choice may depend on
// nothing that changes.
func (c *census) prefers(p, q *stored) bool {
	_, leaves := c.marks[p.info.ID]
	_, other := c.marks[q.info.ID]
	switch {
	case p.whole != q.whole:
		return p.whole
	case leaves != other:
		return other
	case leaves:
		return p.info.ID < q.info.ID
	}
	return p.compare(q) < 0
}

// compare orders what can be followed: what is whole, then by how much there is to read.
func (l *stored) compare(o *stored) int {
	if l.whole != o.whole {
		if l.whole {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(l.bytes, o.bytes), l.count-o.count, strings.Compare(l.info.ID, o.info.ID))
}

// direct are the layers without which l cannot be restored, those below them left out.
func (l *stored) direct() []*stored {
	if l.below == nil {
		return l.shares
	}
	return append([]*stored{l.below}, l.shares...)
}

// closure are the layers that the roots need, with one of those that need them; the
// roots themselves have none.
func closure(roots []*stored) map[*stored]*stored {
	out := map[*stored]*stored{}
	for _, l := range roots {
		out[l] = nil
	}
	for queue := slices.Clone(roots); len(queue) > 0; queue = queue[1:] {
		for _, d := range queue[0].direct() {
			if _, known := out[d]; !known {
				out[d] = queue[0]
				queue = append(queue, d)
			}
		}
	}
	return out
}

// byNeed sorts layers so that what needs another comes before it.
func byNeed(layers []*stored) []*stored {
	var out []*stored
	seen := map[*stored]bool{}
	var visit func(*stored)
	visit = func(l *stored) {
		if seen[l] {
			return
		}
		seen[l] = true
		for _, d := range l.direct() {
			visit(d)
		}
		out = append(out, l)
	}
	sorted := slices.Clone(layers)
	slices.SortFunc(sorted, func(a, b *stored) int { return newestFirst(b.info, a.info) })
	for _, l := range sorted { // what is below ends before, so that this goes no deeper than files are shared
		visit(l)
	}
	slices.Reverse(out)
	wanted := map[*stored]bool{}
	for _, l := range layers {
		wanted[l] = true
	}
	return slices.DeleteFunc(out, func(l *stored) bool { return !wanted[l] })
}
