package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/varvekv/varve"
)

var update = flag.Bool("update", false, "rewrite what the scripts expect")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"varve": masked, "rawvarve": raw})
}

// raw is the command as it is.
func raw() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := (&app{out: os.Stdout, errs: os.Stderr, getenv: os.Getenv, now: time.Now}).run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// masked is the command, of whose output that is hidden which is another each time.
func masked() {
	var out, errs bytes.Buffer
	code := (&app{out: &out, errs: &errs, getenv: os.Getenv, now: time.Now}).run(context.Background(), os.Args[1:])
	os.Stdout.WriteString(mask(out.String()))
	os.Stderr.WriteString(mask(errs.String()))
	os.Exit(code)
}

var masks = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`\d{4}/\d\d/\d\d-\d{6}\.\d\d(-[0-9a-f]{6})?`), "FULL"},
	{regexp.MustCompile(`/\d{8}/\d{6}\.\d\d-\d{8}-\d{6}\.\d\d(-[0-9a-f]{6})?`), "/INCREMENTAL"},
	{regexp.MustCompile(`[0-9a-f]{32}`), "ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:]+(\.\d+)?Z(\+\d+)?`), "MOMENT"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "TIME"},
	{regexp.MustCompile(`\b[\d.]+ ?(B|kB|MB|GB)/s`), "RATE"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ns|µs|ms|s)\b`), "DURATION"},
	{regexp.MustCompile(`("seconds"|"duration_nanos"|"[a-z]+_latency_nanos"|"[a-z]+_bytes_per_second"): "?[\d.e-]+"?`), "$1: 0"},
	{regexp.MustCompile(`\b[0-9a-f]{8}  `), "ID8  "},
	{regexp.MustCompile(`varve \(devel\) go[\d.]+[^"\n]*|varve v[^"\n]*go[\d.]+`), "WRITER"},
	{regexp.MustCompile(`  +`), "  "},
}

func mask(s string) string {
	if work := os.Getenv("WORK"); work != "" {
		s = strings.ReplaceAll(s, work, "WORK")
	}
	leading := regexp.MustCompile(`(?m)^ +`)
	for _, m := range masks {
		if m.by == "  " { // what is indented stays so
			var lines []string
			for line := range strings.SplitSeq(s, "\n") {
				in := leading.FindString(line)
				lines = append(lines, in+m.what.ReplaceAllString(line[len(in):], m.by))
			}
			s = strings.Join(lines, "\n")
			continue
		}
		s = m.what.ReplaceAllString(s, m.by)
	}
	return s
}

// TestScripts runs every verb from end to end, as a shell does.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("VARVE_COLLECTION", filepath.Join(env.WorkDir, "backups"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"db": doDB, "status": doStatus, "layer": doLayer, "parses": doParses, "damage": doDamage, "hold": doHold,
		},
	})
}

func testOptions(comparer string) *pebble.Options {
	o := &pebble.Options{Logger: silent{}}
	if comparer == "cockroachdb" {
		o.Comparer, o.KeySchema = &cockroachkvs.Comparer, cockroachkvs.KeySchema.Name
		o.KeySchemas = sstable.MakeKeySchemas(&cockroachkvs.KeySchema)
		o.FormatMajorVersion = pebble.FormatNewest
	}
	return o
}

// doDB writes to a database: db DIR key=value… -key…; with cockroachdb first, in that order.
func doDB(ts *testscript.TestScript, neg bool, args []string) {
	comparer := ""
	if args[0] == "cockroachdb" {
		comparer, args = args[0], args[1:]
	}
	db, err := pebble.Open(ts.MkAbs(args[0]), testOptions(comparer))
	ts.Check(err)
	for _, w := range args[1:] {
		k, v, set := strings.Cut(w, "=")
		key := func(s string) []byte {
			if comparer == "" {
				return []byte(s)
			}
			return cockroachkvs.EncodeMVCCKey(nil, []byte(s), 1, 0)
		}
		if set {
			ts.Check(db.Set(key(k), []byte(v), pebble.NoSync))
		} else {
			ts.Check(db.Delete(key(strings.TrimPrefix(k, "-")), pebble.NoSync))
		}
	}
	ts.Check(db.Flush())
	ts.Check(db.Close())
}

// doStatus runs the command, whose exit status must be the first argument.
func doStatus(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("varve", args[1:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

// doLayer sets a variable to the path, or the ID, of the n-th newest layer.
func doLayer(ts *testscript.TestScript, neg bool, args []string) {
	c, err := varve.OpenCollection(context.Background(), "file://"+ts.Getenv("VARVE_COLLECTION"), nil)
	ts.Check(err)
	defer c.Close()
	left := int(args[2][0] - '0')
	for l, err := range c.Layers(context.Background()) {
		ts.Check(err)
		if left--; left >= 0 {
			continue
		}
		values := map[string]string{"path": l.Path, "id": l.ID, "digits": l.ID[:10], "end": l.End.String()}
		ts.Setenv(args[0], values[args[1]])
		return
	}
	ts.Fatalf("there is no layer %s", args[2])
}

// doParses reads each line, or all, of the standard output as JSON.
func doParses(ts *testscript.TestScript, neg bool, args []string) {
	out := ts.ReadFile("stdout")
	lines := []string{out}
	if args[0] == "lines" {
		lines = strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	}
	for _, line := range lines {
		var v any
		ts.Check(json.Unmarshal([]byte(line), &v))
	}
}

// doDamage changes a byte in the middle of the first file that matches.
func doDamage(ts *testscript.TestScript, neg bool, args []string) {
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(found) == 0 {
		ts.Fatalf("no file %s", args[0])
	}
	b, err := os.ReadFile(found[0])
	ts.Check(err)
	b[len(b)/2] ^= 1
	ts.Check(os.Chmod(found[0], 0o644))
	ts.Check(os.WriteFile(found[0], b, 0o644))
}

// doHold opens a database until the script ends.
func doHold(ts *testscript.TestScript, neg bool, args []string) {
	db, err := pebble.Open(ts.MkAbs(args[0]), testOptions(""))
	ts.Check(err)
	ts.Defer(func() { ts.Check(db.Close()) })
}
