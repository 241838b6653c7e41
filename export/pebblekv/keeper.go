package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/varvekv/varve/export"
)

// Snapshots lists the folders that are snapshots of this store's lineage.
func (s *Store) Snapshots(ctx context.Context) ([]export.SnapshotInfo, error) {
	infos, err := s.snapshots(ctx)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	slices.SortFunc(infos, func(a, b export.SnapshotInfo) int {
		if c := a.Timestamp.Compare(b.Timestamp); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return infos, nil
}

func (s *Store) snapshots(ctx context.Context) ([]export.SnapshotInfo, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	lineage, err := readLineage(s.fs, s.dir)
	if err != nil {
		return nil, err
	}
	sides, err := s.sidecars(lineage)
	if err != nil || len(sides) == 0 {
		return nil, err
	}
	live, err := s.liveFiles()
	if err != nil {
		return nil, err
	}
	var infos []export.SnapshotInfo
	for _, side := range sides {
		pinned, err := s.pinnedBytes(s.fs.PathJoin(s.snapDir, side.Name), live)
		if err != nil {
			return nil, err
		}
		infos = append(infos, export.SnapshotInfo{
			Name:        side.Name,
			Note:        side.Note,
			Timestamp:   side.Timestamp,
			CreatedAt:   side.CreatedAt,
			PinnedBytes: pinned,
			InUse:       s.open[side.Name] != nil,
		})
	}
	return infos, nil
}

// sidecars reads those of the folders that are ours, in no order.
func (s *Store) sidecars(lineage string) ([]sidecar, error) {
	names, err := s.fs.List(s.snapDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no snapshot was ever taken
	}
	if err != nil {
		return nil, err
	}
	var sides []sidecar
	for _, name := range names {
		if checkName(name) != nil {
			continue
		}
		side, err := readSidecar(s.fs, s.fs.PathJoin(s.snapDir, name), name, lineage)
		if errors.Is(err, errNotOurs) {
			continue
		}
		if err != nil {
			return nil, err
		}
		sides = append(sides, side)
	}
	return sides, nil
}

// liveFiles are the names of the table and blob files that the live database
// uses. Of blob files it shows no list, so those that lie in its directory count.
func (s *Store) liveFiles() (map[string]bool, error) {
	live := make(map[string]bool)
	err := guard(func() error {
		levels, err := s.db.SSTables()
		for _, level := range levels {
			for i := range level {
				live[level[i].BackingSSTNum.String()+".sst"] = true
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".blob") {
			live[name] = true
		}
	}
	return live, nil
}

// pinnedBytes is the size of what a snapshot holds and the live database does
// not use any more.
func (s *Store) pinnedBytes(path string, live map[string]bool) (int64, error) {
	names, err := s.fs.List(path)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, name := range names {
		if live[name] || !strings.HasSuffix(name, ".sst") && !strings.HasSuffix(name, ".blob") {
			continue
		}
		info, err := s.fs.Stat(s.fs.PathJoin(path, name))
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	return total, nil
}

// Release removes the snapshot called name. One that is open in this process
// stays until it is closed; one that another process has open is an error. A
// folder of that name that is not a snapshot of this store is left alone.
func (s *Store) Release(ctx context.Context, name string) error {
	if err := s.release(ctx, name); err != nil {
		return fmt.Errorf("release snapshot %s: %w", name, err)
	}
	return nil
}

func (s *Store) release(ctx context.Context, name string) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if err := checkName(name); err != nil {
		return err
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	if c := s.open[name]; c != nil {
		c.released = true
		return nil
	}
	lineage, err := readLineage(s.fs, s.dir)
	if err != nil {
		return err
	}
	path := s.fs.PathJoin(s.snapDir, name)
	_, err = readSidecar(s.fs, path, name, lineage)
	if errors.Is(err, errNotOurs) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.removeCheckpoint(path)
}
