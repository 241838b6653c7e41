package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
)

// FuzzText: bytes are printed on one line without a tab, and parsed again.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "apple", `a\b"c'`, "\x00\xff\n\t", "ärger \u2028", `\"`, `\\"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, hex := range []bool{false, true} {
			a := &app{hex: hex}
			text := a.text(b)
			require.NotContains(t, text, "\n")
			require.NotContains(t, text, "\t")
			got, err := a.parse(new(cobra.Command), "KEY", text)
			require.NoError(t, err)
			require.Equal(t, string(b), string(got))
		}
	})
}

func TestText(t *testing.T) {
	t.Parallel()
	a := new(app)
	require.Equal(t, `say "hi"\n`, a.text([]byte("say \"hi\"\n")))
	for _, bad := range []string{`\`, `\x1`, `\q`, `\"`} {
		_, err := a.parse(new(cobra.Command), "KEY", bad)
		require.Equal(t, exitUsage, exitCode(err), bad)
	}
	require.Equal(t, "a to b", a.spanText(varve.Span{Start: []byte("a"), End: []byte("b")}))
	require.Equal(t, "everything", a.spanText(varve.Span{}))
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 9949: "9.9 kB", 12_345: "12 kB", 999_999: "1.0 MB", 5_000_000_000: "5.0 GB", math.MaxInt64: "9.2 EB",
	} {
		require.Equal(t, want, size(n))
	}
	require.Equal(t, "1 key", count(1, "key"))
	require.Equal(t, "2 keys", count(2, "key"))
	require.Equal(t, "0 entries", count(0, "entry"))
	require.Equal(t, "3d", age(80*time.Hour))
	require.Equal(t, "0s", age(-time.Hour))
	require.Equal(t, "59m", age(59*time.Minute))
}

// TestExitCodes: scripts go by these numbers, which docs/command.md lists.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		code int
	}{
		{errors.New("disk"), 1},
		{&varve.OptionError{}, 2}, {&usageError{}, 2}, {&varve.OrderError{}, 2},
		{varve.ErrNoLayer, 3}, {varve.ErrNoFull, 3}, {&varve.NoRestorePointError{}, 3}, {&varve.TargetError{}, 3}, {errNoEntry, 3},
		{&varve.CorruptError{}, 4}, {&varve.ChainGapError{}, 4}, {errors.Join(varve.ErrNoKey, &varve.CorruptError{}), 4},
		{varve.ErrNoKey, 5}, {varve.ErrWrongKey, 5},
		{&varve.NotEmptyError{}, 6}, {&varve.AccessError{Err: errors.New("no")}, 6}, {&varve.LineageError{}, 6},
		{varve.ErrConflict, 7}, {&varve.LockedError{}, 7}, {errBusy, 7},
		{&varve.FormatError{}, 9},
		{context.Canceled, 130},
	} {
		require.Equal(t, c.code, exitCode(fmt.Errorf("verb place: %w", c.err)), "%T", c.err)
	}
}

// TestInterrupted: a context that ends is its own status, whatever failed by it.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	a := &app{out: &out, errs: &errs, getenv: func(string) string { return "" }, now: time.Now}
	require.Equal(t, exitInterrupted, a.run(ctx, []string{"list", "-c", t.TempDir()}))
	require.Equal(t, "varve: interrupted\n", errs.String())
}

// TestSecretsAreNotShown: what of a URL may be secret is in no advice.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	a := &app{collection: "s3://user:hunter2@bucket/path?secret=hunter2"}
	require.Equal(t, "s3://bucket/path", a.shown())
}

// TestProgress: a bar on a terminal, lines elsewhere, one at the end of each phase.
func TestProgress(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	p := (&app{errs: &errs}).progress()
	show := p.events().Progress
	for s := range 25 {
		show(varve.ProgressInfo{Phase: varve.PhaseExport, Done: int64(s) * 1000, Total: 25_000, Elapsed: time.Duration(s) * time.Second})
	}
	show(varve.ProgressInfo{Phase: varve.PhaseAudit, Done: 5, Total: 5, Elapsed: time.Second})
	p.end()
	p.end()
	require.Equal(t, `export: 10 kB of 25 kB, 40 % in 10s
export: 20 kB of 25 kB, 80 % in 20s
export: 24 kB of 25 kB, 96 % in 24s
audit: 5 B of 5 B, 100 % in 1s
`, errs.String())

	errs.Reset()
	p = &progress{a: &app{errs: &errs}, terminal: true}
	show = p.events().Progress
	show(varve.ProgressInfo{Phase: varve.PhaseLoad, Done: 50, Total: 100})
	show(varve.ProgressInfo{Phase: varve.PhaseLoad, Done: 100, Total: 100})
	p.end()
	require.Contains(t, errs.String(), "load")
	require.Contains(t, errs.String(), "100%")
	require.Nil(t, (&app{quiet: true}).progress().events())
}
