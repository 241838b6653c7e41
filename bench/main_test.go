package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test be the process of one measurement, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == childFlag {
		if err := start(context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestEveryRow runs all that needs no program, and finds a row for each tool in each
// table. What was restored is compared with the data set as in any first round.
func TestEveryRow(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no programs
	out := t.TempDir()
	sets := []string{textSettled, textCompacted, randomSettled}
	p := plan{dir: t.TempDir(), tools: tools(), operations: operations(), rounds: 1, log: t.Output()}
	p.datasets = []dataset{{text, settled, 4e6}, {text, compacted, 4e6}, {random, settled, 4e6}}
	if testing.Short() {
		p.datasets, sets = p.datasets[:1], sets[:1]
	}
	r, err := p.run(t.Context())
	require.NoError(t, err)
	for _, d := range p.datasets {
		for _, op := range p.operations {
			for _, tool := range p.tools {
				c := r.cell(d, op.name, tool.name())
				require.NotEqual(t, len(c.samples) == 0, c.note == "", "%s of %s, %s: %+v", op.name, d.name(), tool.name(), c)
			}
		}
	}
	var report bytes.Buffer
	p.writeBounds(&report, r)
	p.writeTables(&report, r)
	for _, set := range sets {
		for _, op := range operations() {
			table := tableUnder(t, report.String(), fmt.Sprintf("### %s (%s)\n", op.title, set))
			require.Len(t, table, len(p.tools))
			for i, row := range table {
				require.True(t, strings.HasPrefix(row, "| "+p.tools[i].name()+" | "), row)
			}
		}
	}
	require.Contains(t, report.String(), "| restic | missing: apt-get install restic |")
	require.Contains(t, report.String(), "| rocksdb | missing: apt-get install rocksdb-tools |")
	require.Contains(t, report.String(), "| bbolt | none |")
	for _, d := range p.datasets {
		path := filepath.Join(out, d.name()+".svg")
		require.NoError(t, writeSynced(path, func(w io.Writer) error { return p.writePlot(w, r, d) }))
		requirePicture(t, path, "varve, no digest", "bbolt", "missing: apt-get install restic")
	}
	left, err := os.ReadDir(filepath.Join(p.dir, "turn"))
	require.ErrorIs(t, err, os.ErrNotExist, "%v", left)
}

// tableUnder are the rows of the table below a heading.
func tableUnder(t *testing.T, report, heading string) []string {
	_, after, ok := strings.Cut(report, heading)
	require.True(t, ok, heading)
	lines := strings.Split(strings.TrimSpace(after), "\n")
	require.Greater(t, len(lines), 2)
	var rows []string
	for _, line := range lines[2:] {
		if !strings.HasPrefix(line, "|") {
			break
		}
		rows = append(rows, line)
	}
	return rows
}

func requirePicture(t *testing.T, path string, texts ...string) {
	picture, err := os.ReadFile(path)
	require.NoError(t, err)
	d := xml.NewDecoder(bytes.NewReader(picture))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}
	for _, text := range texts {
		require.Contains(t, string(picture), text)
	}
}

func TestGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("builds six databases")
	}
	t.Parallel()
	out := t.TempDir()
	c, err := parse([]string{"-grow", "-size", "1MB", "-rounds", "1", "-dir", t.TempDir(), "-out", out}, t.Output())
	require.NoError(t, err)
	require.NoError(t, c.run(t.Context(), io.Discard, t.Output()))
	report, err := os.ReadFile(filepath.Join(out, "grow.md"))
	require.NoError(t, err)
	for _, size := range []string{"250.0 kB", "500.0 kB", "1.00 MB", "2.00 MB", "4.00 MB", "8.00 MB"} {
		require.Equal(t, 3, strings.Count(string(report), "| "+size+" |"))
	}
	require.Contains(t, string(report), "Command: `go run . -grow -size 1MB")
	for _, name := range []string{"grow-time.svg", "grow-memory.svg", "grow-requests.svg"} {
		requirePicture(t, filepath.Join(out, name), "incremental, 1 % scattered", "8.00 MB")
	}
}

// TestCheck restores what is not the data set.
func TestCheck(t *testing.T) {
	t.Parallel()
	d := dataset{text, settled, 1e6}
	for _, e := range []engine{pebbles{}, badgers{}, bolts{}} {
		t.Run(e.name(), func(t *testing.T) {
			t.Parallel()
			turn := task{Dataset: d, Folder: t.TempDir(), Check: true}
			_, err := e.build(t.Context(), d, turn.restored())
			require.NoError(t, err)
			full, _ := operationNamed(opRestore)
			newest, _ := operationNamed(opNewest)
			restored := onEngine{e: e}
			require.NoError(t, turn.check(t.Context(), restored, full))
			require.ErrorContains(t, turn.check(t.Context(), restored, newest), "restored 8620 rows")
			db, err := e.open(t.Context(), d, turn.restored(), false)
			require.NoError(t, err)
			for _, c := range newest.applied {
				require.NoError(t, db.write(t.Context(), d.changed(c)))
			}
			require.NoError(t, db.Close())
			require.NoError(t, turn.check(t.Context(), restored, newest))
			require.ErrorContains(t, turn.check(t.Context(), restored, full), "restored 8620 rows")
		})
	}
}

// onEngine is a tool that only has an engine.
type onEngine struct {
	tool
	e engine
}

func (o onEngine) engine() engine { return o.e }

func TestDataset(t *testing.T) {
	t.Parallel()
	for _, d := range []dataset{{text, settled, 2e6}, {random, settled, 2e6}} {
		var previous []byte
		n := uint64(0)
		for key, value := range d.sorted() {
			require.Negative(t, bytes.Compare(previous, key))
			require.Len(t, key, keyBytes)
			require.Len(t, value, int(d.valueBytes()))
			previous, n = append(previous[:0], key...), n+1
		}
		require.Equal(t, d.rows(), n)
		require.Equal(t, fingerprintOf(d.sorted()), fingerprintOf(d.shuffled()))
		one, two := change{Generation: 1, Clustered: true}, change{Generation: 2, Clustered: true} // of the same rows
		require.NotEqual(t, fingerprintOf(d.shuffled()), fingerprintOf(d.after([]change{one})))
		require.NotEqual(t, fingerprintOf(d.after([]change{one, two})), fingerprintOf(d.after([]change{two, one})))
	}
}

func TestChange(t *testing.T) {
	t.Parallel()
	d := dataset{text, settled, 20e6}
	for _, c := range []change{{Generation: 1}, {Generation: 2, Clustered: true}} {
		keys := map[string]bool{}
		for key := range d.changed(c) {
			keys[string(key)] = true
		}
		require.InDelta(t, float64(d.rows())/100, float64(len(keys)), float64(d.rows())/1000)
		runs, within := 0, false
		for key := range d.sorted() {
			if keys[string(key)] && !within {
				runs++
			}
			within = keys[string(key)]
		}
		require.Equal(t, c.Clustered, runs == 1)
	}
}

func TestHex(t *testing.T) {
	t.Parallel()
	d := dataset{random, settled, 1e6}
	var lines bytes.Buffer
	require.NoError(t, writeHex(unclosed{&lines}, d.shuffled()))
	var got fingerprint
	printed := strings.ReplaceAll(lines.String(), " ==> ", " : ") // ldb loads one form and prints the other
	require.NoError(t, readHex(strings.NewReader(printed), got.add))
	require.Equal(t, fingerprintOf(d.shuffled()), got)
	for _, line := range []string{"0x00", "0x00 : 00", "00 : 0x00", "0x0 : 0x00", "0x00 : 0xgg"} {
		require.Error(t, readHex(strings.NewReader(line), got.add), line)
	}
}

type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

func TestParse(t *testing.T) {
	t.Parallel()
	c, err := parse([]string{"-size", "0.25GB", "-only", "^varve"}, t.Output())
	require.NoError(t, err)
	require.Equal(t, int64(250e6), c.size)
	require.Equal(t, 3, c.rounds)
	require.Equal(t, regexp.MustCompile("^varve"), c.only)
	c, err = parse([]string{"-size", "20MB"}, t.Output())
	require.NoError(t, err)
	require.Equal(t, 1, c.rounds)
	for _, args := range [][]string{{"-size", "5"}, {"-size", "1TB"}, {"-rounds", "-1"}, {"-keep"}, {"-only", "("}, {"more"}} {
		_, err := parse(args, t.Output())
		require.Error(t, err, args)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	_, ok := (*cell)(nil).summary()
	require.False(t, ok)
	c := cell{samples: []sample{{Wall: 9, CPU: 1, Memory: 3}, {Wall: 2, CPU: 3, Memory: 8}, {Wall: 4, CPU: 2, Memory: 5}}}
	s, ok := c.summary()
	require.True(t, ok)
	require.Equal(t, sample{Wall: 4, CPU: 2, Memory: 8}, s)
}

func TestBounds(t *testing.T) {
	t.Parallel()
	d := dataset{text, settled, 1e6}
	r := &results{cells: map[cellKey]*cell{}}
	r.cell(d, opFull, varveDefault).samples = []sample{{Wall: time.Second, Stored: 120, Memory: maxMemory + 1}}
	r.cell(d, opFull, resticDefault).samples = []sample{{Wall: 4 * time.Second, Stored: 100}}
	p := plan{datasets: []dataset{d}}
	var report bytes.Buffer
	p.writeBounds(&report, r)
	require.Contains(t, report.String(), "| full: wall | text-settled | restic | 0.25 | 0.40 | met |")
	require.Contains(t, report.String(), "| full: stored bytes | text-settled | restic | 1.20 | 1.15 | **missed** |")
	require.Contains(t, report.String(), "| 1 % scattered: wall | text-settled | restic | – | 0.40 | not measured |")
	require.Contains(t, report.String(), "| 200 MiB | 200 MiB | **missed** |")

	require.ErrorContains(t, p.guard(r, 2), "memory")
	r.cell(d, opFull, varveDefault).samples[0].Memory = 0
	require.NoError(t, p.guard(r, 2))
	r.cell(d, opFull, varveDefault).samples[0].Wall = time.Minute
	require.ErrorContains(t, p.guard(r, 2), "full: wall, text-settled, compared with restic: 15.00")
	require.Error(t, p.guard(&results{cells: map[cellKey]*cell{}}, 2))
}
