package varve

import (
	"cmp"
	"slices"
	"strings"

	"github.com/varvekv/varve/export"
)

// mostNear is how many names a message suggests.
const mostNear = 3

// near are the objects whose names are most like one that was not found: those that
// have the same last name elsewhere, and those that are a slip of the hand away.
func (c *catalog) near(name string, is func(*export.Object) bool) []*export.Object {
	type candidate struct {
		object   *export.Object
		distance int
	}
	var all []candidate
	last := name[strings.LastIndexByte(name, '.')+1:]
	for _, o := range c.objects {
		if !is(o) {
			continue
		}
		distance := min(editDistance(name, c.path(o.ID)), editDistance(name, c.short(o.ID)))
		switch {
		case strings.EqualFold(o.Name, last):
			all = append(all, candidate{o, 0})
		case distance <= max(2, len(name)/4):
			all = append(all, candidate{o, distance})
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var out []*export.Object
	for _, a := range all[:min(len(all), mostNear)] {
		out = append(out, a.object)
	}
	return out
}

// editDistance is how many letters must be put in, taken out or changed to make one
// name of the other, whatever their case.
func editDistance(a, b string) int {
	from, to := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i := range from {
		corner := row[0]
		row[0] = i + 1
		for j := range to {
			change := corner
			if from[i] != to[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, corner+1, row[j]+1)
		}
	}
	return row[len(to)]
}
