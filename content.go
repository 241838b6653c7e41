package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/digest"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// content is what the layers of a chain consist of.
type content struct {
	layers  []*Manifest // the full first
	files   []leveledFile
	levels  int            // of the files
	rows    []digest.Row   // of the last layer, whose state is the chain's
	objects []listedObject // of the last layer

	// Known once fit was called:
	order *export.Order
	views []view // what of the files counts, in order
	ended bool   // at a moment before the end of the last layer
}

// content reads the file lists of a chain, for which no order is needed.
func (b *collectionBucket) content(ctx context.Context, chain *Chain) (*content, error) {
	out, errs := b.readable(ctx, chain.Layers, readFileList)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return out, nil
}

// listReader reads what a layer lists.
type listReader func(ctx context.Context, bucket *objectio.Bucket, m *Manifest) (*contents, error)

// readable is what of the layers can be read, and why the rest cannot.
func (b *collectionBucket) readable(ctx context.Context, layers []*Layer, read listReader) (*content, []error) {
	lists, damage := make([]*contents, len(layers)), make([]error, len(layers))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for i, l := range layers {
		g.Go(func() (err error) {
			lists[i], err = read(gctx, b.Bucket, l.Manifest)
			if isNoLayer(err) {
				damage[i], err = err, nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, []error{err}
	}
	out := new(content)
	for i, l := range layers {
		if lists[i] != nil {
			out.add(l.Manifest, lists[i])
		}
	}
	return out, slices.DeleteFunc(damage, func(err error) bool { return err == nil })
}

// add lays a layer on those before it.
func (c *content) add(m *Manifest, list *contents) {
	bottom := c.levels
	for _, f := range list.files {
		c.files = append(c.files, leveledFile{File: f, level: bottom + f.Tier, layer: m})
		c.levels = max(c.levels, bottom+f.Tier+1)
	}
	c.layers, c.rows, c.objects = append(c.layers, m), list.rows, list.objects
}

// fit gives the content the order of its keys, and says what cannot be in it.
func (c *content) fit(order *export.Order) error {
	c.order = order
	if err := c.checkLayers(); err != nil {
		return err
	}
	for i := range c.files {
		f := &c.files[i]
		f.form = f.layer.form(order)
		if !f.form.Reads(f.Format, f.KeySchema) {
			return &FormatError{Object: fileListObject(f.layer.Path), Feature: fmt.Sprintf("the key schema %q of %s", f.KeySchema, f.Path)}
		}
		around := spansFrom(order, f.layer.Spans, f.Span.Start)
		if f.Span.IsEmpty(order) || len(around) == 0 || !around[0].Covers(order, f.Span) {
			return &CorruptError{Object: fileListObject(f.layer.Path), Want: "files in the layer's spans", Got: f.Path + " of " + f.Span.String()}
		}
		if i > 0 && f.meets(&c.files[i-1], order) {
			return &CorruptError{Object: fileListObject(f.layer.Path), Want: "files of one tier apart and in order", Got: f.Path + " of " + f.Span.String()}
		}
	}
	c.look()
	return c.checkRows(c.layers[len(c.layers)-1])
}

// checkLayers says which layer speaks for keys that neither its parent knows nor
// it introduces: whatever was there before it is in no file.
func (c *content) checkLayers() error {
	for i, m := range c.layers {
		bad := func(want string, got []Span) error {
			return &CorruptError{Object: manifestObject(m.Path), Want: want, Got: fmt.Sprint(got)}
		}
		switch {
		case !areApart(c.order, m.Spans):
			return bad("spans that ascend and are apart", m.Spans)
		case !areApart(c.order, m.Introduced):
			return bad("introduced spans that ascend and are apart", m.Introduced)
		}
		if outside := subtractSpans(c.order, m.Introduced, m.Spans); len(outside) > 0 {
			return bad("introduced spans in the layer's", outside)
		}
		if i == 0 {
			continue
		}
		if unknown := subtractSpans(c.order, subtractSpans(c.order, m.Spans, m.Introduced), c.layers[i-1].Spans); len(unknown) > 0 {
			return bad("spans of the parent, or introduced ones", unknown)
		}
	}
	return nil
}

// look finds what of the files counts: what the last layer speaks for and no newer
// one than their own introduces (I2).
func (c *content) look() {
	seen := map[*Manifest][]Span{} // where a layer counts
	counts := c.layers[len(c.layers)-1].Spans
	for _, m := range slices.Backward(c.layers) {
		seen[m] = counts
		counts = subtractSpans(c.order, counts, m.Introduced)
	}
	for i := range c.files {
		f := &c.files[i]
		for _, part := range intersectSpans(c.order, []Span{f.Span}, spansFrom(c.order, seen[f.layer], f.Span.Start)) {
			c.views = append(c.views, view{leveledFile: f, span: part})
		}
	}
	sortViews(c.order, c.views)
}

// endAt leaves out what came after t: files that have nothing else, and the digest, which
// is of the end of the last layer.
func (c *content) endAt(t Timestamp) {
	c.rows, c.ended = nil, true
	c.views = slices.DeleteFunc(c.views, func(v view) bool { return v.form.Revisions && v.MinTimestamp.Compare(t) > 0 })
}

// digested reports whether rows are of what the content amounts to.
func (c *content) digested() bool { return !c.ended && c.layers[len(c.layers)-1].Digest != nil }

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
	if want := m.Digest.sum(); total != want {
		return &CorruptError{Object: fileListObject(m.Path), Want: "rows that add up to " + describe(want), Got: describe(total)}
	}
	return nil
}

// wanted are the files that have something to say about spans.
func (c *content) wanted(spans []Span) []*leveledFile {
	return (&piece{views: clipViews(c.order, c.views, spans)}).files()
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
