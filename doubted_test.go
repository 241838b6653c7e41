package varve

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

// doubted shows tables some of which prove unsound while they are read.
type doubted struct {
	*pebblekv.Store
	stop func(i int) int // the entries that the i-th table yields before; -1: all

	mu sync.Mutex
	n  int // tables that were chosen
}

type doubtedSnapshot struct {
	export.Snapshot
	export.Differ
	exporter export.TableExporter
	store    *doubted
}

type doubtedTable struct {
	export.Table
	stop int
}

// stopping ends after some entries.
type stopping struct {
	export.Cursor
	left int
	err  error
}

func (d *doubted) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	s, err := d.Store.Snapshot(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &doubtedSnapshot{s, s.(export.Differ), s.(export.TableExporter), d}, nil
}

func (s *doubtedSnapshot) Tables(ctx context.Context, span export.Span, least, most int64) ([]export.Table, error) {
	tables, err := s.exporter.Tables(ctx, span, least, most)
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	for i := range tables {
		tables[i] = &doubtedTable{tables[i], s.store.stop(s.store.n)}
		s.store.n++
	}
	return tables, err
}

func (s *doubtedSnapshot) Over(ctx context.Context, span export.Span, tables []export.Table, exact bool) (export.Changes, error) {
	bare := make([]export.Table, len(tables))
	for i := range tables {
		bare[i] = tables[i].(*doubtedTable).Table
	}
	return s.exporter.Over(ctx, span, bare, exact)
}

func (t *doubtedTable) Entries(ctx context.Context) (export.Cursor, error) {
	c, err := t.Table.Entries(ctx)
	if err != nil || t.stop < 0 {
		return c, err
	}
	return &stopping{Cursor: c, left: t.stop}, nil
}

func (s *stopping) Next() bool {
	if s.left == 0 || !s.Cursor.Next() {
		s.err = fmt.Errorf("found: %w", export.ErrUnsound)
		return false
	}
	s.left--
	return true
}

func (s *stopping) Err() error { return s.err }

// TestTablesProveUnsound: such are left out, at whatever entry that is found, and what
// they hold comes with what lies over the others.
func TestTablesProveUnsound(t *testing.T) {
	t.Parallel()
	doubts := map[string]func(int) int{
		"the first":            func(i int) int { return -min(i, 1) },
		"every other at once":  func(i int) int { return i%2 - 1 },
		"every third later":    func(i int) int { return []int{5, -1, -1}[i%3] },
		"some at the very end": func(i int) int { return []int{1 << 20, -1}[i%2] },
		"all":                  func(i int) int { return i % 7 },
	}
	ways := map[string]BackupOptions{"digested": {}, "audited": {Audit: true}, "without a digest": {NoDigest: true}}
	for name, stop := range doubts {
		for way, opts := range ways {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				s := newSettled(t, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, DisableAutomaticCompactions: true})
				s.change()
				store := &doubted{Store: s.store, stop: stop}
				opts.TargetFileBytes, opts.Compression = s.opts.TargetFileBytes, s.opts.Compression
				full, state := s.backup(store, "", opts)
				want := 0
				for i := range store.n {
					if stop(i) < 0 {
						want++
					}
				}
				tables, _ := s.copied(full)
				require.Greater(t, store.n, 5)
				require.Less(t, want, store.n)
				require.Len(t, tables, want)
				var some []string
				if testing.Short() && !opts.Audit {
					some = []string{"entries", "a directory of the newest format"}
				}
				s.prove(full, state, some...)

				s.change()
				next, state := s.backup(s.store, Latest, opts)
				require.Equal(t, Checkpoints, next.Stats.Changes)
				s.prove(next, state, some...)
			})
		}
	}
}
