package varve

import (
	"context"
	"slices"

	"github.com/varvekv/varve/export"
)

// A layer that stands for another has the state of that one, at the same end. So whoever
// extends the other can be read on top of the stand-in, and the store's snapshot of the other
// is what the stand-in is compared with.

// baseName is the snapshot with which the store tells what changed: that of the parent or,
// where there is none, of the layer for which the parent stands.
func (r *run) baseName(ctx context.Context, keeper export.SnapshotKeeper) (string, error) {
	if keeper == nil || r.parent == nil || r.parent.StandsFor == "" {
		return r.layer.ParentID, nil
	}
	kept, err := r.own(ctx, keeper)
	if err != nil {
		return "", err
	}
	has := func(name string) bool {
		return slices.ContainsFunc(kept, func(s export.SnapshotInfo) bool { return s.Name == name })
	}
	if !has(r.parent.Layer) && has(r.parent.StandsFor) {
		return r.parent.StandsFor, nil
	}
	return r.layer.ParentID, nil
}

// replaces reports whether s, which stands for l, is the same restore point by now: whoever
// wants the one can have the other.
func (s *stored) replaces(l *stored) bool {
	m, n := s.manifest, l.manifest
	if m.StandsFor != n.Layer || m.End != n.End || m.Oldest.Compare(n.Oldest) > 0 || s.group() != l.group() {
		return false
	}
	return m.Digest == nil || n.Digest == nil || m.Digest.sum() == n.Digest.sum()
}
