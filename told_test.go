package varve_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

// telling is a store that keeps revisions and says what changes replaced. It has no
// ranges.
type telling struct {
	*memkv.Store
	scans *int
}

func (s telling) Snapshot(ctx context.Context, opts export.SnapshotOptions) (export.Snapshot, error) {
	snapshot, err := s.Store.Snapshot(ctx, opts)
	return &tellingSnapshot{snapshot, s}, err
}

type tellingSnapshot struct {
	export.Snapshot
	store telling
}

func (s *tellingSnapshot) Export(ctx context.Context, req export.Request) (export.Cursor, error) {
	*s.store.scans++
	return s.Snapshot.Export(ctx, req)
}

func (s *tellingSnapshot) Changes(ctx context.Context, req export.Request) (export.Changes, error) {
	c, err := s.Snapshot.Export(ctx, req)
	if err != nil {
		return nil, err
	}
	formers := map[string]export.Entry{}
	for _, e := range s.store.StateAt(req.Since, req.Span) {
		formers[formerOf(&e)] = e
	}
	return &tellingChanges{c, formers}, nil
}

type tellingChanges struct {
	export.Cursor
	formers map[string]export.Entry
}

func (c *tellingChanges) Former() *export.Entry {
	if former, ok := c.formers[formerOf(c.Entry())]; ok {
		return &former
	}
	return nil
}

// formerOf is what entries have in common of which the later replaces the former: ranges,
// which are the same ones here, replace no points.
func formerOf(e *export.Entry) string { return fmt.Sprint(e.Kind.IsRange(), string(e.Key)) }

// TestToldChangesWithRevisions: where the store says what was replaced, the digest of an
// incremental is updated, and the store is not read for it.
func TestToldChangesWithRevisions(t *testing.T) {
	t.Parallel()
	for _, history := range []bool{false, true} {
		p, scans := newPast(t, 31), 0
		s := telling{p.store, &scans}
		writes := func() {
			for i := range 25 {
				if i%4 == 0 {
					p.moments = append(p.moments, p.store.Delete(p.key()))
				} else {
					p.moments = append(p.moments, p.store.Set(p.key(), []byte{byte(p.rng.IntN(3))}))
				}
			}
		}
		writes()
		opts := varve.BackupOptions{RevisionHistory: history, TargetFileBytes: 32}
		for range 4 {
			scans = 0
			layer, err := p.c.Backup(t.Context(), varve.Cluster(s), &opts)
			require.NoError(t, err)
			require.Equal(t, opts.Into == "", scans > 0)
			_, err = p.c.Verify(t.Context(), layer.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
			require.NoError(t, err)
			opts.Into = varve.Latest
			writes()
		}
		p.requireWindows(varve.Latest)
	}
}

// TestToldChangesBehindLock: what comes before a lock is counted, and stored, once. Where a range
// reaches beyond the lock all of it is tried again, and counts once, too.
func TestToldChangesBehindLock(t *testing.T) {
	t.Parallel()
	for _, reaches := range []bool{false, true} {
		bubble(t, fmt.Sprint("locked, reaching beyond: ", reaches), func(t *testing.T) {
			l, scans := newLockable(t), 0
			l.store = newStore(t, &memkv.Options{Locks: true})
			s := telling{l.store, &scans}
			for i := range 100 {
				l.store.Set(lockedKey(i), []byte{1})
			}
			l.backup(s)
			for i := range 100 {
				l.store.Set(lockedKey(i), []byte{2})
			}
			if reaches {
				l.store.RangeKeySet(lockedKey(20), lockedKey(40), nil, []byte("of many"))
			}
			l.store.Lock(lockedKey(31), "dead")
			l.opts.Into, l.begun, l.files = varve.Latest, time.Now(), nil
			l.backup(s)
			require.Len(t, l.met, 12)
			if reaches {
				return // files of what is tried again are told each time, and in no list
			}
			slices.SortFunc(l.files, func(a, b varve.FileInfo) int { return bytes.Compare(a.Span.Start, b.Span.Start) })
			for i, f := range l.files[1:] {
				require.False(t, f.Span.Overlaps(nil, l.files[i].Span), "%s is there twice", f.Span)
			}
		})
	}
}
