package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
)

func (a *app) compactCommand() *cobra.Command {
	opts := new(varve.CompactOptions)
	cmd := &cobra.Command{
		Use: "compact [LAYER]", Short: "Merge a chain of backups into one", Args: arguments(cobra.MaximumNArgs(1)),
		Long: `Merge the chain that ends at LAYER, or the latest one, into a full backup, from the
storage alone: the database is not needed. With --first the backups from that one on
become one incremental.

What is made restores the same moment as LAYER, and stands for it: later backups of the
chain are restored on it, with less to read. The others stay until varve expire drops
them. Files that nothing has changed since are shared with the backups that have them,
which then have to stay; --rewrite stores all of it again.`,
		Example: `  varve compact -c s3://bucket/orders
  varve compact --first 2026/11/22-063159.37/20261123/063159.37-20261122-063159.37 -c s3://bucket/orders`,
		ValidArgsFunction: a.completeLayers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, c *varve.Collection) error {
				return a.compact(ctx, c, layerArgument(args, 0), opts)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.First, "first", "", "the first `LAYER` to merge; else the full of the chain")
	f.BoolVar(&opts.Rewrite, "rewrite", false, "share no files with other backups")
	f.Int64Var(&opts.BytesPerSecond, "bytes-per-second", 0, "limit of traffic; 0: none")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("first", a.completeLayers)) // the flag is there
	return cmd
}

func (a *app) compact(ctx context.Context, c *varve.Collection, name string, opts *varve.CompactOptions) (err error) {
	from, err := find(ctx, c, name)
	if err != nil {
		return err
	}
	if opts.First != "" {
		if opts.First, err = find(ctx, c, opts.First); err != nil {
			return err
		}
	}
	p := a.progress()
	opts.Events = p.events()
	layer, err := c.Compact(ctx, from, opts)
	p.end()
	if err != nil {
		return err
	}
	return a.printCompacted(layer)
}

func (a *app) printCompacted(l *varve.Layer) error {
	if a.json {
		return a.printJSON(backedUp{Layer: listed(l.LayerInfo), Stats: l.Stats})
	}
	if covers := len(l.Manifest.Covers); covers == 0 {
		fmt.Fprintln(a.out, "There is nothing to merge")
	} else {
		fmt.Fprintf(a.out, "Merged %s: %s stored and %s shared in %s, in %s\n", count(int64(covers), "backup"), size(l.Stats.StoredBytes),
			size(l.Stats.SharedBytes), count(l.Stats.Files, "file"), duration(l.Stats.Duration))
	}
	fmt.Fprintln(a.out, l.Path)
	return nil
}
