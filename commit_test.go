package varve_test

import (
	"fmt"
	"hash/crc32"
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

// commitSettings are the situations that a backup can find.
func commitSettings() map[string]setting {
	first := func(opts varve.BackupOptions) setting {
		return func(t testing.TB) *scene { return newScene(t, opts) }
	}
	// after prepares a store that was backed up and has changed since.
	after := func(opts varve.BackupOptions, prepare func(s *scene)) setting {
		return func(t testing.TB) *scene {
			s := newScene(t, opts)
			prepare(s)
			return s
		}
	}
	full := func(s *scene, spans ...varve.Span) {
		s.spans = spans
		require.NoError(s, s.backup())
		s.change(1)
		s.opts.Into = varve.Latest
	}
	return map[string]setting{
		"the first":  first(varve.BackupOptions{}),
		"named":      first(varve.BackupOptions{Name: "nightly/one"}),
		"the second": after(varve.BackupOptions{}, func(s *scene) { require.NoError(s, s.backup()) }),
		"incremental": after(varve.BackupOptions{}, func(s *scene) {
			full(s)
			require.NoError(s, s.backup())
			s.change(2)
		}),
		"incremental with history": after(varve.BackupOptions{RevisionHistory: true}, func(s *scene) { full(s) }),
		"incremental without a base": after(varve.BackupOptions{NoBase: true}, func(s *scene) {
			full(s)
			s.opts.NoBase = false
		}),
		"incremental that keeps none": after(varve.BackupOptions{}, func(s *scene) {
			full(s)
			s.opts.NoBase = true
		}),
		"widened": after(varve.BackupOptions{}, func(s *scene) {
			full(s, span("key-00002", "key-00006"))
			s.spans = []varve.Span{span("key-00001", "key-00004"), span("key-000055", "key-00009")}
		}),
		"adopted": after(varve.BackupOptions{}, func(s *scene) {
			full(s)
			s.store = s.newStore()
			fill(s.store, 100, 1)
			s.change(3)
			s.opts.Adopt = true
		}),
		"time for a full": after(varve.BackupOptions{}, func(s *scene) {
			full(s)
			s.opts.FullEvery = time.Hour
		}),
	}
}

// bubble runs a case in a bubble: waiting takes no time, and goroutines that are
// left behind fail the test. Short runs take one case in four, or under the race detector in
// ten, always the same.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	part := uint32(4)
	if asserting {
		part = 10
	}
	if testing.Short() && crc32.ChecksumIEEE([]byte(name))%part != 0 {
		return
	}
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
	for name, begin := range commitSettings() {
		var writes int
		for _, op := range begin.trace(t, (*scene).backup) {
			if op.Kind != faultblob.Put {
				continue
			}
			writes++
			for _, kind := range kinds {
				fault := faultblob.Fault{Kind: kind}
				bubble(t, fmt.Sprintf("%s/%d %s %s", name, op.N, role(op.Key), fault), func(t *testing.T) {
					s := begin.at(t)
					s.bucket.Inject(faultblob.Nth(op.N, fault))
					err := s.backup()
					if lastRecord(op.Key) {
						require.NoError(t, err, "what is done is done")
					} else {
						requireOutcome(t, err, kind)
					}
					s.goOn()
				})
			}
		}
		require.Greater(t, writes, 5, "a collection or a reference, a claim, a file, their list, an index entry and a manifest")
	}
}

// goOn wants no other layers than are known, and then one more, of a store that
// changed meanwhile, and all of them whole.
func (s *scene) goOn() {
	s.Helper()
	s.bucket.Inject(nil)
	s.call, s.fail = nil, nil
	s.requireListed()
	s.change(9)
	require.NoError(s, s.backup())
	s.requireWhole()
}

// TestEachReadOfABackupFails: reads are made again, and what was read badly the first
// time neither hides a change nor invents one. Only a refusal ends the run.
func TestEachReadOfABackupFails(t *testing.T) {
	t.Parallel()
	faults := []faultblob.Fault{{Kind: faultblob.Lost}, {Kind: faultblob.Denied}, {Kind: faultblob.Truncated, At: 7}, {Kind: faultblob.Reset}}
	for name, begin := range commitSettings() {
		for _, op := range begin.trace(t, (*scene).backup) {
			for _, fault := range faults {
				if op.Kind == faultblob.Put || op.Kind != faultblob.Get && (fault.Kind == faultblob.Truncated || fault.Kind == faultblob.Reset) {
					continue
				}
				bubble(t, fmt.Sprintf("%s/%d %s %s %s", name, op.N, op.Kind, role(op.Key), fault), func(t *testing.T) {
					s := begin.at(t)
					s.bucket.Inject(faultblob.Nth(op.N, fault))
					err := s.attempt(t.Context())
					if fault.Kind != faultblob.Denied {
						require.NoError(t, err)
						s.requireOneBase()
					} else if err != nil {
						var access *varve.AccessError
						require.ErrorAs(t, err, &access)
						require.False(t, op.Kind == faultblob.Get && access.Right == "write")
					}
					s.goOn()
				})
			}
		}
	}
}

// role is what the object is, without IDs and times.
func role(key string) string {
	for _, name := range []string{"varve.json", "refs", "retired", "progress", "data", "files.sst", "index", "BACKUP_MANIFEST"} {
		if strings.HasPrefix(key, name) || strings.Contains(key, "/"+name) {
			return name
		}
	}
	return key
}

// lastRecord reports whether key is a record of a job but the first. It says what became of
// what is done.
func lastRecord(key string) bool {
	return strings.HasPrefix(key, "jobs/") && !strings.HasSuffix(key, "/0")
}

// requireOutcome: what was lost is sent again, and of what may be there it is found out
// whose it is.
func requireOutcome(t *testing.T, err error, kind faultblob.FaultKind) {
	t.Helper()
	if kind == faultblob.Denied {
		var access *varve.AccessError
		require.ErrorAs(t, err, &access)
		require.Equal(t, "write", access.Right)
	} else {
		require.NoError(t, err)
	}
}

// TestDeathAtEachOperation: storage hears nothing more of a run from some operation
// on, as if its process had died. What is left to do after the manifest does not
// undo the layer.
func TestDeathAtEachOperation(t *testing.T) {
	t.Parallel()
	for name, begin := range commitSettings() {
		done := false
		for _, op := range begin.trace(t, (*scene).backup) {
			committed := done
			bubble(t, fmt.Sprintf("%s/%d %s %s", name, op.N, op.Kind, role(op.Key)), func(t *testing.T) {
				s := begin.at(t)
				s.bucket.Inject(faultblob.From(op.N, faultblob.Fault{Kind: faultblob.Lost}))
				if committed {
					require.NoError(t, s.attempt(t.Context()))
				} else {
					require.ErrorIs(t, s.backup(), faultblob.ErrInjected)
				}
				s.goOn()
			})
			done = done || op.Kind == faultblob.Put && role(op.Key) == "BACKUP_MANIFEST"
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
	s.goOn()
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
		later   time.Duration
		orphans int
	}{{23 * time.Hour, 2}, {2 * time.Hour, 1}, {100 * time.Hour, 1}} {
		now = now.Add(step.later)
		layer, err := ours.Backup(t.Context(), varve.Cluster(store), nil)
		require.NoError(t, err)
		kept, err := store.Snapshots(t.Context())
		require.NoError(t, err)
		require.Len(t, kept, step.orphans+1)
		require.Equal(t, layer.ID, kept[step.orphans].Name, "the base of the newest layer, and no other")
	}
}
