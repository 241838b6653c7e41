package varve

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// choose finds the layers to merge, and what can be made of them. Nothing is written.
func (m *compaction) choose(ctx context.Context, from string) (err error) {
	if m.bucket, err = m.c.gate(ctx, m.c.bucket.With(m.meter)); err != nil {
		return err
	}
	if err := m.checkKeys(); err != nil {
		return err
	}
	tip, err := m.bucket.find(ctx, from)
	if err != nil {
		return err
	}
	chain, err := m.bucket.chain(ctx, tip)
	if err != nil {
		return err
	}
	if m.window, err = m.cut(ctx, chain.Layers); err != nil {
		return err
	}
	for _, l := range m.window {
		if err := l.Manifest.readable(); err != nil {
			return err
		}
	}
	m.layer.End = tip.End
	if m.parent != nil {
		m.extends(m.parent)
	}
	m.oldest = promised(m.window)
	return nil
}

// cut is what of the layers of a chain is to be merged. Where the chain is not by way of
// First, because something stands for that, the parents of all layers are.
func (m *compaction) cut(ctx context.Context, layers []*Layer) ([]*Layer, error) {
	if m.opts.First == "" {
		return layers, nil
	}
	first, err := m.bucket.named(ctx, m.opts.First)
	if err != nil {
		return nil, err
	}
	is := func(l *Layer) bool { return l.ID == first.ID }
	tip := layers[len(layers)-1]
	if !slices.ContainsFunc(layers, is) {
		if layers, err = m.parents(ctx, tip.LayerInfo); err != nil {
			return nil, err
		}
	}
	i := slices.IndexFunc(layers, is)
	if i < 0 {
		return nil, &OptionError{Field: "First", Reason: fmt.Sprintf("%s is no layer of the chain of %s", first.Path, tip.Path)}
	}
	if i > 0 {
		m.parent = layers[i-1].Manifest
	}
	return layers[i:], nil
}

// parents are the layers from a full up to tip, each the parent of the next one.
func (m *compaction) parents(ctx context.Context, tip LayerInfo) ([]*Layer, error) {
	x, err := m.bucket.index(ctx)
	if err != nil {
		return nil, err
	}
	var out []*Layer
	for l := range x.down(tip) {
		manifest, err := m.bucket.manifestOf(ctx, l)
		if err != nil {
			return nil, err
		}
		if n := len(out); n > 0 {
			if err := errors.Join(out[n-1].follows(l), out[n-1].Manifest.extends(manifest)); err != nil {
				return nil, err
			}
		}
		out = append(out, manifest.layer())
	}
	slices.Reverse(out)
	return out, nil
}

// promised is the oldest moment that layers can restore as one: as far down as each has
// all of its history, and is about the same keys as the one below it.
func promised(window []*Layer) Timestamp {
	oldest := window[len(window)-1].Manifest.Oldest
	for i := len(window) - 1; i > 0; i-- {
		m, below := window[i].Manifest, window[i-1].Manifest
		switch {
		case m.Oldest != m.Start:
			return oldest
		case len(m.Introduced) > 0 || !m.isAbout(below):
			return m.Start.Next() // at its start, the layer below is asked
		}
		oldest = below.Oldest
	}
	return oldest
}

// isAbout reports whether two layers speak for the same.
func (m *Manifest) isAbout(o *Manifest) bool {
	return m.Complete == o.Complete && m.Targets.equal(o.Targets) && equalSpans(m.Spans, o.Spans) && equalSpans(m.Excluded, o.Excluded)
}

// introduced are the spans in which the window holds everything from the beginning.
func (m *compaction) introduced() []Span {
	if m.parent == nil {
		return nil
	}
	older := m.last().Spans // of which the parent counts
	for _, l := range m.window {
		older = subtractSpans(m.order, older, l.Manifest.Introduced)
	}
	return subtractSpans(m.order, m.last().Spans, older)
}

// done is the layer that there is to be already, nil if there is none.
func (m *compaction) done(ctx context.Context) (*Layer, error) {
	if last := m.last(); len(m.window) == 1 && m.suits(last) {
		return last.layer(), nil
	}
	x, err := m.bucket.index(ctx)
	if err != nil {
		return nil, err
	}
	retired, err := m.bucket.retired(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range x.byEnd[m.layer.End] {
		l := x.byID[id]
		if l.ParentID != m.layer.ParentID || l.Start != m.layer.Start || retired[id] {
			continue
		}
		other, err := x.standsFor(ctx, l)
		if err != nil || other != m.last().Layer {
			if err != nil {
				return nil, err
			}
			continue
		}
		stand, err := m.bucket.manifestOf(ctx, l)
		if err == nil && m.suits(stand) {
			return stand.layer(), nil
		}
		if err != nil && !isNoLayer(err) {
			return nil, err
		}
	}
	return nil, nil
}

// suits reports whether a layer is what options ask for.
func (m *compaction) suits(l *Manifest) bool { return !m.opts.Rewrite || len(l.Refers) == 0 }

// below is the path that the new layer's is appended to.
func (m *compaction) below(ctx context.Context) (string, error) {
	if m.parent == nil {
		return "", nil
	}
	below := m.parent.Path
	full, err := m.bucket.named(ctx, m.parent.Chain)
	switch {
	case err == nil:
		below = full.Path
	case !errors.Is(err, ErrNoLayer):
		return "", err
	}
	return below, checkBelow("First", below)
}
