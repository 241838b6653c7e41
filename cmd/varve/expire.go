package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
)

// fatedLayer is a backup in the plan that expire --json prints.
type fatedLayer struct {
	listedLayer
	Keep        bool      `json:"keep"`
	Retired     bool      `json:"retired"`
	Verified    bool      `json:"verified"`
	StoredAt    time.Time `json:"stored_at"`
	StoredBytes int64     `json:"stored_bytes"`
	Reasons     []string  `json:"reasons"`
}

// expired is what expire --json prints; Done is null where nothing was carried out.
type expired struct {
	Policy string       `json:"policy"`
	Layers []fatedLayer `json:"layers"`
	Dead   []string     `json:"dead"`  // paths of runs that never committed
	Alone  []string     `json:"alone"` // paths that cannot be read, and are left alone
	Done   *expiryDone  `json:"done"`
}

type expiryDone struct {
	Retired  []string `json:"retired"`
	Deleted  []string `json:"deleted"`
	Waiting  []string `json:"waiting"`
	Objects  int64    `json:"objects"`
	Bytes    int64    `json:"bytes"`
	Requests int64    `json:"requests"`
	Seconds  float64  `json:"seconds"`
	Problems []string `json:"problems"`
}

func (a *app) expireCommand() *cobra.Command {
	var policy varve.Policy
	var labels []string
	var yes bool
	cmd := &cobra.Command{
		Use: "expire", Short: "Drop backups that a policy does not keep", Args: arguments(cobra.NoArgs),
		Long: `Say which backups a policy keeps and which it drops, and why. With --yes it is carried
out: what is dropped is retired, which cannot be undone, and deleted by the first
expire --yes a day later. So run it every night, with the same policy.

A backup stays if any rule keeps it, or what is kept needs it. The newest verified
backup always stays, and all that --guarantee covers, unless there is --force. A
policy without a rule is refused. No key is needed, but for --keep-label.`,
		Example: `  varve expire --keep-within 168h --keep-daily 30 --keep-monthly 12 -c s3://bucket/orders
  varve expire --keep-last 14 --guarantee 168h --yes -c s3://bucket/orders`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, l := range labels {
				name, value, _ := strings.Cut(l, "=")
				if policy.KeepLabels == nil {
					policy.KeepLabels = map[string]string{}
				}
				policy.KeepLabels[name] = value
			}
			return a.with(cmd, func(ctx context.Context, c *varve.Collection) error { return a.expire(ctx, c, policy, yes) })
		},
	}
	f := cmd.Flags()
	f.IntVar(&policy.KeepLast, "keep-last", 0, "keep the newest `n`")
	f.DurationVar(&policy.KeepWithin, "keep-within", 0, "keep what is younger, such as 168h")
	f.IntVar(&policy.KeepDaily, "keep-daily", 0, "keep the newest of each of the last `n` days that have one")
	f.IntVar(&policy.KeepWeekly, "keep-weekly", 0, "and of `n` weeks")
	f.IntVar(&policy.KeepMonthly, "keep-monthly", 0, "and of `n` months")
	f.StringArrayVar(&labels, "keep-label", nil, "keep what has the label `NAME`, or NAME=VALUE; may be repeated")
	f.BoolVar(&policy.Verified, "verified", false, "count only backups that were verified and recorded so")
	f.DurationVar(&policy.Guarantee, "guarantee", 0, "how far back from the newest one it must be possible to restore")
	f.BoolVar(&policy.Force, "force", false, "drop even what --guarantee covers, the newest backup, and broken chains")
	f.BoolVar(&yes, "yes", false, "carry it out")
	return cmd
}

func (a *app) expire(ctx context.Context, c *varve.Collection, policy varve.Policy, yes bool) error {
	plan, err := c.PlanExpire(ctx, policy)
	if err != nil {
		return err
	}
	var report *varve.ExpireReport
	if yes {
		report, err = c.Expire(ctx, plan)
	}
	return errors.Join(a.printExpiry(plan, report), err)
}

func (a *app) printExpiry(plan *varve.ExpirePlan, r *varve.ExpireReport) error {
	if a.json {
		return a.printJSON(expiredJSON(plan, r))
	}
	fmt.Fprint(a.out, plan)
	if r == nil {
		fmt.Fprintln(a.errs, "Nothing was changed. Carry it out: the same with --yes")
		return nil
	}
	fmt.Fprintf(a.out, "Retired %s, to be deleted in a day. Deleted %s, with %s of %s, in %s\n", count(int64(len(r.Retired)), "backup"),
		count(int64(len(r.Expired)), "backup"), count(r.Objects, "object"), size(r.Bytes), duration(r.Duration))
	for _, w := range r.Waiting {
		if !slices.Contains(r.Retired, w.LayerInfo) {
			fmt.Fprintln(a.out, "waits", w.Path, strings.Join(w.Reasons, "; "))
		}
	}
	return nil
}

func expiredJSON(plan *varve.ExpirePlan, r *varve.ExpireReport) expired {
	out := expired{Policy: plan.Policy.String(), Layers: []fatedLayer{}, Dead: []string{}, Alone: append([]string{}, plan.Odd...)}
	for _, pt := range plan.Points {
		out.Layers = append(out.Layers, fatedLayer{
			listedLayer: listed(pt.LayerInfo), Keep: pt.Keep, Retired: pt.Retired, Verified: pt.Verified,
			StoredAt: pt.StoredAt, StoredBytes: pt.StoredBytes, Reasons: pt.Reasons,
		})
	}
	for _, d := range plan.Dead {
		out.Dead = append(out.Dead, d.Path)
	}
	if r == nil {
		return out
	}
	done := &expiryDone{
		Retired: paths(r.Retired), Deleted: paths(r.Expired), Waiting: []string{}, Objects: r.Objects, Bytes: r.Bytes,
		Requests: r.Requests, Seconds: r.Duration.Seconds(), Problems: []string{},
	}
	for _, w := range r.Waiting {
		done.Waiting = append(done.Waiting, w.Path)
	}
	for _, p := range r.Problems {
		done.Problems = append(done.Problems, p.Error())
	}
	out.Done = done
	return out
}

func paths(layers []varve.LayerInfo) []string {
	out := []string{}
	for _, l := range layers {
		out = append(out, l.Path)
	}
	return out
}
