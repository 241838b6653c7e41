package varve_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/faultblob"
)

// lies are exports that no look at the entries alone can tell from the truth.
var lies = map[string]func([]export.Entry) []export.Entry{
	"omits a key": func(e []export.Entry) []export.Entry {
		i := find(e, export.Set)
		return slices.Delete(e, i, i+1)
	},
	"invents a key": func(e []export.Entry) []export.Entry {
		i := find(e, export.Set)
		return slices.Insert(e, i+1, export.Entry{Kind: export.Set, Key: append(slices.Clone(e[i].Key), 0), Timestamp: e[i].Timestamp})
	},
	"alters a value": func(e []export.Entry) []export.Entry {
		e[find(e, export.Set)].Value[0] ^= 1
		return e
	},
	"swaps two values": func(e []export.Entry) []export.Entry {
		i := find(e, export.Set)
		j := i + 1 + find(e[i+1:], export.Set)
		e[i].Value, e[j].Value = e[j].Value, e[i].Value
		return e
	},
	"omits a range key": func(e []export.Entry) []export.Entry {
		i := find(e, export.RangeKeySet)
		return slices.Delete(e, i, i+1)
	},
	"shortens a range key": func(e []export.Entry) []export.Entry {
		r := &e[find(e, export.RangeKeySet)]
		r.End = append(slices.Clone(r.Key), 0)
		return e
	},
	"alters a range key": func(e []export.Entry) []export.Entry {
		e[find(e, export.RangeKeySet)].Value[0] ^= 1
		return e
	},
	"renames a range key": func(e []export.Entry) []export.Entry {
		e[find(e, export.RangeKeySet)].Suffix[0] ^= 1
		return e
	},
}

// find is the place of the first entry of a kind.
func find(e []export.Entry, kind export.Kind) int {
	return slices.IndexFunc(e, func(e export.Entry) bool { return e.Kind == kind })
}

// liar is a store that edits one piece in the middle of its exports.
func liar(t *testing.T, edit func([]export.Entry) []export.Entry) *watched {
	return &watched{Store: pieced(t, 1000, 1), edit: func(span varve.Span, e []export.Entry) []export.Entry {
		if span.Contains(nil, []byte("key-000500")) && len(span.End) > 0 {
			return edit(e)
		}
		return e
	}}
}

// TestAuditCatchesLies: what differs between the pieces and the whole is found, and
// by the audit alone.
func TestAuditCatchesLies(t *testing.T) {
	t.Parallel()
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := liar(t, lie)
			c := collectionIn(t, faultblob.New(t, nil), nil)
			opts := &varve.BackupOptions{TargetFileBytes: 2 << 10, Audit: true}
			_, err := c.Backup(t.Context(), varve.Cluster(src), opts)
			var corrupt *varve.CorruptError
			require.ErrorAs(t, err, &corrupt)
			for range c.Layers(t.Context()) {
				t.Error("a layer was committed")
			}
			kept, err := src.Store.Snapshots(t.Context())
			require.NoError(t, err)
			require.Empty(t, kept)

			opts.Audit = false
			layer, err := c.Backup(t.Context(), varve.Cluster(src), opts)
			require.NoError(t, err)
			require.Equal(t, varve.DigestScan, layer.Manifest.Digest.Source)
			_, err = c.Verify(t.Context(), layer.ID, &varve.VerifyOptions{Level: varve.VerifyDigest})
			require.NoError(t, err, "the layer is whole, and not the store's state")
		})
	}
}

// TestAuditBelievesTheStore: who always lies in the same way is not caught.
func TestAuditBelievesTheStore(t *testing.T) {
	t.Parallel()
	src := &watched{Store: pieced(t, 1000, 1), edit: func(_ varve.Span, e []export.Entry) []export.Entry {
		return slices.DeleteFunc(e, func(e export.Entry) bool { return string(e.Key) == "key-000500" })
	}}
	layer, err := collectionIn(t, faultblob.New(t, nil), nil).Backup(t.Context(), varve.Cluster(src), &varve.BackupOptions{TargetFileBytes: 2 << 10, Audit: true})
	require.NoError(t, err)
	require.Equal(t, varve.DigestAudit, layer.Manifest.Digest.Source)
}

// breach is what no state looks like, and what is said of it.
type breach struct {
	edit func([]export.Entry) []export.Entry
	want string
}

var breaches = map[string]breach{
	"out of order": {func(e []export.Entry) []export.Entry {
		i := find(e, export.Set)
		e[i], e[i+1] = e[i+1], e[i]
		return e
	}, "comes after"},
	"twice": {func(e []export.Entry) []export.Entry {
		i := find(e, export.Set)
		return slices.Insert(e, i, e[i])
	}, "comes twice"},
	"before the span": {func(e []export.Entry) []export.Entry {
		return slices.Insert(e, 0, export.Entry{Kind: export.Set, Key: []byte("a")})
	}, "outside the span"},
	"after the span": {func(e []export.Entry) []export.Entry {
		return append(e, export.Entry{Kind: export.Set, Key: []byte("z")})
	}, "outside the span"},
	"a deletion": {func(e []export.Entry) []export.Entry {
		e[find(e, export.Set)].Kind = export.Delete
		return e
	}, "not part of a state"},
	"a range deletion": {func(e []export.Entry) []export.Entry {
		e[find(e, export.RangeKeySet)].Kind = export.DeleteRange
		return e
	}, "not part of a state"},
	"no kind": {func(e []export.Entry) []export.Entry {
		e[0].Kind = 0
		return e
	}, "not part of a state"},
	"a range past the end": {func(e []export.Entry) []export.Entry {
		e[find(e, export.RangeKeySet)].End = []byte("z")
		return e
	}, "outside the span"},
	"a range without an end": {func(e []export.Entry) []export.Entry {
		e[find(e, export.RangeKeySet)].End = nil
		return e
	}, "outside the span"},
	"a range before the span": {func(e []export.Entry) []export.Entry {
		e[find(e, export.RangeKeySet)].Key = []byte("a")
		return e
	}, "outside the span"},
	"a range after its point": {func(e []export.Entry) []export.Entry {
		e[0], e[1] = e[1], e[0]
		e[1].Key = slices.Clone(e[0].Key)
		return e
	}, "after a point of the same key"},
	"a range out of order": {func(e []export.Entry) []export.Entry {
		return append(e, e[find(e, export.RangeKeySet)])
	}, "comes after"},
	"an empty range": {func(e []export.Entry) []export.Entry {
		r := &e[find(e, export.RangeKeySet)]
		r.End = slices.Clone(r.Key)
		return e
	}, "before it begins"},
}

// TestBrokenContractIsRefused: what would not be a state is not written, whether it
// comes in pieces or, as to the audit, in one.
func TestBrokenContractIsRefused(t *testing.T) {
	t.Parallel()
	for name, broken := range breaches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bucket := faultblob.New(t, nil)
			src := liar(t, broken.edit)
			_, err := collectionIn(t, bucket, nil).Backup(t.Context(), varve.Cluster(src), &varve.BackupOptions{TargetFileBytes: 2 << 10})
			require.ErrorContains(t, err, "store broke its contract")
			require.ErrorContains(t, err, broken.want)
			for _, key := range bucket.Keys() {
				require.NotEqual(t, "BACKUP_MANIFEST", filepath.Base(key))
			}
		})
	}
}

// TestForgedTable: a table that differs by one entry from what was digested, and
// with which everything else agrees, is found wherever digests are compared.
func TestForgedTable(t *testing.T) {
	t.Parallel()
	forgeries := map[string]func([]export.Entry) []export.Entry{"changes a revision": func(e []export.Entry) []export.Entry {
		e[find(e, export.Set)].Timestamp.WallNanos++
		return e
	}}
	for name, lie := range lies {
		forgeries[name] = lie
	}
	for name, edit := range forgeries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			revisions := name == "changes a revision"
			src := newStore(t, &memkv.Options{SingleRevision: !revisions, PartitionBytes: 4 << 10})
			fill(src, 1000, 1)
			f := &forgery{T: t, bucket: faultblob.New(t, &faultblob.Options{Allow: faultblob.Everything})}
			layer, err := f.collection().Backup(t.Context(), varve.Cluster(src), &varve.BackupOptions{TargetFileBytes: 2 << 10})
			require.NoError(t, err)
			require.NoError(t, varve.Forge(t.Context(), f.bucket.Open(), layer.Path, edit))

			require.NoError(t, f.verify(varve.VerifyOrder), "hashes, counts and order all agree")
			f.requireCaught(f.verify(varve.VerifyDigest))
			dst := newStore(t, &memkv.Options{SingleRevision: true})
			f.requireCaught(f.restore(dst, false))
			require.Empty(t, stateOf(dst))
			if !revisions {
				f.requireCaughtWhereLinked()
			}
		})
	}
}

// TestForgedNothing is the proof that Forge leaves a layer whole.
func TestForgedNothing(t *testing.T) {
	t.Parallel()
	src := pieced(t, 1000, 1)
	f := &forgery{T: t, bucket: faultblob.New(t, &faultblob.Options{Allow: faultblob.Everything})}
	layer, err := f.collection().Backup(t.Context(), varve.Cluster(src), &varve.BackupOptions{TargetFileBytes: 2 << 10})
	require.NoError(t, err)
	require.NoError(t, varve.Forge(t.Context(), f.bucket.Open(), layer.Path, func(e []export.Entry) []export.Entry { return e }))
	require.NoError(t, f.verify(varve.VerifyDigest))
}

// forgery is a collection whose one layer was forged.
type forgery struct {
	*testing.T
	bucket *faultblob.Bucket
}

func (f *forgery) collection() *varve.Collection { return collectionIn(f, f.bucket, nil) }

func (f *forgery) verify(level varve.VerifyLevel) error {
	_, err := f.collection().Verify(f.Context(), "", &varve.VerifyOptions{Level: level})
	return err
}

func (f *forgery) restore(dst export.Store, prove bool) error {
	_, err := f.collection().Restore(f.Context(), varve.Cluster(dst), &varve.RestoreOptions{Prove: prove})
	return err
}

func (f *forgery) requireCaught(err error) {
	f.Helper()
	var corrupt *varve.CorruptError
	require.ErrorAs(f, err, &corrupt)
	require.Contains(f, corrupt.Object, "layer ")
}

// requireCaughtWhereLinked restores into a directory, which takes tables as they
// are, and leaves nothing where it is asked to prove them.
func (f *forgery) requireCaughtWhereLinked() {
	f.Helper()
	beside := f.TempDir()
	f.requireCaught(f.restore(pebblekv.Dir(filepath.Join(beside, "db"), nil), true))
	left, err := os.ReadDir(beside)
	require.NoError(f, err)
	require.Empty(f, left)

	db, dst := openPebble(f, &pebble.Options{FS: vfs.NewMem()})
	f.requireCaught(f.restore(dst, true))
	it, err := db.NewIterWithContext(context.Background(), &pebble.IterOptions{KeyTypes: pebble.IterKeyTypePointsAndRanges})
	require.NoError(f, err)
	require.False(f, it.First())
	require.NoError(f, it.Close())

	require.NoError(f, f.restore(dst, false), "what is linked is known by its hashes only")
}
