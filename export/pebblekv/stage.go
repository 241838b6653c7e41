package pebblekv

import "github.com/varvekv/varve/export"

// stage is a part of the keyspace and how changes are found in it.
type stage struct {
	span    export.Span
	compare bool // everything in it is compared; else only keys that are touched
}

// stages cuts span into what is to be compared as a whole and what lies between.
func (d *difference) stages(span export.Span) []stage {
	if d.undecided(span) {
		return []stage{{span: span, compare: true}}
	}
	order, cmp := d.now.store.order, d.now.pebble.Comparer.Compare
	var out []stage
	rest, left := span, true
	for _, s := range d.spans {
		part, ok := s.Intersect(order, rest)
		if !ok || !left {
			continue
		}
		if cmp(rest.Start, part.Start) < 0 { // else there is nothing between: an empty end is the last key
			out = d.between(out, export.Span{Start: rest.Start, End: part.Start})
		}
		out = append(out, stage{span: part, compare: true})
		rest.Start, left = part.End, len(part.End) > 0
	}
	if left {
		out = d.between(out, rest)
	}
	return out
}

// between adds a stage of single keys, if there can be any.
func (d *difference) between(out []stage, s export.Span) []stage {
	empty := s.IsEmpty(d.now.store.order)
	if empty || len(d.in(d.before, s)) == 0 && len(d.in(d.after, s)) == 0 && len(d.logged(s)) == 0 {
		return out
	}
	return append(out, stage{span: s})
}

// undecided reports whether span is better compared as a whole. To read the tables
// that differ is never dearer than to read both states, which lie in these and
// others. But records of merges, and those whose values are elsewhere, decide
// nothing: each costs a search in both states. And to begin a stage opens tables
// and iterators anew: many little ones cost more than to go on through what lies
// between.
func (d *difference) undecided(span export.Span) bool {
	const (
		dear      = 8         // times what it costs to pass a record, at least
		few       = 16        // stages are not worth a thought
		leastLoad = 128 << 10 // bytes that are read in the time that a stage takes to begin
	)
	var blind, total uint64
	for _, tables := range append([][]*tableFile{d.before, d.after}, d.shared...) {
		for _, t := range d.in(tables, span) {
			total += t.Size
			if p := t.known(); p != nil && (p.NumMergeOperands > 0 || len(t.blobs) > 0) {
				blind += t.Size
			}
		}
	}
	var touched uint64
	for _, s := range d.spans {
		if s.Overlaps(d.now.store.order, span) {
			touched++
		}
	}
	return blind*dear > 2*total || touched > few && touched*leastLoad > total
}
