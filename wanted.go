package varve

import (
	"context"
	"slices"
	"strings"
)

// selectObjects finds the objects that are to be restored from a layer, as of the moment to
// restore. It is the layer that tells, and not the destination, what names mean.
func (r *restore) selectObjects(ctx context.Context, m *Manifest) error {
	r.selected, r.skipped = nil, nil
	if r.targets.kind == spansTarget {
		return nil
	}
	if m.Targets.Kind == "" {
		if r.targets.named() {
			return &TargetError{Name: r.targets.String(), Reason: "the backup knows no objects: it is of spans, or of a store without a catalog"}
		}
		r.selected = selectAll(&catalog{})
		return nil
	}
	list, err := readFileList(ctx, r.bucket.Bucket, m)
	if err != nil {
		return err
	}
	return r.selectListed(m, list.objects)
}

func (r *restore) selectListed(m *Manifest, listed []listedObject) error {
	t := r.opts.AsOf
	if t.Compare(m.End) >= 0 {
		t = Timestamp{}
	}
	c, err := catalogAt(r.info.Order, listed, t)
	if err != nil {
		return &CorruptError{Object: fileListObject(m.Path), Want: "objects of one moment", Got: err.Error()}
	}
	if r.targets.cluster() {
		r.selected = selectAll(c)
		return nil
	}
	wanted, err := selectHeld(c, r.targets, m.Targets)
	if err != nil {
		return err
	}
	r.selected, r.skipped, err = wanted.without(r.opts.SkipMissing)
	if err == nil && len(r.selected.objects) == 0 {
		err = &TargetError{Name: r.targets.String(), Reason: "nothing is left of it"}
	}
	return err
}

// selectHeld are the objects that targets are, all of which a layer of others must hold.
func selectHeld(c *catalog, t Targets, of ManifestTargets) (*selection, error) {
	held := of.targets().selectKnown(c).ids
	wanted := &selection{catalog: c, ids: map[uint64]bool{}}
	for _, name := range t.names {
		s, err := selectNamed(c, t.kind, []string{name})
		if err != nil {
			return nil, err
		}
		for id := range s.ids {
			switch {
			case held[id]:
				wanted.ids[id] = true
			case !strings.HasSuffix(name, ".*"):
				return nil, &TargetError{Name: c.path(id), Reason: "the backup holds only " + of.targets().String()}
			}
		}
	}
	for _, o := range c.objects {
		if wanted.ids[o.ID] {
			wanted.objects = append(wanted.objects, o)
		}
	}
	return wanted, nil
}

// shouldHold reports whether the layer is of all that the targets are in, so that what it
// does not have was not there: an older layer, which has it, is not what is asked for.
func (r *restore) shouldHold(m *Manifest) bool {
	if !r.targets.named() || m.Targets.Kind == "" {
		return false
	}
	if m.Targets.targets().cluster() {
		return true
	}
	for _, name := range r.targets.names {
		database, _, _ := strings.Cut(name, ".")
		whole := targetKind(m.Targets.Kind) == databasesTarget && slices.Contains(m.Targets.Names, database)
		if !whole && !slices.Contains(m.Targets.Names, name) {
			return false
		}
	}
	return true
}
