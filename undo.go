package varve

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvekv/varve/internal/objectio"
)

// Leftovers are objects of a job that was canceled which could not be removed. They are
// named by nothing, and [Collection.Expire] removes them when it may.
type Leftovers struct {
	Path    string `json:"path"` // where they are
	Objects int64  `json:"objects,string"`
	Bytes   int64  `json:"bytes,string"`
	Reason  string `json:"reason"`
	Err     error  `json:"-"` // nil: it happened in another process
}

func (l *Leftovers) Error() string {
	return fmt.Sprintf("%d objects of %d bytes stay at %s: %s", l.Objects, l.Bytes, l.Path, l.Reason)
}

// Unwrap is why they could not be removed.
func (l *Leftovers) Unwrap() error { return l.Err }

func (l *Leftovers) add(o objectio.Entry, err error) {
	l.Objects, l.Bytes = l.Objects+1, l.Bytes+o.Size
	if l.Err == nil {
		l.Err, l.Reason = err, err.Error()
	}
}

// undo implements work. A void manifest comes first: whatever of this run should wake up
// elsewhere finds that there will be no layer. It and the claim stay.
func (r *run) undo(ctx context.Context) *Leftovers {
	left := &Leftovers{Path: r.layer.Path}
	err := r.create(ctx, manifestObject(r.layer.Path), kindVoid, voidRecord{Layer: r.layer.ID, Job: r.job, CreatedAt: r.c.opts.Now().UTC()})
	stages, listErr := r.written(ctx)
	if err = errors.Join(err, listErr); err != nil {
		for _, stage := range stages {
			for _, o := range stage {
				left.add(o, err)
			}
		}
		left.Err, left.Reason = err, err.Error()
		return left
	}
	for _, stage := range stages {
		for _, o := range stage {
			if err := storageError("delete", o.Key, r.bucket.Delete(ctx, o.Key)); err != nil {
				left.add(o, err)
			}
		}
	}
	if left.Objects == 0 {
		return nil
	}
	return left
}

// written is what the run has written, what names other objects first. Its records stay:
// they are its history.
func (r *run) written(ctx context.Context) (stages [][]objectio.Entry, _ error) {
	index := []objectio.Entry{{Key: formatIndex(r.layer)}}
	var parts, refs []objectio.Entry
	for o, err := range r.bucket.List(ctx, r.layer.Path+"/") {
		if err != nil {
			return nil, storageError("list", r.layer.Path, err)
		}
		layerPath, part, err := parsePart(o.Key)
		if err != nil || layerPath != r.layer.Path || part == claimName || part == manifestName {
			continue
		}
		if _, layer, _, _, err := parseData(o.Key); err == nil && layer != r.layer.ID {
			continue
		}
		parts = append(parts, o)
	}
	for _, l := range r.needs {
		refs = append(refs, objectio.Entry{Key: formatRef(l.ID, r.layer.ID)})
	}
	return [][]objectio.Entry{index, parts, refs}, nil
}
