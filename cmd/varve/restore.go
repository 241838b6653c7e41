package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export/pebblekv"
)

// restored is what restore --json prints.
type restored struct {
	Directory   string          `json:"directory"`
	From        listedLayer     `json:"from"`
	AsOf        varve.Timestamp `json:"as_of"`
	Spans       []jsonSpan      `json:"spans"`
	Keys        *int64          `json:"keys"` // null: not known
	LoadedBytes int64           `json:"loaded_bytes"`
	Proof       string          `json:"proof"`
	Skipped     []string        `json:"skipped"`
	Seconds     float64         `json:"seconds"`
}

func (a *app) restoreCommand() *cobra.Command {
	var from, asOf string
	opts := new(varve.RestoreOptions)
	cmd := &cobra.Command{
		Use: "restore DIR", Short: "Restore a backup into a new Pebble database", Args: arguments(cobra.ExactArgs(1)),
		Long: `Restore a backup into a new Pebble database. DIR must not exist, or be empty: it appears
whole when all is there, or not at all. A backup of spans brings back those.`,
		Example: `  varve restore /var/lib/orders -c s3://bucket/orders
  varve restore /var/lib/orders --as-of 2026-11-24T02:00:00Z -c s3://bucket/orders
  varve restore orders.scratch --verify-only -c s3://bucket/orders`,
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := moment(cmd, asOf)
			if err != nil {
				return err
			}
			opts.AsOf = at
			return a.with(cmd, func(ctx context.Context, c *varve.Collection) error {
				return a.restore(cmd, c, args[0], from, opts)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "`LAYER` to restore; else the newest that has --as-of")
	f.StringVar(&asOf, "as-of", "", "`moment` to restore; else the end of the backup")
	f.BoolVar(&opts.Prove, "prove", false, "compare the digest of what was loaded, too")
	f.BoolVar(&opts.VerifyOnly, "verify-only", false, "read and compare everything, and write nothing")
	f.IntVar(&opts.Concurrency, "concurrency", 0, "files at once; 0: twice the number of processors")
	f.Int64Var(&opts.BytesPerSecond, "bytes-per-second", 0, "limit of traffic; 0: none")
	return completing(cmd, a)
}

// completing completes --from.
func completing(cmd *cobra.Command, a *app) *cobra.Command {
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("from", a.completeLayers)) // the flag is there
	return cmd
}

// chain is what from and a moment mean.
func chain(ctx context.Context, c *varve.Collection, from string, asOf varve.Timestamp) (*varve.Chain, error) {
	name, err := find(ctx, c, from)
	if err != nil {
		return nil, err
	}
	return c.Resolve(ctx, name, asOf)
}

func (a *app) restore(cmd *cobra.Command, c *varve.Collection, dir, from string, opts *varve.RestoreOptions) error {
	ctx := cmd.Context()
	found, err := chain(ctx, c, from, opts.AsOf)
	if err != nil {
		return err
	}
	o, err := a.pebbleOptions(cmd)
	if err != nil {
		return err
	}
	o.ErrorIfNotExists = false
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	tip := found.Layers[len(found.Layers)-1]
	store := pebblekv.Dir(abs, &pebblekv.Options{Pebble: o})
	targets := varve.Cluster(store)
	if !tip.Manifest.Complete && len(tip.Manifest.Spans) > 0 {
		targets = varve.Spans(store, tip.Manifest.Spans...)
	}
	p := a.progress()
	opts.From, opts.Events, opts.SkipLocalityCheck = tip.ID, p.events(), true
	r, err := c.Restore(ctx, targets, opts)
	p.end()
	if err != nil {
		return err
	}
	if a.json {
		skipped := r.Skipped
		if skipped == nil {
			skipped = []string{}
		}
		return a.printJSON(restored{
			Directory: abs, From: listed(r.From), AsOf: r.AsOf, Spans: a.jsonSpans(r.Spans), Keys: keysOf(tip, r.AsOf),
			LoadedBytes: r.Stats.LogicalBytes, Proof: r.Proof.String(), Skipped: skipped, Seconds: r.Stats.Duration.Seconds(),
		})
	}
	for _, s := range r.Skipped {
		fmt.Fprintln(a.out, "Left out:", s)
	}
	verb := "Restored"
	if opts.VerifyOnly {
		verb, abs = "Could restore", "nothing was written"
	}
	what := tip.Path
	if n := keysOf(tip, r.AsOf); n != nil {
		what = count(*n, "key")
	}
	fmt.Fprintf(a.out, "%s %s as of %s: %s\n%s loaded from %s, proved by %s, in %s\n", verb, what, r.AsOf, abs,
		size(r.Stats.LogicalBytes), count(int64(len(found.Layers)), "layer"), r.Proof, duration(r.Stats.Duration))
	return nil
}

// keysOf is how many keys the layer has at a moment, nil where no digest has counted them.
func keysOf(l *varve.Layer, at varve.Timestamp) *int64 {
	if d := l.Manifest.Digest; d != nil && at == l.End {
		return &d.Keys
	}
	return nil
}
