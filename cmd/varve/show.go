package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
)

// shownLayer is a layer as show --json has it. What only a key shows is null without one.
type shownLayer struct {
	listedLayer
	Chain    []listedLayer     `json:"layers"` // that a restore needs, the full first
	Engine   string            `json:"engine"`
	Order    string            `json:"order"`
	Lineage  string            `json:"lineage"`
	Sealed   bool              `json:"sealed"`
	Complete bool              `json:"complete"`
	Spans    []jsonSpan        `json:"spans"`
	Excluded []jsonSpan        `json:"excluded"`
	Points   []jsonWindow      `json:"points"`
	Labels   map[string]string `json:"labels"`
	Digest   *jsonDigest       `json:"digest"`
	Stats    varve.Stats       `json:"stats"`
	Stored   int64             `json:"stored_bytes"` // of the whole chain
	Files    int64             `json:"files"`        // likewise
	Objects  []jsonObject      `json:"objects"`
	Writer   string            `json:"writer"`
}

type jsonWindow struct {
	Oldest varve.Timestamp `json:"oldest"`
	Newest varve.Timestamp `json:"newest"`
}

type jsonDigest struct {
	State  string `json:"state"`
	Keys   int64  `json:"keys"`
	Bytes  int64  `json:"bytes"`
	Source string `json:"source"`
}

type jsonObject struct {
	Name         string     `json:"name"`
	Kind         string     `json:"kind"`
	ID           uint64     `json:"id"`
	Spans        []jsonSpan `json:"spans"`
	Rows         int64      `json:"rows"`
	IndexEntries int64      `json:"index_entries"`
	Deletions    int64      `json:"deletions"`
	LogicalBytes int64      `json:"logical_bytes"`
}

func (a *app) showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [LAYER]", Short: "Show what a backup holds", Args: arguments(cobra.MaximumNArgs(1)),
		Long: "Show what a backup holds: its spans and objects, sizes, the layers that a restore of it\nneeds, and the moments that these can restore. Of a sealed one less is shown without a key.",
		Example: `  varve show -c s3://bucket/orders
  varve show 2026/11/22-063159.37 -c s3://bucket/orders --json`,
		ValidArgsFunction: a.completeLayers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, c *varve.Collection) error {
				return a.show(ctx, c, layerArgument(args, 0))
			})
		},
	}
	a.hexFlag(cmd)
	return cmd
}

func (a *app) show(ctx context.Context, c *varve.Collection, name string) error {
	from, err := find(ctx, c, name)
	if err != nil {
		return err
	}
	chain, err := c.Resolve(ctx, from, varve.Timestamp{})
	if err != nil {
		return err
	}
	l := chain.Layers[len(chain.Layers)-1]
	objects, err := c.Objects(ctx, l.ID)
	if err != nil && !errors.Is(err, varve.ErrNoKey) && !errors.Is(err, varve.ErrWrongKey) {
		return err
	}
	s := a.shownLayer(chain, l, objects)
	if a.json {
		return a.printJSON(s)
	}
	return a.printLayer(s, l)
}

func (a *app) shownLayer(chain *varve.Chain, l *varve.Layer, objects []varve.ObjectInfo) *shownLayer {
	m := l.Manifest
	s := &shownLayer{
		listedLayer: listed(l.LayerInfo), Engine: m.Engine, Order: m.Order, Lineage: m.Lineage, Sealed: m.Sealing != nil,
		Complete: m.Complete, Spans: a.jsonSpans(m.Spans), Excluded: a.jsonSpans(m.Excluded), Labels: m.Labels,
		Stats: l.Stats, Writer: m.Writer, Objects: []jsonObject{},
	}
	for _, below := range chain.Layers {
		s.Chain = append(s.Chain, listed(below.LayerInfo))
		s.Stored += below.Stats.StoredBytes + below.Stats.SharedBytes
		s.Files += below.Manifest.FileList.Files
	}
	for _, w := range chain.Points() {
		s.Points = append(s.Points, jsonWindow{w.Oldest, w.Newest})
	}
	if d := m.Digest; d != nil {
		s.Digest = &jsonDigest{State: fmt.Sprint(d.State), Keys: d.Keys, Bytes: d.Bytes, Source: string(d.Source)}
	}
	for _, o := range objects {
		s.Objects = append(s.Objects, jsonObject{
			Name: objectName(o), Kind: o.Kind, ID: o.ID, Spans: a.jsonSpans(o.Spans),
			Rows: o.Rows, IndexEntries: o.IndexEntries, Deletions: o.Deletions, LogicalBytes: o.LogicalBytes,
		})
	}
	return s
}

func objectName(o varve.ObjectInfo) string {
	var out []string
	for _, part := range []string{o.Database, o.Schema} {
		if part != "" && part != o.Name {
			out = append(out, part)
		}
	}
	return strings.Join(append(out, o.Name), ".")
}

func (a *app) printLayer(s *shownLayer, l *varve.Layer) error {
	kind := "full backup"
	if !s.Full {
		kind = fmt.Sprintf("incremental, after %s", count(int64(len(s.Chain)-1), "layer"))
	}
	rows := [][]string{{"Path", s.Path}, {"ID", s.ID}, {"Kind", kind}, {"End", s.End.String()}}
	if !s.Full {
		rows = append(rows, []string{"Start", s.Start.String()}, []string{"Parent", s.Parent})
	}
	rows = append(rows, []string{"Store", s.Engine + ", keys in " + s.Order + " order"})
	if s.Sealed && s.Digest == nil && len(s.Spans) == 0 {
		rows = append(rows, []string{"Sealed", "yes; a key shows more"})
		return errors.Join(a.table(rows), a.printPoints(s))
	}
	if s.Sealed {
		rows = append(rows, []string{"Sealed", "yes"})
	}
	st := l.Stats
	rows = append(rows,
		[]string{"Holds", fmt.Sprintf("%s, %s, %s found by %s", count(st.Keys, "key"), count(st.Deletions, "deletion"), size(st.LogicalBytes), st.Changes)},
		[]string{"Stored", fmt.Sprintf("%s in %s; with what it needs %s in %s", size(st.StoredBytes), count(st.Files, "file"), size(s.Stored), count(s.Files, "file"))},
		[]string{"Took", fmt.Sprintf("%s, %s to storage", duration(st.Duration), count(st.Requests, "request"))},
	)
	if d := s.Digest; d != nil {
		rows = append(rows, []string{"State", fmt.Sprintf("%s, %s, digest by %s", count(d.Keys, "key"), size(d.Bytes), d.Source)})
	} else {
		rows = append(rows, []string{"State", "no digest was taken"})
	}
	for i, span := range l.Manifest.Spans {
		rows = append(rows, []string{first(i, "Spans"), a.spanText(span)})
	}
	for i, span := range l.Manifest.Excluded {
		rows = append(rows, []string{first(i, "Excluded"), a.spanText(span)})
	}
	for i, k := range slices.Sorted(maps.Keys(s.Labels)) {
		rows = append(rows, []string{first(i, "Labels"), k + "=" + s.Labels[k]})
	}
	return errors.Join(a.table(rows), a.printPoints(s), a.printObjects(s))
}

// first is a heading beside the first of several rows.
func first(i int, heading string) string {
	if i == 0 {
		return heading
	}
	return ""
}

func (a *app) printPoints(s *shownLayer) error {
	fmt.Fprintln(a.out)
	rows := [][]string{{"CAN BE RESTORED AS OF", "FROM"}}
	for i, p := range s.Points {
		when := p.Newest.String()
		if p.Oldest != p.Newest {
			when = fmt.Sprintf("%s to %s", p.Oldest, p.Newest)
		}
		rows = append(rows, []string{when, s.Chain[i].Path})
	}
	return a.table(rows)
}

func (a *app) printObjects(s *shownLayer) error {
	if len(s.Objects) == 0 {
		return nil
	}
	fmt.Fprintln(a.out)
	rows := [][]string{{"OBJECT", "KIND", "ROWS", "INDEX ENTRIES", "SIZE"}}
	for _, o := range s.Objects {
		rows = append(rows, []string{o.Name, o.Kind, fmt.Sprint(o.Rows), fmt.Sprint(o.IndexEntries), size(o.LogicalBytes)})
	}
	return a.table(rows)
}
