package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
)

// listedLayer is a layer as list --json has it.
type listedLayer struct {
	Path   string          `json:"path"`
	ID     string          `json:"id"`
	Parent string          `json:"parent,omitempty"`
	Chain  string          `json:"chain"`
	Full   bool            `json:"full"`
	Start  varve.Timestamp `json:"start"`
	End    varve.Timestamp `json:"end"`
	// Retired is set by list alone: show refuses a layer that is no restore point any more.
	Retired bool `json:"retired,omitempty"`
}

func listed(l varve.LayerInfo) listedLayer {
	return listedLayer{Path: l.Path, ID: l.ID, Parent: l.ParentID, Chain: l.ChainID, Full: l.Full(), Start: l.Start, End: l.End}
}

func (a *app) listCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List the backups, newest first", Args: arguments(cobra.NoArgs),
		Long: "List the backups, newest first; no key is needed. A retired one is there until it is deleted,\nbut cannot be restored any more.",
		Example: `  varve list -c s3://bucket/orders
  varve list -c /backups/orders --json | jq -r '.[0].path'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usagef(cmd, "--limit %d is negative", limit)
			}
			return a.with(cmd, func(ctx context.Context, c *varve.Collection) error { return a.list(ctx, c, limit) })
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "list the newest `n` only; 0: all")
	return cmd
}

func (a *app) list(ctx context.Context, c *varve.Collection, limit int) error {
	retired, err := c.Retired(ctx)
	if err != nil {
		return err
	}
	layers := []listedLayer{}
	for info, err := range c.Layers(ctx) {
		if err != nil {
			return err
		}
		l := listed(info)
		l.Retired = retired[l.ID]
		if layers = append(layers, l); len(layers) == limit {
			break
		}
	}
	if a.json {
		return a.printJSON(layers)
	}
	if len(layers) == 0 {
		fmt.Fprintln(a.errs, "There is no backup yet. Take one: varve backup DIR -c "+a.shown())
		return nil
	}
	rows := [][]string{{"END (UTC)", "AGE", "KIND", "ID", "PATH"}}
	for _, l := range layers {
		kind := "incremental"
		if l.Full {
			kind = "full"
		}
		if l.Retired {
			kind += ", retired"
		}
		rows = append(rows, []string{clock(l.End), age(a.now().Sub(l.End.Time())), kind, l.ID[:8], l.Path})
	}
	return a.table(rows)
}

// age is how long ago something was, in one unit.
func age(d time.Duration) string {
	units := []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	i := slices.IndexFunc(units, func(u struct {
		of   time.Duration
		name string
	}) bool {
		return d >= u.of
	})
	if i < 0 {
		return "0s"
	}
	return fmt.Sprintf("%d%s", d/units[i].of, units[i].name)
}
