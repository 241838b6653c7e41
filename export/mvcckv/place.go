package mvcckv

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/catalog"
)

var (
	_ export.Placer          = (*Store)(nil)
	_ export.CatalogIngester = (*ingester)(nil)
)

// Place implements [export.Placer]. An object keeps its ID and spans if no object here
// ever had that ID, and its spans are free: so whole tables of it can be linked. Else it
// gets a new ID, and prefixes of that. IDs are reserved, durably, when it returns.
func (s *Store) Place(ctx context.Context, wanted []export.Placement) ([]export.Object, error) {
	placed, err := s.place(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("place: %w", err)
	}
	return placed, nil
}

func (s *Store) place(ctx context.Context, wanted []export.Placement) ([]export.Object, error) {
	there, err := s.presentTree(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	p := placer{store: s, ctx: ctx, there: there, last: s.meta.LastID}
	for _, w := range wanted {
		if err := p.place(w); err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(w.Path, "."), err)
		}
	}
	if _, err := s.reserveIDs(p.last - s.meta.LastID); err != nil {
		return nil, err
	}
	return p.placed, nil
}

// presentTree is the catalog now.
func (s *Store) presentTree(ctx context.Context) (*catalog.Tree, error) {
	snap, err := s.snapshot(ctx, export.SnapshotOptions{})
	if err != nil {
		return nil, err
	}
	tree, err := snap.tree(ctx)
	return tree, errors.Join(err, snap.Close())
}

// placer finds room, under mu.
type placer struct {
	store  *Store
	ctx    context.Context
	there  *catalog.Tree
	last   uint64 // the greatest ID that was given, here too
	placed []export.Object
}

func (p *placer) place(w export.Placement) error {
	if len(w.Path) == 0 {
		return errors.New("its path is empty")
	}
	o := catalog.Clone(w.Object)
	o.Name = w.Path[len(w.Path)-1]
	keeps := o.ID > p.store.meta.LastID && o.ID < math.MaxUint64/2 &&
		!slices.ContainsFunc(p.placed, func(other export.Object) bool { return other.ID == o.ID })
	if keeps {
		var err error
		if keeps, err = p.free(o.ID, o.Spans); err != nil {
			return err
		}
	}
	if keeps {
		p.last = max(p.last, o.ID)
		p.placed = append(p.placed, o)
		return nil
	}
	p.last++
	o.ID = p.last
	if err := p.move(&o); err != nil {
		return err
	}
	p.placed = append(p.placed, o)
	return nil
}

// move gives o spans under its new ID. One that is not that of a prefix cannot be moved.
func (p *placer) move(o *export.Object) error {
	own := export.Object{ID: o.ID}
	addSpans(&own, len(o.Spans))
	for i, span := range o.Spans {
		if catalog.IsPrefix(span) {
			o.Spans[i] = own.Spans[i]
			continue
		}
		free, err := p.free(o.ID, []export.Span{span})
		if err != nil {
			return err
		}
		if !free {
			return fmt.Errorf("its span %s is not free, and not that of a prefix", span)
		}
	}
	return nil
}

// free reports whether an object with that ID may have spans: nothing is in them, nobody
// has a part of them, and nobody will get one.
func (p *placer) free(id uint64, spans []export.Span) (bool, error) {
	reserved := export.PrefixSpan([]byte{dataPrefix[0]})
	for _, span := range spans {
		if _, taken := p.there.Overlapping(span); taken || span.Overlaps(nil, reserved) && !isOwn(span, id) {
			return false, nil
		}
		for _, o := range p.placed {
			if slices.ContainsFunc(o.Spans, func(s export.Span) bool { return s.Overlaps(nil, span) }) {
				return false, nil
			}
		}
		if live, err := p.store.anyIn(p.ctx, span, export.Timestamp{}); live || err != nil {
			return false, err
		}
	}
	return true, nil
}

// Publish implements [export.CatalogIngester]. The rows of the objects become part of the
// store in the same step as the data. What was published before a restart is gone, unlike
// what was loaded: it must be published again.
func (in *ingester) Publish(ctx context.Context, objects []export.Object) error {
	if err := in.usable(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return fmt.Errorf("publish: %w", export.ErrClosed)
	}
	in.published = append(in.published, catalog.CloneAll(objects)...)
	return nil
}
