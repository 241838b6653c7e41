package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
)

// printJSON writes one indented value.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printLine writes one value on a line, as streams have it.
func (a *app) printLine(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table writes rows in columns.
func (a *app) table(rows [][]string) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t")) // Flush has its error
	}
	return w.Flush()
}

// size is bytes for people.
func size(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1000, 0
	for v >= 999.5 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	if v < 10 {
		return fmt.Sprintf("%.1f %cB", v, units[i])
	}
	return fmt.Sprintf("%.0f %cB", v, units[i])
}

// count is a number and its noun.
func count(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if stem, ok := strings.CutSuffix(one, "y"); ok && !strings.HasSuffix(one, "ey") {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// duration is one for people.
func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// clock is a moment for people; varve's own form, which --as-of takes, is exact.
func clock(t varve.Timestamp) string {
	if t.IsZero() {
		return "the beginning"
	}
	return t.Time().Format("2006-01-02 15:04:05")
}

// text is bytes as they are printed, and parsed again: printable UTF-8 stands for itself,
// the rest and the backslash are escaped as in Go; or hex digits.
func (a *app) text(b []byte) string {
	if a.hex {
		return hex.EncodeToString(b)
	}
	quoted := strconv.Quote(string(b))
	return strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(quoted[1:len(quoted)-1], `\\`, "\x00"), `\"`, `"`), "\x00", `\\`)
}

// parse is the inverse of text.
func (a *app) parse(cmd *cobra.Command, what, s string) ([]byte, error) {
	if a.hex {
		b, err := hex.DecodeString(s)
		if err != nil {
			return nil, usagef(cmd, "%s %q: want hex digits, two for each byte", what, s)
		}
		return b, nil
	}
	var out []byte
	for rest := s; len(rest) > 0; {
		if rest[0] != '\\' {
			out, rest = append(out, rest[0]), rest[1:]
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(rest, 0)
		if err != nil {
			return nil, usagef(cmd, `%s %q: escapes are \\, \n, \t, \xff and the others of Go`, what, s)
		}
		if rest = tail; multibyte {
			out = utf8.AppendRune(out, r)
		} else {
			out = append(out, byte(r))
		}
	}
	return out, nil
}

// spanText is a span for people.
func (a *app) spanText(s varve.Span) string {
	switch {
	case len(s.Start) == 0 && len(s.End) == 0:
		return "everything"
	case len(s.End) == 0:
		return "from " + a.text(s.Start)
	case len(s.Start) == 0:
		return "up to " + a.text(s.End)
	}
	return a.text(s.Start) + " to " + a.text(s.End)
}

// jsonSpan is a span with its keys as text.
type jsonSpan struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

func (a *app) jsonSpans(spans []varve.Span) []jsonSpan {
	out := []jsonSpan{}
	for _, s := range spans {
		out = append(out, jsonSpan{Start: a.text(s.Start), End: a.text(s.End)})
	}
	return out
}

// hexFlag adds --hex to a command that prints or takes keys.
func (a *app) hexFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.hex, "hex", false, "keys and values are hex digits, here and in what is printed")
}
