package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
)

// checked is what check --json prints: null is the good finding.
type checked struct {
	Place        string        `json:"place"`
	Write        *string       `json:"write"`
	Read         *string       `json:"read"`
	List         *string       `json:"list"`
	Delete       *string       `json:"delete"`
	CreateOnly   *string       `json:"create_only"`
	Listing      *string       `json:"listing"`
	WriteLatency time.Duration `json:"write_latency_nanos"`
	ReadLatency  time.Duration `json:"read_latency_nanos"`
	UploadRate   int64         `json:"upload_bytes_per_second"`
	DownloadRate int64         `json:"download_bytes_per_second"`
	Left         []string      `json:"left"`
}

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Check rights and behaviour of the storage", Args: arguments(cobra.NoArgs),
		Long: `Check whether the storage does what backups need of it, and with which rights and speed:
by writing, reading, listing and deleting small objects under probe/. Backups that are
there are not touched. That nothing can be deleted is no failure: only expiry deletes.`,
		Example: `  varve check -c 's3://bucket/orders'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, c *varve.Collection) error {
				r, err := c.Check(ctx)
				if err != nil {
					return err
				}
				return errors.Join(a.printCheck(r), r.Err())
			})
		},
	}
}

func (a *app) printCheck(r *varve.StorageReport) error {
	text := func(err error) *string {
		if err == nil {
			return nil
		}
		s := err.Error()
		return &s
	}
	if a.json {
		out := checked{
			Place: r.Place, Write: text(r.Write), Read: text(r.Read), List: text(r.List), Delete: text(r.Delete),
			CreateOnly: text(r.CreateOnly), Listing: text(r.Listing), WriteLatency: r.WriteLatency, ReadLatency: r.ReadLatency,
			UploadRate: r.UploadRate, DownloadRate: r.DownloadRate, Left: r.Left,
		}
		if out.Left == nil {
			out.Left = []string{}
		}
		return a.printJSON(out)
	}
	finding := func(err error) string {
		if err == nil {
			return "ok"
		}
		return err.Error()
	}
	rows := [][]string{
		{"Place", r.Place}, {"Write", finding(r.Write)}, {"Read", finding(r.Read)}, {"List", finding(r.List)}, {"Delete", finding(r.Delete)},
		{"Only one creates", finding(r.CreateOnly)}, {"Listing is current", finding(r.Listing)},
		{"Latency", fmt.Sprintf("%s to write, %s to read", duration(r.WriteLatency), duration(r.ReadLatency))},
		{"Speed", fmt.Sprintf("%s/s up, %s/s down", size(r.UploadRate), size(r.DownloadRate))},
	}
	for i, left := range r.Left {
		rows = append(rows, []string{first(i, "Left behind"), left})
	}
	return a.table(rows)
}
