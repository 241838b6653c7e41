package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// growSteps are how often the size doubles.
const growSteps = 6

// growth is what varve costs as a database grows, from a quarter of a size to eight times
// that.
type growth struct {
	plan
	sizes   []int64
	results []*results // by size
}

func newGrowth(p plan, size int64) *growth {
	g := &growth{plan: p}
	g.tools = []tool{varveTool{title: varveDefault}}
	g.operations = slices.DeleteFunc(operations(), func(o operation) bool {
		return o.name != opFull && o.name != opRandom && o.name != opRestore
	})
	for i := range growSteps {
		g.sizes = append(g.sizes, size/4<<i)
	}
	return g
}

func (g *growth) dataset(size int64) dataset {
	return dataset{Kind: text, Layout: settled, Bytes: size}
}

func (g *growth) run(ctx context.Context) error {
	for _, size := range g.sizes {
		g.datasets = []dataset{g.dataset(size)}
		r, err := g.plan.run(ctx)
		if err != nil {
			return err
		}
		g.results = append(g.results, r)
	}
	return nil
}

func (g *growth) write(w io.Writer) {
	fmt.Fprintf(w, "\n## Cost by size: %s, %s\n\n", varveDefault, textSettled)
	fmt.Fprintln(w, "| size | operation | wall | CPU | stored | memory | requests |")
	fmt.Fprintln(w, "|--:|---|--:|--:|--:|--:|--:|")
	for i, size := range g.sizes {
		for _, op := range g.operations {
			s, _ := g.results[i].cell(g.dataset(size), op.name, varveDefault).summary()
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", megabytes(size), op.title, duration(s.Wall), duration(s.CPU),
				storedBy(op, s), mebibytes(s.Memory), requests(s))
		}
	}
}

// plot draws time, memory and requests into a folder.
func (g *growth) plot(dir string) error {
	draw := func(file, title string, quantity func(sample) float64, format func(float64) string) error {
		var lines []line
		for _, op := range g.operations {
			l := line{label: op.short}
			for i, size := range g.sizes {
				s, _ := g.results[i].cell(g.dataset(size), op.name, varveDefault).summary()
				l.points = append(l.points, point{size, quantity(s)})
			}
			lines = append(lines, l)
		}
		return writeSynced(filepath.Join(dir, file), func(w io.Writer) error { return writeLines(w, title, lines, format) })
	}
	return errors.Join(
		draw("grow-time.svg", "Wall time by size of the database", wall, seconds),
		draw("grow-memory.svg", "Memory by size of the database", func(s sample) float64 { return float64(s.Memory) },
			func(v float64) string { return mebibytes(int64(v)) }),
		draw("grow-requests.svg", "Requests by size of the database", func(s sample) float64 { return float64(s.Requests) },
			func(v float64) string { return fmt.Sprintf("%.0f", v) }))
}
