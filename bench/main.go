package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := start(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// start is the program, or the process of one measurement.
func start(ctx context.Context, args []string) error {
	if slices.Equal(args, []string{childFlag}) {
		return serveChild(ctx, os.Stdin, os.Stdout)
	}
	c, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	return c.run(ctx, os.Stdout, os.Stderr)
}

// command is what the flags say.
type command struct {
	args   []string
	size   int64
	rounds int
	dir    string
	only   *regexp.Regexp
	out    string
	grow   bool
	keep   bool
	guard  float64
}

func parse(args []string, usage io.Writer) (*command, error) {
	c := &command{args: args, size: 1e9, only: regexp.MustCompile("")}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.Func("size", "keys and values of a data set, as 1GB or 20MB (default 1GB)", func(s string) (err error) { c.size, err = parseSize(s); return err })
	flags.IntVar(&c.rounds, "rounds", 0, "rounds of which the median counts (default 3, and 1 below 100MB)")
	flags.StringVar(&c.dir, "dir", "", "folder for databases and backups (default a temporary one)")
	flags.Func("only", "regular expression of tools to measure (default all)", func(s string) (err error) { c.only, err = regexp.Compile(s); return err })
	flags.StringVar(&c.out, "out", "", "folder for results.md and plots (default: tables to the standard output)")
	flags.BoolVar(&c.grow, "grow", false, "measure varve alone, from a quarter of the size to eight times the size")
	flags.BoolVar(&c.keep, "keep", false, "keep the databases, for the next run with the same -dir")
	flags.Float64Var(&c.guard, "guard", 0, "fail if a ratio is more than so many times what is usual")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("%q is no flag", flags.Arg(0))
	case c.rounds < 0:
		return nil, errors.New("-rounds must be at least 1")
	case c.guard < 0, c.guard > 0 && c.grow:
		return nil, errors.New("-guard is a factor for ratios, which -grow has none of")
	case c.keep && c.dir == "":
		return nil, errors.New("-keep needs -dir")
	}
	if c.rounds == 0 {
		c.rounds = 3
		if c.size < fewRoundsBelow {
			c.rounds = 1
		}
	}
	return c, nil
}

// parseSize reads 1GB, 250MB or 0.25GB.
func parseSize(s string) (int64, error) {
	unit := 1.0
	for suffix, bytes := range map[string]float64{"GB": 1e9, "MB": 1e6} {
		if number, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = number, bytes
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if size := int64(n * unit); err != nil || size < minSize {
		return 0, fmt.Errorf("a size is like 1GB or 20MB, and at least %s", megabytes(minSize))
	}
	return int64(n * unit), nil
}

// minSize is the least at which one row in a hundred is some rows.
const minSize = 1e6

// fewRoundsBelow is the size below which a run only shows that all is well.
const fewRoundsBelow = 100e6

func (c *command) run(ctx context.Context, stdout, log io.Writer) (err error) {
	dir, err := c.folder()
	if err != nil {
		return err
	}
	if !c.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	p := plan{dir: dir, operations: operations(), rounds: c.rounds, log: log}
	for _, t := range tools() {
		if c.only.MatchString(t.name()) {
			p.tools = append(p.tools, t)
		}
	}
	var report bytes.Buffer
	fmt.Fprint(&report, "# Results\n\n")
	writeMachine(ctx, &report, dir, c.args)
	if c.grow {
		return c.runGrowth(ctx, newGrowth(p, c.size), &report, stdout)
	}
	p.datasets = []dataset{{text, settled, c.size}, {text, compacted, c.size}, {random, settled, c.size}}
	r, err := p.run(ctx)
	if err != nil {
		return err
	}
	p.writeBounds(&report, r)
	p.writeTables(&report, r)
	for _, d := range p.datasets {
		plot := func(w io.Writer) error { return p.writePlot(w, r, d) }
		if err := c.writeOut(d.name()+".svg", plot); err != nil {
			return err
		}
	}
	if err := c.deliver("results.md", &report, stdout); err != nil || c.guard == 0 {
		return err
	}
	return p.guard(r, c.guard)
}

func (c *command) runGrowth(ctx context.Context, g *growth, report *bytes.Buffer, stdout io.Writer) error {
	if err := g.run(ctx); err != nil {
		return err
	}
	g.write(report)
	if c.out != "" {
		if err := errors.Join(os.MkdirAll(c.out, 0o755), g.plot(c.out)); err != nil {
			return err
		}
	}
	return c.deliver("grow.md", report, stdout)
}

// folder is a new folder for this run, or that of -keep. Nothing but what the bench has
// made is ever removed.
func (c *command) folder() (string, error) {
	if !c.keep {
		dir, err := os.MkdirTemp(c.dir, "varve-bench-")
		if err != nil {
			return "", err
		}
		return filepath.Abs(dir)
	}
	dir, err := filepath.Abs(filepath.Join(c.dir, "varve-bench"))
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// writeOut writes a file into the folder of -out, if there is one.
func (c *command) writeOut(name string, write func(io.Writer) error) error {
	if c.out == "" {
		return nil
	}
	if err := os.MkdirAll(c.out, 0o755); err != nil {
		return err
	}
	return writeSynced(filepath.Join(c.out, name), write)
}

func (c *command) deliver(name string, report *bytes.Buffer, stdout io.Writer) error {
	if c.out == "" {
		_, err := report.WriteTo(stdout)
		return err
	}
	return c.writeOut(name, func(w io.Writer) error { _, err := report.WriteTo(w); return err })
}
