package memkv

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/varvekv/varve/export"
)

// kept is a named snapshot.
type kept struct {
	name, note string
	lineage    string
	version    version
	at, until  export.Timestamp
	createdAt  time.Time
	displaced  int64 // the database's, when it was taken
	users      int   // open in this process
	released   bool  // goes with its last user
}

// openKept opens a named snapshot, creating it if there is none. It needs mu.
func (s *Store) openKept(opts export.SnapshotOptions) (*snapshot, error) {
	if err := checkName(opts.Name); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	k, ok := s.db.named[opts.Name]
	var err error
	if ok {
		err = k.fits(opts, s.db.lineage)
	} else {
		k, err = s.db.keep(opts)
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", opts.Name, err)
	}
	k.users++
	return &snapshot{store: s, version: k.version, at: k.at, until: k.until, kept: k}, nil
}

// checkName refuses what is not lower-case hex.
func checkName(name string) error {
	if strings.Trim(name, "0123456789abcdef") != "" {
		return fmt.Errorf("name %q: not lower-case hex", name)
	}
	return nil
}

func (db *database) keep(opts export.SnapshotOptions) (*kept, error) {
	at, until, err := db.stamp(opts)
	if err != nil {
		return nil, err
	}
	k := &kept{
		name: opts.Name, note: opts.Note, lineage: db.lineage,
		version: db.freeze(), at: at, until: until,
		createdAt: db.opts.Now(), displaced: db.displaced,
	}
	db.named[opts.Name] = k
	return k, nil
}

// fits is why k is not what opts ask for.
func (k *kept) fits(opts export.SnapshotOptions, lineage string) error {
	switch {
	case k.released:
		return fmt.Errorf("it was released: %w", export.ErrClosed)
	case k.lineage != lineage:
		return fmt.Errorf("it is of lineage %s, the store of %s", k.lineage, lineage)
	case !opts.AsOf.IsZero() && opts.AsOf != k.at:
		return fmt.Errorf("it is at %s, not at %s", k.at, opts.AsOf)
	case k.at.Compare(opts.After) <= 0:
		return fmt.Errorf("it is at %s, not after %s", k.at, opts.After)
	}
	return nil
}

// Snapshots implements [export.SnapshotKeeper].
func (s *Store) Snapshots(ctx context.Context) ([]export.SnapshotInfo, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var list []export.SnapshotInfo
	for _, k := range s.db.named {
		if k.lineage == s.db.lineage && !k.released {
			list = append(list, k.info(s.db.displaced))
		}
	}
	slices.SortFunc(list, func(a, b export.SnapshotInfo) int {
		return cmp.Or(a.Timestamp.Compare(b.Timestamp), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// info takes all that was written over since k for pinned by it.
func (k *kept) info(displaced int64) export.SnapshotInfo {
	return export.SnapshotInfo{
		Name: k.name, Note: k.note, Timestamp: k.at, CreatedAt: k.createdAt,
		PinnedBytes: displaced - k.displaced,
		InUse:       k.users > 0,
	}
}

// Release implements [export.SnapshotKeeper].
func (s *Store) Release(ctx context.Context, name string) error {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return fmt.Errorf("release snapshot %s: %w", name, err)
	}
	if k, ok := s.db.named[name]; ok {
		k.released = true
		s.db.dropUnused(k)
	}
	return nil
}

// leave ends one use of k. The uses of a store that was closed have ended.
func (s *Store) leave(k *kept) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	if s.closed {
		return
	}
	k.users--
	s.db.dropUnused(k)
}

func (db *database) dropUnused(k *kept) {
	if k.released && k.users == 0 {
		delete(db.named, k.name)
	}
}
