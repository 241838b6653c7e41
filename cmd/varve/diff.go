package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
)

// jsonChange is a line of diff --json.
type jsonChange struct {
	jsonEntry
	Change string  `json:"change"` // added, changed, deleted
	Before *string `json:"before"` // null: there was nothing
}

func (a *app) diffCommand() *cobra.Command {
	var start, end, prefix string
	var exit, values bool
	cmd := &cobra.Command{
		Use: "diff BEFORE [AFTER]", Short: "Print which keys differ between two backups", Args: arguments(cobra.RangeArgs(1, 2)),
		Long: `Print which keys differ between two backups: + for one that is new, ~ for one with another
value, - for one that is gone. AFTER is the latest unless it is named. Of two backups of
one chain only what changed is read.`,
		Example: `  varve diff 2026/11/22-063159.37 -c s3://bucket/orders
  varve diff monday tuesday --prefix customer/ --values -c s3://bucket/orders`,
		ValidArgsFunction: a.completeLayers,
		RunE: func(cmd *cobra.Command, args []string) error {
			span, err := a.span(cmd, start, end, prefix)
			if err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, c *varve.Collection) error {
				n, err := a.diff(ctx, c, args[0], layerArgument(args, 1), span, values)
				if err == nil && n > 0 && exit {
					return errDiffers
				}
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&start, "start", "", "first `key`")
	f.StringVar(&end, "end", "", "`key` before which to end")
	f.StringVar(&prefix, "prefix", "", "compare the keys that begin with `this`")
	f.BoolVar(&values, "values", false, "print values, too: that of now, or of what is gone")
	f.BoolVar(&exit, "exit-code", false, "exit with 8 if there is a difference")
	a.hexFlag(cmd)
	return cmd
}

func (a *app) diff(ctx context.Context, c *varve.Collection, before, after string, span varve.Span, values bool) (n int64, err error) {
	was, err := reader(ctx, c, before, varve.Timestamp{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, was.Close()) }()
	is, err := reader(ctx, c, after, varve.Timestamp{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, is.Close()) }()
	changes, err := is.Diff(ctx, was, span)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, changes.Close()) }()
	for changes.Next() {
		n++
		if err := a.printChange(changes, values); err != nil {
			return n, err
		}
	}
	return n, changes.Err()
}

func (a *app) printChange(c export.Changes, values bool) error {
	e, former := c.Entry(), c.Former()
	change, sign := "changed", "~"
	switch {
	case e.Kind == export.Delete || e.Kind == export.RangeKeyUnset:
		change, sign = "deleted", "-"
	case former == nil:
		change, sign = "added", "+"
	}
	if a.json {
		out := jsonChange{jsonEntry: a.jsonEntry(e), Change: change}
		out.Kind = ""
		if former != nil {
			was := a.text(former.Value)
			out.Before = &was
		}
		return a.printLine(out)
	}
	line := sign + " " + a.text(e.Key)
	if e.Kind.IsRange() {
		line = fmt.Sprintf("%s [%s, %s) %s", sign, a.text(e.Key), a.text(e.End), a.text(e.Suffix))
	}
	if values {
		shown := e.Value
		if change == "deleted" && former != nil {
			shown = former.Value
		}
		line += "\t" + a.text(shown)
	}
	_, err := fmt.Fprintln(a.out, line)
	return err
}
