package mvcckv

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
)

// kept is a named snapshot: a timestamp that is protected, for a version that is
// never written over needs no copy.
type kept struct {
	name     string
	record   snapshotRecord
	users    int  // open in this process
	released bool // its record is gone; what it holds goes with its last user
}

type snapshotRecord struct {
	Note      string           `json:"note,omitempty"`
	Lineage   string           `json:"lineage"`
	Timestamp export.Timestamp `json:"timestamp"`
	CreatedAt time.Time        `json:"created_at"`
	Written   int64            `json:"written,string"` // the store's, when it was taken
}

func snapshotKey(name string) []byte { return systemKey(snapshotArea, []byte(name), txID{}) }

// loadSnapshots reads those of a process before.
func (s *Store) loadSnapshots() error {
	return s.eachRecord(snapshotArea, func(name []byte, _ txID, stored []byte) error {
		k := &kept{name: string(name)}
		if err := json.Unmarshal(stored, &k.record); err != nil {
			return fmt.Errorf("snapshot %s: %w", name, err)
		}
		s.named[k.name] = k
		return nil
	})
}

// openKept opens a named snapshot, creating it, durably, if there is none. It needs
// mu.
func (s *Store) openKept(opts export.SnapshotOptions) (*kept, error) {
	if err := checkName(opts.Name); err != nil {
		return nil, err
	}
	k, ok := s.named[opts.Name]
	if ok {
		if err := s.fits(k, opts); err != nil {
			return nil, err
		}
		k.users++
		return k, nil
	}
	at, err := s.stamp(opts)
	if err != nil {
		return nil, err
	}
	k = &kept{name: opts.Name, users: 1, record: snapshotRecord{
		Note: opts.Note, Lineage: s.meta.Lineage, Timestamp: at,
		CreatedAt: s.opts.Now(), Written: s.meta.Written,
	}}
	if err := s.putRecord(snapshotKey(k.name), k.record, pebble.Sync); err != nil {
		return nil, err
	}
	s.named[k.name] = k
	return k, nil
}

// checkName refuses what is not lower-case hex.
func checkName(name string) error {
	if name == "" || strings.Trim(name, "0123456789abcdef") != "" {
		return fmt.Errorf("name %q: want lower-case hex", name)
	}
	return nil
}

// fits is why k is not what opts ask for.
func (s *Store) fits(k *kept, opts export.SnapshotOptions) error {
	r := &k.record
	switch {
	case k.released:
		return fmt.Errorf("it was released: %w", export.ErrClosed)
	case r.Lineage != s.meta.Lineage:
		return fmt.Errorf("it is of lineage %s, the store of %s", r.Lineage, s.meta.Lineage)
	case !opts.AsOf.IsZero() && opts.AsOf != r.Timestamp:
		return fmt.Errorf("it is at %s, not at %s", r.Timestamp, opts.AsOf)
	case r.Timestamp.Compare(opts.After) <= 0:
		return fmt.Errorf("it is at %s, not after %s", r.Timestamp, opts.After)
	}
	return s.keeps(r.Timestamp)
}

// Snapshots implements [export.SnapshotKeeper]. PinnedBytes is all that was written
// since: of what that has replaced, a snapshot holds no more.
func (s *Store) Snapshots(ctx context.Context) ([]export.SnapshotInfo, error) {
	if err := s.begin(ctx); err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	defer s.mu.Unlock()
	var list []export.SnapshotInfo
	for _, k := range s.named {
		if k.record.Lineage != s.meta.Lineage || k.released {
			continue
		}
		list = append(list, export.SnapshotInfo{
			Name: k.name, Note: k.record.Note, Timestamp: k.record.Timestamp, CreatedAt: k.record.CreatedAt,
			PinnedBytes: max(s.meta.Written-k.record.Written, 0),
			InUse:       k.users > 0,
		})
	}
	slices.SortFunc(list, func(a, b export.SnapshotInfo) int {
		return cmp.Or(a.Timestamp.Compare(b.Timestamp), a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.Name, b.Name))
	})
	return list, nil
}

// Release implements [export.SnapshotKeeper]. The record is gone, durably, when it
// returns; what is open in this process holds its history until it is closed.
func (s *Store) Release(ctx context.Context, name string) error {
	if err := s.release(ctx, name); err != nil {
		return fmt.Errorf("release snapshot %s: %w", name, err)
	}
	return nil
}

func (s *Store) release(ctx context.Context, name string) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	k, ok := s.named[name]
	if !ok || k.released || k.record.Lineage != s.meta.Lineage {
		return nil
	}
	if err := s.db.Delete(snapshotKey(name), pebble.Sync); err != nil {
		return err
	}
	k.released = true
	s.dropUnused(k)
	return nil
}

// leave ends one use of k. It needs mu.
func (s *Store) leave(k *kept) {
	k.users--
	s.dropUnused(k)
}

func (s *Store) dropUnused(k *kept) {
	if k.released && k.users == 0 {
		delete(s.named, k.name)
	}
}

// protected is t, or the oldest moment before it that must stay readable: that of an
// unnamed snapshot, of a named one that is not too old, or of a transaction. It needs
// mu.
func (s *Store) protected(t export.Timestamp) export.Timestamp {
	for _, k := range s.named {
		if !s.tooOld(k) {
			t = earlier(t, k.record.Timestamp)
		}
	}
	for v := range s.views {
		t = earlier(t, v.at)
	}
	for tx := range s.open {
		t = earlier(t, tx.read)
	}
	return t
}

// tooOld reports whether k has held history back for as long as it may, in use or
// not. A clock that was set back makes it hold longer.
func (s *Store) tooOld(k *kept) bool {
	age := s.opts.SnapshotMaxAge
	return age > 0 && s.clock.now().Time().Sub(k.record.Timestamp.Time()) > age
}
