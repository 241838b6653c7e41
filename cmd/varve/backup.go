package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

// backedUp is what backup --json prints.
type backedUp struct {
	Layer listedLayer `json:"layer"`
	Stats varve.Stats `json:"stats"`
}

func (a *app) backupCommand() *cobra.Command {
	opts := new(varve.BackupOptions)
	var labels []string
	var spans []string
	cmd := &cobra.Command{
		Use: "backup DIR", Short: "Back up a Pebble database that no process has open", Args: arguments(cobra.ExactArgs(1)),
		Long: `Back up a Pebble database that no process has open. A program that has it open takes
backups itself, with the library, while it goes on writing.

With --into LATEST what changed since the last backup is stored; with --full-every as
well, a full backup is taken where there is none or the last one is old: that is the
nightly job.`,
		Example: `  varve backup /var/lib/orders -c s3://bucket/orders
  varve backup /var/lib/orders --into LATEST --full-every 168h -c s3://bucket/orders`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Labels = map[string]string{}
			for _, l := range labels {
				k, v, ok := strings.Cut(l, "=")
				if !ok {
					return usagef(cmd, "--label %q: want NAME=VALUE", l)
				}
				opts.Labels[k] = v
			}
			var parts []varve.Span
			for _, s := range spans {
				span, err := a.parseSpan(cmd, s)
				if err != nil {
					return err
				}
				parts = append(parts, span)
			}
			return a.with(cmd, func(ctx context.Context, c *varve.Collection) error {
				return a.backup(cmd, c, args[0], parts, opts)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Into, "into", "", "`LAYER` to extend: LATEST for the last one; else a full backup is taken")
	f.DurationVar(&opts.FullEvery, "full-every", 0, "with --into LATEST: take a full backup where the last one is older than `this`")
	f.StringVar(&opts.Name, "name", "", "`path` of a full backup; else the time of its end")
	f.StringArrayVar(&labels, "label", nil, "`NAME=VALUE` to keep with the backup; may be repeated")
	f.StringArrayVar(&spans, "span", nil, "back up only `START:END`, either may be empty; may be repeated")
	f.BoolVar(&opts.Adopt, "adopt", false, "go on with the chain of another store, which this one was restored or copied from")
	f.BoolVar(&opts.Audit, "audit", false, "read the database a second time and compare digests")
	f.BoolVar(&opts.NoBase, "no-base", false, "keep no snapshot for the next backup, which then compares with the chain")
	f.IntVar(&opts.Concurrency, "concurrency", 0, "tasks at once; 0: the number of processors")
	f.Int64Var(&opts.BytesPerSecond, "bytes-per-second", 0, "limit of traffic; 0: none")
	a.hexFlag(cmd)
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("into", a.completeLayers)) // the flag is there
	return cmd
}

// parseSpan reads START:END, of which a colon in a key is \x3a.
func (a *app) parseSpan(cmd *cobra.Command, s string) (varve.Span, error) {
	from, to, ok := strings.Cut(s, ":")
	if !ok {
		return varve.Span{}, usagef(cmd, `--span %q: want START:END; a colon in a key is \x3a`, s)
	}
	start, err := a.parse(cmd, "--span", from)
	if err != nil {
		return varve.Span{}, err
	}
	end, err := a.parse(cmd, "--span", to)
	return varve.Span{Start: start, End: end}, err
}

func (a *app) backup(cmd *cobra.Command, c *varve.Collection, dir string, spans []varve.Span, opts *varve.BackupOptions) (err error) {
	ctx := cmd.Context()
	if opts.Into, err = find(ctx, c, opts.Into); err != nil {
		return err
	}
	db, store, err := a.database(cmd, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var targets varve.Targets
	if len(spans) > 0 {
		targets = varve.Spans(store, spans...)
	} else {
		targets = varve.Cluster(store)
	}
	p := a.progress()
	opts.Events = p.events()
	l, err := c.Backup(ctx, targets, opts)
	p.end()
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(backedUp{Layer: listed(l.LayerInfo), Stats: l.Stats})
	}
	s := l.Stats
	what := fmt.Sprintf("%s in full", count(s.Keys, "key"))
	if !l.Full() {
		what = fmt.Sprintf("%s and %s, found by %s", count(s.Keys, "set"), count(s.Deletions, "deletion"), s.Changes)
	}
	fmt.Fprintf(a.out, "Backed up %s: %s stored in %s, in %s\n%s\n", what, size(s.StoredBytes), count(s.Files, "file"), duration(s.Duration), l.Path)
	return nil
}

// database opens one that is there, which nobody else may have open.
func (a *app) database(cmd *cobra.Command, dir string) (*pebble.DB, export.Store, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, nil, fmt.Errorf("open database: %w", err)
	}
	o, err := a.pebbleOptions(cmd)
	if err != nil {
		return nil, nil, err
	}
	db, store, err := pebblekv.Open(dir, o, nil)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) && strings.Contains(err.Error(), "lock") {
		return nil, nil, fmt.Errorf("open %s: %w", dir, errBusy)
	}
	if err != nil {
		return nil, nil, err
	}
	return db, store, nil
}
