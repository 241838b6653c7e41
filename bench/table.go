package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// writeTables writes a table for each operation on each data set.
func (p *plan) writeTables(w io.Writer, r *results) {
	for _, d := range p.datasets {
		fmt.Fprintf(w, "\n## %s\n\n%d rows of %d + %d bytes, %s in all", d.name(), d.rows(), keyBytes, d.valueBytes(), megabytes(d.Bytes))
		for _, engine := range slices.Sorted(maps.Keys(r.lies[d.name()])) {
			fmt.Fprintf(w, "; %s: %s", engine, r.lies[d.name()][engine])
		}
		fmt.Fprintln(w, ".")
		for _, op := range p.operations {
			fmt.Fprintf(w, "\n### %s (%s)\n\n", op.title, d.name())
			p.writeTable(w, r, d, op)
		}
	}
}

func (p *plan) writeTable(w io.Writer, r *results, d dataset, op operation) {
	fmt.Fprintln(w, "| tool | wall | × varve | CPU | stored | memory | requests | synced by |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|---|")
	varve, _ := r.cell(d, op.name, varveDefault).summary()
	for _, t := range p.tools {
		c := r.cell(d, op.name, t.name())
		s, ok := c.summary()
		if !ok {
			fmt.Fprintf(w, "| %s | %s | | | | | | |\n", t.name(), c.note)
			continue
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", t.name(), duration(s.Wall), ratio(s.Wall.Seconds(), varve.Wall.Seconds()),
			duration(s.CPU), storedBy(op, s), mebibytes(s.Memory), requests(s), syncer(s))
	}
}

func duration(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func ratio(a, b float64) string {
	if b == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", a/b)
}

func storedBy(op operation, s sample) string {
	if op.restores {
		return "–"
	}
	return megabytes(s.Stored)
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<19)>>20) }

func requests(s sample) string {
	if s.Requests == 0 {
		return "–"
	}
	return fmt.Sprint(s.Requests)
}

func syncer(s sample) string {
	if s.Synced == "" {
		return "itself"
	}
	return s.Synced
}

// bound is a ratio that is promised, and must be at most limit.
type bound struct {
	what      string
	operation string
	tool      string
	against   string
	quantity  func(sample) float64
	limit     float64
	datasets  []string
	usual     []float64 // what was measured of each data set, see docs/PERFORMANCE.md
}

// measured is the ratio on a data set, if both tools were measured.
func (b *bound) measured(r *results, dataset string) (float64, bool) {
	ours, haveOurs := r.cells[cellKey{dataset, b.operation, b.tool}].summary()
	other, haveOther := r.cells[cellKey{dataset, b.operation, b.against}].summary()
	if !haveOurs || !haveOther || b.quantity(other) == 0 {
		return 0, false
	}
	return b.quantity(ours) / b.quantity(other), true
}

func wall(s sample) float64        { return s.Wall.Seconds() }
func stored(s sample) float64      { return float64(s.Stored) }
func wallPerByte(s sample) float64 { return s.Wall.Seconds() / float64(max(s.Stored, 1)) }

const (
	textSettled   = text + "-" + settled
	textCompacted = text + "-" + compacted
	randomSettled = random + "-" + settled
)

func bounds() []bound {
	set := func(names ...string) []string { return names }
	both := set(textSettled, randomSettled)
	return []bound{
		{"full, no compression, no digest: wall for each stored byte", opFull, varveRawNoDigest, rocksdbDefault, wallPerByte, 0.8, set(textCompacted), []float64{0.57}},
		{"full, no compression: wall for each stored byte", opFull, varveRaw, rocksdbDefault, wallPerByte, 1.2, set(textCompacted), []float64{0.63}},
		{"full, no compression, no digest: wall for each stored byte", opFull, varveRawNoDigest, rocksdbDefault, wallPerByte, 1.5, both, []float64{0.76, 0.57}},
		{"full: wall", opFull, varveDefault, resticDefault, wall, 0.4, both, []float64{0.68, 0.29}},
		{"full: stored bytes", opFull, varveDefault, resticDefault, stored, 1.15, both, []float64{1.01, 0.99}},
		{"1 % scattered: wall", opRandom, varveDefault, resticDefault, wall, 0.4, both, []float64{0.66, 0.25}},
		{"1 % scattered, no digest: wall", opRandom, varveNoDigest, resticDefault, wall, 0.15, both, []float64{0.11, 0.07}},
		{"1 % scattered: stored bytes", opRandom, varveDefault, resticDefault, stored, 0.35, both, []float64{0.94, 0.98}},
		{"1 % scattered, compacted: wall", opCompacted, varveDefault, resticDefault, wall, 0.4, both, []float64{0.60, 0.25}},
		{"1 % scattered, compacted, no digest: wall", opCompacted, varveNoDigest, resticDefault, wall, 0.15, both, []float64{0.18, 0.13}},
		{"1 % scattered, compacted: stored bytes", opCompacted, varveDefault, resticDefault, stored, 0.35, both, []float64{0.07, 0.07}},
		{"restore of a full without compression: wall", opRestore, varveRaw, copyOne, wall, 1.3, both, []float64{1.30, 1.15}},
		{"restore of a compressed full: wall", opRestore, varveDefault, resticDefault, wall, 0.7, both, []float64{0.49, 0.34}},
	}
}

// maxMemory is what varve is promised to need at most, at every size.
const maxMemory = 200 << 20

// writeBounds writes what is promised beside what was measured.
func (p *plan) writeBounds(w io.Writer, r *results) {
	fmt.Fprint(w, "\n## What is promised\n\nThat varve needs at most so many times what another tool needs.\n\n")
	fmt.Fprintln(w, "| what | data set | compared with | measured | at most | |")
	fmt.Fprintln(w, "|---|---|---|--:|--:|---|")
	for _, b := range bounds() {
		for _, d := range p.datasets {
			if !slices.Contains(b.datasets, d.name()) {
				continue
			}
			got, known := b.measured(r, d.name())
			if !known {
				fmt.Fprintf(w, "| %s | %s | %s | – | %.2f | not measured |\n", b.what, d.name(), b.against, b.limit)
				continue
			}
			fmt.Fprintf(w, "| %s | %s | %s | %.2f | %.2f | %s |\n", b.what, d.name(), b.against, got, b.limit, verdict(got <= b.limit))
		}
	}
	most := p.mostMemory(r)
	fmt.Fprintf(w, "| memory above the process before, of all operations | all | – | %s | %s | %s |\n", mebibytes(most), mebibytes(maxMemory), verdict(most <= maxMemory))
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}

// mostMemory is the most that varve needed.
func (p *plan) mostMemory(r *results) (most int64) {
	for key, c := range r.cells {
		if s, ok := c.summary(); ok && strings.HasPrefix(key.tool, varveDefault) {
			most = max(most, s.Memory)
		}
	}
	return most
}
