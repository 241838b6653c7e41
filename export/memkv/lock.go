package memkv

import (
	"slices"

	"github.com/varvekv/varve/export"
)

// lock is a write that is not committed yet.
type lock struct {
	key    []byte
	holder string
	at     export.Timestamp
}

// Lock leaves an uncommitted write of holder at key, for exports of snapshots
// after it to meet. It keeps nobody from writing, and survives a restart. A
// second lock of a key takes the place of the first.
func (s *Store) Lock(key []byte, holder string) export.Timestamp {
	return s.write(func(at export.Timestamp) {
		s.db.unlock(key)
		s.db.locks = append(s.db.locks, lock{key: slices.Clone(key), holder: holder, at: at})
		slices.SortFunc(s.db.locks, func(a, b lock) int { return s.db.order.Compare(a.key, b.key) })
	})
}

// Unlock takes back what Lock left at key, if anything.
func (s *Store) Unlock(key []byte) export.Timestamp {
	return s.write(func(export.Timestamp) { s.db.unlock(key) })
}

// unlock makes the list anew, for versions share the former one. It needs mu.
func (db *database) unlock(key []byte) {
	kept := make([]lock, 0, len(db.locks)+1)
	for _, l := range db.locks {
		if db.order.Compare(l.key, key) != 0 {
			kept = append(kept, l)
		}
	}
	db.locks = kept
}

// holds reports whether l is held still. It needs mu.
func (db *database) holds(l lock) bool {
	return slices.ContainsFunc(db.locks, func(m lock) bool { return m.at == l.at })
}

// locksFor are the locks that req meets in v, by key. With PushLocks they are
// gone after it, and none is left to meet.
func (db *database) locksFor(v version, req export.Request, until export.Timestamp) []lock {
	if !db.opts.Locks {
		return nil
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	var met []lock
	for _, l := range v.locks {
		passed := req.Resume != nil && db.order.Compare(l.key, req.Resume.Key) <= 0
		if passed || l.at.Compare(until) > 0 || !req.Span.Contains(db.order, l.key) || !db.holds(l) {
			continue
		}
		if req.Locks == export.PushLocks {
			db.unlock(l.key)
			continue
		}
		met = append(met, l)
	}
	return met
}
