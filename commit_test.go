package varve_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/internal/faultblob"
)

// commitScenes are the situations that a backup can find.
func commitScenes(t *testing.T) map[string]*scene {
	second, named := newScene(t, varve.BackupOptions{}), newScene(t, varve.BackupOptions{Name: "nightly/one"})
	require.NoError(t, second.backup())
	return map[string]*scene{"the first": newScene(t, varve.BackupOptions{}), "the second": second, "named": named}
}

// bubble runs a case in a bubble: waiting takes no time, and goroutines that are
// left behind fail the test.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, f)
	})
}

// TestEachWriteFails is I11 for each write of a backup and each way to fail:
// earlier layers stay, a run that fails adds none, one that succeeds adds a whole
// one, and the next succeeds.
func TestEachWriteFails(t *testing.T) {
	t.Parallel()
	kinds := []faultblob.FaultKind{faultblob.Lost, faultblob.Applied, faultblob.Repeated, faultblob.Denied}
	for name, before := range commitScenes(t) {
		var writes int
		for _, op := range before.trace(t, (*scene).backup) {
			if op.Kind != faultblob.Put {
				continue
			}
			writes++
			for _, kind := range kinds {
				fault := faultblob.Fault{Kind: kind}
				bubble(t, fmt.Sprintf("%s/%d %s %s", name, op.N, role(op.Key), fault), func(t *testing.T) {
					s := before.twin(t)
					s.bucket.Inject(faultblob.Nth(op.N, fault))
					requireOutcome(t, s.backup(), op, kind)
					s.bucket.Inject(nil)
					s.requireWhole()
					require.NoError(t, s.backup())
					s.requireWhole()
				})
			}
		}
		require.Greater(t, writes, 6, "a collection, a claim, several files, their list, an index entry and a manifest")
	}
}

// role is what the object is, without IDs and times.
func role(key string) string {
	for _, name := range []string{"varve.json", "progress", "data", "files.sst", "index", "BACKUP_MANIFEST"} {
		if strings.HasPrefix(key, name) || strings.Contains(key, "/"+name) {
			return name
		}
	}
	return key
}

// requireOutcome: records are created anew until it is known whose they are; a
// table that was lost cannot be produced a second time.
func requireOutcome(t *testing.T, err error, op faultblob.Op, kind faultblob.FaultKind) {
	t.Helper()
	table := strings.HasSuffix(op.Key, ".sst")
	switch {
	case kind == faultblob.Denied:
		var access *varve.AccessError
		require.ErrorAs(t, err, &access)
		require.Equal(t, "write", access.Right)
	case kind == faultblob.Lost && table:
		require.ErrorIs(t, err, faultblob.ErrInjected)
	default:
		require.NoError(t, err)
	}
}

// TestDeathAtEachOperation: storage hears nothing more of a run from some operation
// on, as if its process had died.
func TestDeathAtEachOperation(t *testing.T) {
	t.Parallel()
	for name, before := range commitScenes(t) {
		for _, op := range before.trace(t, (*scene).backup) {
			bubble(t, fmt.Sprintf("%s/%d %s %s", name, op.N, op.Kind, role(op.Key)), func(t *testing.T) {
				s := before.twin(t)
				s.bucket.Inject(faultblob.From(op.N, faultblob.Fault{Kind: faultblob.Lost}))
				require.ErrorIs(t, s.backup(), faultblob.ErrInjected)
				s.bucket.Inject(nil)
				s.requireWhole()
				require.NoError(t, s.backup())
				s.requireWhole()
			})
		}
	}
}

// TestSecondWriterCommitsFirst: of two runs that believe to own a path, as two
// stores that lost touch might, one commits and the other learns of it.
func TestSecondWriterCommitsFirst(t *testing.T) {
	t.Parallel()
	s := newScene(t, varve.BackupOptions{})
	s.bucket.Inject(func(op faultblob.Op) faultblob.Fault {
		if role(op.Key) == "BACKUP_MANIFEST" && op.Kind == faultblob.Put {
			s.bucket.Replace(op.Key, []byte(`{"kind": "varve.void"}`))
		}
		return faultblob.Fault{}
	})
	require.ErrorIs(t, s.backup(), varve.ErrConflict)
	s.bucket.Inject(nil)
	s.requireWhole()
	require.NoError(t, s.backup())
	s.requireWhole()
}

// TestOrphanedSnapshots: what a run that died has left in the store is released by
// the collection's next run a day later. What another collection's run has left is
// not touched.
func TestOrphanedSnapshots(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	store := newStore(t, &memkv.Options{SingleRevision: true, Now: clock})
	ours := collectionIn(t, faultblob.New(t, nil), &varve.CollectionOptions{Now: clock})
	theirs := collectionIn(t, faultblob.New(t, nil), &varve.CollectionOptions{Now: clock})
	for _, c := range []*varve.Collection{ours, theirs} {
		dying := &watched{Store: store, call: func(op string) {
			if op == "partition" {
				store.Close()
			}
		}}
		_, err := c.Backup(t.Context(), varve.Cluster(dying), nil)
		require.ErrorIs(t, err, export.ErrClosed)
		store = store.Reopen()
	}
	for _, step := range []struct {
		later time.Duration
		left  int
	}{{23 * time.Hour, 2}, {2 * time.Hour, 1}, {100 * time.Hour, 1}} {
		now = now.Add(step.later)
		_, err := ours.Backup(t.Context(), varve.Cluster(store), nil)
		require.NoError(t, err)
		kept, err := store.Snapshots(t.Context())
		require.NoError(t, err)
		require.Len(t, kept, step.left)
	}
}

// verbs read a collection with one layer.
var verbs = map[string]func(*scene) error{
	"restore": func(s *scene) error {
		return s.restore(newStore(s, &memkv.Options{SingleRevision: true}), s.listedOnce())
	},
	"rehearse": func(s *scene) error {
		return s.rehearse()
	},
	"list": func(s *scene) error {
		for l, err := range s.collection().Layers(s.Context()) {
			if err != nil {
				return err
			}
			require.Contains(s, s.states, l.ID)
		}
		return nil
	},
}

// listedOnce is the ID of the only layer, known without the bucket.
func (s *scene) listedOnce() string {
	for id := range s.states {
		return id
	}
	return ""
}

// rehearse climbs all levels of Verify. It finds no problem, whatever storage does:
// that is not the layer's.
func (s *scene) rehearse() error {
	scratch := newStore(s, &memkv.Options{SingleRevision: true})
	report, err := s.collection().Verify(s.Context(), "", &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: scratch, Concurrency: 1})
	if report != nil {
		require.Empty(s, report.Problems)
	}
	return err
}

// misread makes a fault happen to operation n, if it is one that can have it.
func misread(n int, f faultblob.Fault) func(faultblob.Op) faultblob.Fault {
	return func(op faultblob.Op) faultblob.Fault {
		if op.N != n || op.Kind != faultblob.Get && (f.Kind == faultblob.Truncated || f.Kind == faultblob.Reset) {
			return faultblob.Fault{}
		}
		return f
	}
}

// TestEachReadFails: one failure is repaired by asking again, all but a refusal,
// which leaves nothing behind; and it is not held against the layer.
func TestEachReadFails(t *testing.T) {
	t.Parallel()
	before := newScene(t, varve.BackupOptions{})
	require.NoError(t, before.backup())
	faults := []faultblob.Fault{
		{Kind: faultblob.Lost}, {Kind: faultblob.Denied},
		{Kind: faultblob.Truncated, At: 7}, {Kind: faultblob.Reset},
	}
	for verb, do := range verbs {
		for _, op := range before.trace(t, do) {
			for _, fault := range faults {
				bubble(t, fmt.Sprintf("%s/%d %s %s %s at %d", verb, op.N, op.Kind, role(op.Key), fault, fault.At), func(t *testing.T) {
					s := before.twin(t)
					s.bucket.Inject(misread(op.N, fault))
					err := do(s)
					if fault.Kind == faultblob.Denied {
						var access *varve.AccessError
						require.ErrorAs(t, err, &access)
					} else {
						require.NoError(t, err)
					}
					s.bucket.Inject(nil)
					require.NoError(t, do(s))
				})
			}
		}
	}
}

// TestStorageGoesAway: from some operation on nothing answers.
func TestStorageGoesAway(t *testing.T) {
	t.Parallel()
	before := newScene(t, varve.BackupOptions{})
	require.NoError(t, before.backup())
	for verb, do := range verbs {
		for _, op := range before.trace(t, do) {
			bubble(t, fmt.Sprintf("%s/%d %s %s", verb, op.N, op.Kind, role(op.Key)), func(t *testing.T) {
				s := before.twin(t)
				s.bucket.Inject(faultblob.From(op.N, faultblob.Fault{Kind: faultblob.Lost}))
				require.ErrorIs(t, do(s), faultblob.ErrInjected)
				s.bucket.Inject(nil)
				require.NoError(t, do(s))
			})
		}
	}
}
