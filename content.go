package varve

import (
	"context"
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/sink"
)

// content is what the layers of a chain consist of.
type content struct {
	order *export.Order // known once fit was called
	files []leveledFile
	rows  []digest.Row // of the last layer, whose state is the chain's
}

// content reads the file lists of a chain, for which no order is needed.
func (b *collectionBucket) content(ctx context.Context, chain *Chain) (*content, error) {
	out := new(content)
	level := 0
	for _, l := range chain.Layers {
		list, err := readFileList(ctx, b.Bucket, l.Manifest)
		if err != nil {
			return nil, err
		}
		top := 0
		for _, f := range list.files {
			out.files = append(out.files, leveledFile{File: f, level: level + f.Tier, layer: l.Manifest})
			top = max(top, f.Tier)
		}
		level += top + 1
		out.rows = list.rows
	}
	return out, nil
}

// fit gives the content the order of its keys, and says what cannot be in it.
func (c *content) fit(order *export.Order, tip *Manifest) error {
	c.order = order
	for i := range c.files {
		f := &c.files[i]
		f.form = f.layer.form(order)
		inLayer := func(s Span) bool { return s.Covers(order, f.Span) }
		if f.Span.IsEmpty(order) || !slices.ContainsFunc(f.layer.Spans, inLayer) {
			return &CorruptError{Object: fileListObject(f.layer.Path), Want: "files in the layer's spans", Got: f.Path + " of " + f.Span.String()}
		}
		if i > 0 && f.meets(&c.files[i-1], order) {
			return &CorruptError{Object: fileListObject(f.layer.Path), Want: "files of one tier apart and in order", Got: f.Path + " of " + f.Span.String()}
		}
	}
	return c.checkRows(tip)
}

// meets reports whether f does not lie behind the file before it in the same tier.
func (f *leveledFile) meets(before *leveledFile, order *export.Order) bool {
	if f.level != before.level {
		return false
	}
	end := before.Span.End
	return len(end) == 0 || order.WithDefaults().Compare(end, f.Span.Start) > 0
}

// checkRows compares the rows with the digest that the manifest has of all.
func (c *content) checkRows(m *Manifest) error {
	if m.Digest == nil {
		return nil
	}
	cmp := c.order.WithDefaults().Compare
	if !slices.IsSortedFunc(c.rows, func(a, b digest.Row) int { return cmp(a.Start, b.Start) }) {
		return &CorruptError{Object: fileListObject(m.Path), Want: "digest rows in order", Got: "others"}
	}
	total := digest.Total(c.rows)
	want := digest.Digest{State: m.Digest.State, Revisions: m.Digest.Revisions, Keys: m.Digest.Keys, Bytes: m.Digest.Bytes}
	if total != want {
		return &CorruptError{Object: fileListObject(m.Path), Want: "rows that add up to " + describe(want), Got: describe(total)}
	}
	return nil
}

// pieces are the parts of the spans that can be read independently.
func (c *content) pieces(spans []Span) []piece {
	var out []piece
	for _, s := range spans {
		out = append(out, planPieces(c.files, c.order, s)...)
	}
	return out
}

// checkExists asks the bucket whether the file is there.
func (b *collectionBucket) checkExists(ctx context.Context, f sink.File) error {
	_, err := b.Size(ctx, f.Path)
	return storageError("read", f.Path, err)
}

// checkSize asks the bucket whether the file is there, and as long as it must be.
func (b *collectionBucket) checkSize(ctx context.Context, f sink.File) error {
	size, err := b.Size(ctx, f.Path)
	if err != nil {
		return storageError("read", f.Path, err)
	}
	if size != f.Size {
		return &CorruptError{Object: f.Path, Want: fmt.Sprintf("%d bytes", f.Size), Got: fmt.Sprintf("%d", size)}
	}
	return nil
}
