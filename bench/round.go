package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// plan is what is measured: every operation with every tool on every data set, in
// rounds.
type plan struct {
	dir        string // where databases and backups lie
	datasets   []dataset
	tools      []tool
	operations []operation
	rounds     int
	log        io.Writer
}

// cell is what there is of one operation.
type cell struct {
	samples []sample
	note    string // instead of samples
}

type cellKey struct{ dataset, operation, tool string }

// results are the cells, and how databases lie on disk.
type results struct {
	cells map[cellKey]*cell
	lies  map[string]map[string]string // by data set and engine
}

func (r *results) cell(d dataset, operation, tool string) *cell {
	key := cellKey{d.name(), operation, tool}
	if r.cells[key] == nil {
		r.cells[key] = new(cell)
	}
	return r.cells[key]
}

// run measures all of it.
func (p *plan) run(ctx context.Context) (*results, error) {
	r := &results{cells: map[cellKey]*cell{}, lies: map[string]map[string]string{}}
	for round := range p.rounds {
		for _, d := range p.datasets {
			for _, t := range p.tools {
				note := p.leftOut(d, t)
				if note != "" {
					for _, op := range p.operations {
						r.cell(d, op.name, t.name()).note = note
					}
					continue
				}
				if err := p.turn(ctx, r, round, d, t); err != nil {
					return r, err
				}
			}
		}
	}
	return r, nil
}

// leftOut says why a tool does nothing with a data set; "" if it does.
func (p *plan) leftOut(d dataset, t tool) string {
	if note := missing(t); note != "" {
		return note
	}
	same := func(other dataset) bool { return other.Kind == d.Kind && other.Layout == settled }
	if d.Layout == compacted && !t.engine().compacts() && slices.ContainsFunc(p.datasets, same) {
		return "has one layout: see " + dataset{Kind: d.Kind, Layout: settled}.name()
	}
	return ""
}

// turn is one tool's, with a copy of the database.
func (p *plan) turn(ctx context.Context, r *results, round int, d dataset, t tool) (err error) {
	source, lies, err := p.source(ctx, d, t.engine())
	if err != nil {
		return fmt.Errorf("build %s in %s: %w", d.name(), t.engine().name(), err)
	}
	if r.lies[d.name()] == nil {
		r.lies[d.name()] = map[string]string{}
	}
	r.lies[d.name()][t.engine().name()] = lies
	turn := task{Tool: t.name(), Dataset: d, Folder: filepath.Join(p.dir, "turn"), Kept: filepath.Join(p.dir, "kept"), Check: round == 0}
	if err := errors.Join(os.RemoveAll(turn.Folder), os.MkdirAll(turn.Kept, 0o755), clone(source, turn.database())); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(turn.Folder)) }()
	_, incremental := r.cells[cellKey{d.name(), opNothing, t.name()}]
	incremental = !incremental || r.cell(d, opNothing, t.name()).note == ""
	for _, op := range p.operations {
		c := r.cell(d, op.name, t.name())
		if op.needsIncrementals() && !incremental {
			c.note = noSuchThing
			continue
		}
		turn.Operation = op.name
		s, err := turn.measureApart(ctx)
		if err != nil {
			return err
		}
		if s.Unsupported {
			c.note = noSuchThing
			incremental = incremental && !op.needsIncrementals()
			continue
		}
		c.samples = append(c.samples, s)
		p.say("round %d  %-15s %-32s %-9s %10v", round+1, d.name(), t.name(), op.name, s.Wall.Round(100*time.Microsecond))
	}
	return nil
}

// noSuchThing is in the cells of what a tool cannot do.
const noSuchThing = "none"

// source is the database of a data set, which is built if it is not there.
func (p *plan) source(ctx context.Context, d dataset, e engine) (dir, lies string, err error) {
	dir = filepath.Join(p.dir, fmt.Sprintf("%s-%d-%s", d.name(), d.Bytes, e.name()))
	complete := dir + ".txt" // says how it lies, and is there when the database is whole
	if known, err := os.ReadFile(complete); err == nil {
		return dir, string(known), nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", "", err
	}
	begun := time.Now()
	if lies, err = e.build(ctx, d, dir); err != nil {
		return "", "", err
	}
	p.say("built    %-15s %-32s %s, %v", d.name(), e.name(), lies, time.Since(begun).Round(time.Millisecond))
	return dir, lies, os.WriteFile(complete, []byte(lies), 0o644)
}

func (p *plan) say(format string, args ...any) { fmt.Fprintf(p.log, format+"\n", args...) }

// summary is the median of each quantity, and of memory the most.
func (c *cell) summary() (s sample, ok bool) {
	if c == nil || len(c.samples) == 0 {
		return s, false
	}
	s = c.samples[0]
	s.Wall = medianOf(c.samples, func(s sample) time.Duration { return s.Wall })
	s.CPU = medianOf(c.samples, func(s sample) time.Duration { return s.CPU })
	s.Stored = medianOf(c.samples, func(s sample) int64 { return s.Stored })
	s.Requests = medianOf(c.samples, func(s sample) int64 { return s.Requests })
	for _, other := range c.samples {
		s.Memory = max(s.Memory, other.Memory)
	}
	return s, true
}

func medianOf[T cmp.Ordered](samples []sample, quantity func(sample) T) T {
	var all []T
	for _, s := range samples {
		all = append(all, quantity(s))
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}
