package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
)

// listedJob is a job as jobs --json has it.
type listedJob struct {
	ID        string         `json:"id"`
	Kind      varve.JobKind  `json:"kind"`
	State     varve.JobState `json:"state"`
	Orphaned  bool           `json:"orphaned"`
	Scheduled bool           `json:"scheduled"`
	Fraction  float64        `json:"fraction"`
	Layer     string         `json:"layer"` // that it writes, or restores
	Path      string         `json:"path"`
	Begun     time.Time      `json:"begun"`
	LastSeen  time.Time      `json:"last_seen"`
	Stats     varve.Stats    `json:"stats"`
	Error     string         `json:"error,omitempty"`
	// PinnedUntil is when a paused job gives up its snapshot.
	PinnedUntil *time.Time `json:"pinned_until,omitempty"`
}

func (a *app) jobsCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "jobs", Short: "List backups and restores that run, ran, or were left", Args: arguments(cobra.NoArgs),
		Long: `List the jobs of the collection, those that said something last first: what runs, is
paused, has failed, succeeded or was canceled, in any process; and what is orphaned, for
its process has said nothing for a quarter of an hour. A program that has the store open
goes on with one by its ID, as of the same moment; see the library's ResumeJob. Expire
forgets what ended 30 days ago. Of sealed backups a key shows how far they are, and why
they failed.`,
		Example: `  varve jobs -c s3://bucket/orders
  varve jobs --json -c /backups/orders | jq '.[] | select(.state == "failed")'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usagef(cmd, "--limit %d is negative", limit)
			}
			return a.with(cmd, func(ctx context.Context, c *varve.Collection) error { return a.jobs(ctx, c, limit) })
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "list `n` only; 0: all")
	return cmd
}

func (a *app) jobs(ctx context.Context, c *varve.Collection, limit int) error {
	jobs := []listedJob{}
	for s, err := range c.Jobs(ctx) {
		if err != nil {
			return err
		}
		if jobs = append(jobs, listJob(s)); len(jobs) == limit {
			break
		}
	}
	if a.json {
		return a.printJSON(jobs)
	}
	rows := [][]string{{"SEEN", "KIND", "STATE", "DONE", "STORED", "ID", "PATH"}}
	for _, j := range jobs {
		state := j.State.String()
		if j.Orphaned {
			state = "orphaned"
		}
		rows = append(rows, []string{
			age(a.now().Sub(j.LastSeen)), string(j.Kind), state, fmt.Sprintf("%.0f %%", 100*j.Fraction), size(j.Stats.StoredBytes), j.ID, j.Path,
		})
		if j.Error != "" {
			rows = append(rows, []string{"", "", "", "", "", "", j.Error})
		}
	}
	return a.table(rows)
}

func listJob(s varve.JobStatus) listedJob {
	out := listedJob{
		ID: s.ID, Kind: s.Kind, State: s.State, Orphaned: s.Orphaned, Scheduled: s.Scheduled, Fraction: s.Fraction,
		Layer: s.LayerID, Path: s.Path, Begun: s.Begun, LastSeen: s.LastSeen, Stats: s.Stats,
	}
	if s.Err != nil {
		out.Error = s.Err.Error()
	}
	if !s.PinnedUntil.IsZero() {
		out.PinnedUntil = &s.PinnedUntil
	}
	return out
}
