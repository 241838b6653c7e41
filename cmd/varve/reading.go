package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
)

// jsonEntry is an entry as get, scan and diff print it with --json.
type jsonEntry struct {
	Kind      string `json:"kind,omitempty"`
	Key       string `json:"key"`
	End       string `json:"end,omitempty"`
	Suffix    string `json:"suffix,omitempty"`
	Value     string `json:"value"`
	Timestamp string `json:"timestamp,omitempty"`
}

func (a *app) jsonEntry(e *export.Entry) jsonEntry {
	out := jsonEntry{Key: a.text(e.Key), End: a.text(e.End), Suffix: a.text(e.Suffix), Value: a.text(e.Value)}
	if e.Kind != export.Set {
		out.Kind = e.Kind.String()
	}
	if !e.Timestamp.IsZero() {
		out.Timestamp = e.Timestamp.String()
	}
	return out
}

// source is the backup that is read.
type source struct{ from, asOf string }

func (s *source) flags(cmd *cobra.Command, a *app) *cobra.Command {
	cmd.Flags().StringVar(&s.from, "from", "", "`LAYER` to read; else the latest, or the newest that has --as-of")
	cmd.Flags().StringVar(&s.asOf, "as-of", "", "`moment` to read; else the end of the backup")
	a.hexFlag(cmd)
	return completing(cmd, a)
}

// read runs a verb on the backup, and closes it.
func (a *app) read(cmd *cobra.Command, s *source, verb func(context.Context, *varve.Reader) error) error {
	at, err := moment(cmd, s.asOf)
	if err != nil {
		return err
	}
	return a.with(cmd, func(ctx context.Context, c *varve.Collection) (err error) {
		r, err := reader(ctx, c, s.from, at)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		return verb(ctx, r)
	})
}

func reader(ctx context.Context, c *varve.Collection, from string, at varve.Timestamp) (*varve.Reader, error) {
	name, err := find(ctx, c, from)
	if err != nil {
		return nil, err
	}
	return c.OpenReader(ctx, name, &varve.ReaderOptions{AsOf: at})
}

func (a *app) getCommand() *cobra.Command {
	var s source
	var history bool
	cmd := &cobra.Command{
		Use: "get KEY", Short: "Print the value of a key, straight from the bucket", Args: arguments(cobra.ExactArgs(1)),
		Long: `Print the value of a key, straight from the bucket: nothing is restored. The value comes as
it is, without a newline where the output is no terminal. A key that was not there is
exit status 3.

With --history, print what the key was at the end of each backup that changed it or,
of a store that keeps revisions, each revision that the backups hold.`,
		Example: `  varve get customer/4711 -c s3://bucket/orders
  varve get customer/4711 --as-of 2026-11-24T02:00:00Z -c s3://bucket/orders
  varve get 'bin\x00key' --history -c s3://bucket/orders`,
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := a.parse(cmd, "KEY", args[0])
			if err != nil {
				return err
			}
			return a.read(cmd, &s, func(ctx context.Context, r *varve.Reader) error {
				if history {
					return a.history(ctx, r, key)
				}
				return a.get(ctx, r, key)
			})
		},
	}
	cmd.Flags().BoolVar(&history, "history", false, "print what the key was before, too, the newest first")
	return s.flags(cmd, a)
}

func (a *app) get(ctx context.Context, r *varve.Reader, key []byte) error {
	e, found, err := r.Get(ctx, key)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%s as of %s: %w", a.text(key), r.AsOf(), errNoEntry)
	}
	switch {
	case a.json:
		return a.printJSON(a.jsonEntry(&e))
	case a.hex:
		_, err = fmt.Fprintln(a.out, hex.EncodeToString(e.Value))
		return err
	}
	if _, err := a.out.Write(e.Value); err != nil || !isTerminal(a.out) {
		return err
	}
	_, err = fmt.Fprintln(a.out)
	return err
}

// jsonRevision is a line of get --history --json.
type jsonRevision struct {
	Timestamp varve.Timestamp `json:"timestamp"`
	Layer     string          `json:"layer"`
	Deleted   bool            `json:"deleted"`
	Value     string          `json:"value"`
}

func (a *app) history(ctx context.Context, r *varve.Reader, key []byte) error {
	n := 0
	for v, err := range r.History(ctx, key) {
		if err != nil {
			return err
		}
		n++
		if a.json {
			err = a.printLine(jsonRevision{Timestamp: v.Timestamp, Layer: v.Layer.Path, Deleted: v.Deleted, Value: a.text(v.Value)})
		} else if v.Deleted {
			_, err = fmt.Fprintf(a.out, "%s\tdeleted\n", v.Timestamp)
		} else {
			_, err = fmt.Fprintf(a.out, "%s\tset\t%s\n", v.Timestamp, a.text(v.Value))
		}
		if err != nil {
			return err
		}
	}
	if n == 0 {
		return fmt.Errorf("%s up to %s: %w", a.text(key), r.AsOf(), errNoEntry)
	}
	return nil
}

func (a *app) scanCommand() *cobra.Command {
	var s source
	var start, end, prefix string
	var limit int
	var keysOnly bool
	cmd := &cobra.Command{
		Use: "scan", Short: "Print keys and values, straight from the bucket", Args: arguments(cobra.NoArgs),
		Long: `Print keys and values, straight from the bucket: nothing is restored. Each is a line with
the key, a tab and the value, escaped as in Go, so that any bytes pass; with --json each
is an object on a line.`,
		Example: `  varve scan --prefix customer/ -c s3://bucket/orders
  varve scan --start a --end b --limit 10 --keys-only -c s3://bucket/orders
  varve scan --json -c s3://bucket/orders | jq -r .key`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			span, err := a.span(cmd, start, end, prefix)
			if err != nil {
				return err
			}
			if limit < 0 {
				return usagef(cmd, "--limit %d is negative", limit)
			}
			return a.read(cmd, &s, func(ctx context.Context, r *varve.Reader) error { return a.scan(ctx, r, span, limit, keysOnly) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&start, "start", "", "first `key`")
	f.StringVar(&end, "end", "", "`key` before which to end")
	f.StringVar(&prefix, "prefix", "", "print the keys that begin with `this`")
	f.IntVar(&limit, "limit", 0, "print the first `n` only; 0: all")
	f.BoolVar(&keysOnly, "keys-only", false, "print no values")
	return s.flags(cmd, a)
}

func (a *app) span(cmd *cobra.Command, start, end, prefix string) (varve.Span, error) {
	if prefix != "" {
		if start != "" || end != "" {
			return varve.Span{}, usagef(cmd, "--prefix is instead of --start and --end")
		}
		p, err := a.parse(cmd, "--prefix", prefix)
		return export.PrefixSpan(p), err
	}
	from, err := a.parse(cmd, "--start", start)
	if err != nil {
		return varve.Span{}, err
	}
	to, err := a.parse(cmd, "--end", end)
	return varve.Span{Start: from, End: to}, err
}

func (a *app) scan(ctx context.Context, r *varve.Reader, span varve.Span, limit int, keysOnly bool) (err error) {
	c, err := r.Scan(ctx, span)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for n := 0; (limit == 0 || n < limit) && c.Next(); n++ {
		if err := a.printEntry(c.Entry(), keysOnly); err != nil {
			return err
		}
	}
	return c.Err()
}

func (a *app) printEntry(e *export.Entry, keysOnly bool) error {
	if keysOnly {
		e = &export.Entry{Kind: e.Kind, Key: e.Key, End: e.End, Suffix: e.Suffix, Timestamp: e.Timestamp}
	}
	if a.json {
		return a.printLine(a.jsonEntry(e))
	}
	line := a.text(e.Key)
	if e.Kind.IsRange() {
		line = fmt.Sprintf("[%s, %s) %s", a.text(e.Key), a.text(e.End), a.text(e.Suffix))
	}
	if !keysOnly {
		line += "\t" + a.text(e.Value)
	}
	_, err := fmt.Fprintln(a.out, line)
	return err
}
