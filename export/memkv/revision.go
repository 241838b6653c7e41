package memkv

import "github.com/varvekv/varve/export"

// revision is one stored value of a key, or that it was deleted, and the head of
// the list of those before it, from newer to older. It never changes.
type revision struct {
	at    export.Timestamp
	kind  export.Kind // Set or Delete
	value []byte
	older *revision
}

// asOf is the newest revision at or before t, nil if there is none.
func (r *revision) asOf(t export.Timestamp) *revision {
	for r != nil && r.at.Compare(t) > 0 {
		r = r.older
	}
	return r
}

// isLive reports whether a reader sees a value at r.
func (r *revision) isLive() bool { return r != nil && r.kind == export.Set }

// collect is the list without what no reader at or after t can tell apart: of
// the revisions up to t only the newest is left, and that only if it is a value.
func (r *revision) collect(t export.Timestamp) *revision {
	switch {
	case r == nil:
		return nil
	case r.at.Compare(t) > 0:
		older := r.older.collect(t)
		if older == r.older {
			return r
		}
		return &revision{at: r.at, kind: r.kind, value: r.value, older: older}
	case r.kind != export.Set:
		return nil
	case r.older == nil:
		return r
	}
	return &revision{at: r.at, kind: r.kind, value: r.value}
}
