package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

// verified is what verify --json prints.
type verified struct {
	Layer       listedLayer `json:"layer"`
	Layers      int         `json:"layers"`
	Level       string      `json:"level"`
	Files       int64       `json:"files"`
	StoredBytes int64       `json:"stored_bytes"`
	Entries     int64       `json:"entries"`
	Requests    int64       `json:"requests"`
	Seconds     float64     `json:"seconds"`
	Problems    []string    `json:"problems"`
}

func (a *app) verifyCommand() *cobra.Command {
	var level string
	var rate int64
	cmd := &cobra.Command{
		Use: "verify [LAYER]", Short: "Prove that a backup can be restored", Args: arguments(cobra.MaximumNArgs(1)),
		Long: `Prove that a backup can be restored, as far as --level says. Each level includes those
before it:
  exists     every file is there
  size       and as long as it was
  hash       and every stored byte is the one that was written (needs no key)
  order      and the tables can be read, keys in order
  digest     and hold the state that the store had
  rehearsal  and have it still after a restore into memory`,
		Example: `  varve verify -c s3://bucket/orders
  varve verify 2026/11/22-063159.37 --level digest -c s3://bucket/orders`,
		ValidArgsFunction: a.completeLayers,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts := &varve.VerifyOptions{BytesPerSecond: rate}
			for l := varve.VerifyExists; l <= varve.VerifyRehearsal; l++ {
				if l.String() == level {
					opts.Level = l
				}
			}
			if opts.Level == 0 {
				return usagef(cmd, "--level %q: want exists, size, hash, order, digest or rehearsal", level)
			}
			return a.with(cmd, func(ctx context.Context, c *varve.Collection) error {
				return a.verify(cmd, c, layerArgument(args, 0), opts)
			})
		},
	}
	cmd.Flags().StringVar(&level, "level", "hash", "how much to prove: exists, size, hash, order, digest or rehearsal")
	cmd.Flags().Int64Var(&rate, "bytes-per-second", 0, "limit of traffic; 0: none")
	return cmd
}

func (a *app) verify(cmd *cobra.Command, c *varve.Collection, name string, opts *varve.VerifyOptions) (err error) {
	ctx := cmd.Context()
	from, err := find(ctx, c, name)
	if err != nil {
		return err
	}
	if opts.Level == varve.VerifyRehearsal {
		db, scratch, err := a.scratch(cmd)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		opts.Scratch = scratch
	}
	p := a.progress()
	opts.Events = p.events()
	report, err := c.Verify(ctx, from, opts)
	p.end()
	if report == nil {
		return err
	}
	if n := len(report.Problems); n > 0 && err != nil {
		err = &problemsError{count: n, err: err}
	}
	return errors.Join(a.printReport(report), err)
}

// problemsError stands for what the report has listed already.
type problemsError struct {
	count int
	err   error
}

func (e *problemsError) Error() string { return "the backup has " + count(int64(e.count), "problem") }
func (e *problemsError) Unwrap() error { return e.err }

// scratch is a database in memory.
func (a *app) scratch(cmd *cobra.Command) (*pebble.DB, *pebblekv.Store, error) {
	o, err := a.pebbleOptions(cmd)
	if err != nil {
		return nil, nil, err
	}
	o.FS, o.ErrorIfNotExists, o.DisableAutomaticCompactions = vfs.NewMem(), false, false
	return pebblekv.Open("scratch", o, nil)
}

func (a *app) printReport(r *varve.Report) error {
	out := verified{
		Layers: len(r.Chain), Level: r.Level.String(), Files: r.Files, StoredBytes: r.StoredBytes,
		Entries: r.Entries, Requests: r.Requests, Seconds: r.Duration.Seconds(), Problems: []string{},
	}
	if n := len(r.Chain); n > 0 {
		out.Layer = listed(r.Chain[n-1])
	}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, p.Error())
	}
	if a.json {
		return a.printJSON(out)
	}
	for _, p := range out.Problems {
		fmt.Fprintln(a.out, "DAMAGED", p)
	}
	if len(out.Problems) == 0 {
		fmt.Fprintf(a.out, "%s is whole: %s, %s, %s, verified up to %s in %s\n", out.Layer.Path, count(int64(out.Layers), "layer"),
			count(r.Files, "file"), size(r.StoredBytes), out.Level, duration(r.Duration))
	}
	return nil
}
