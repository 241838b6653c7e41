package varve_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
	"github.com/varvekv/varve/export/pebblekv"
	"github.com/varvekv/varve/internal/faultblob"
)

// declared are the town's objects as an application declares them that has a plain Pebble
// database: with room for what is restored beside the rest.
func declared() []export.Object {
	objects := townObjects()
	rescue := objects[accountsID-1]
	rescue.ID, rescue.Name, rescue.Spans = 50, "rescued", tableSpans(50, 1)
	return append(objects, rescue)
}

// TestDeclaredTables: of a plain Pebble database and of one in memory, whose catalog stands
// still, every subset of the tables is restored as tables and each database as one, into
// a database that is open, a directory and memory.
func TestDeclaredTables(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 3))
	popts := &pebble.Options{}
	for i := range popts.TargetFileSizes {
		popts.TargetFileSizes[i] = 1 << 10
	}
	engine := newPebbleEngine(t, popts, pebblekv.Options{Objects: declared()})
	bucket := faultblob.New(t, nil)
	c := collectionIn(t, bucket, nil)
	write := func(n int) {
		for range n {
			for _, id := range []uint64{accountsID, entriesID, ordersID, usersID} {
				key := fmt.Appendf(nil, "%03d/%d/%04d", id, rng.IntN(2), rng.IntN(300))
				if rng.IntN(4) == 0 {
					require.NoError(t, engine.db.Delete(key, pebble.NoSync))
				} else {
					require.NoError(t, engine.db.Set(key, fmt.Append(nil, rng.Uint64()), pebble.NoSync))
				}
			}
		}
	}
	write(500)
	require.NoError(t, engine.db.Flush())
	require.NoError(t, engine.db.Compact(t.Context(), []byte("0"), []byte("1"), false))
	write(20)
	opts := varve.BackupOptions{Audit: true, TargetFileBytes: 4 << 10, Compression: varve.CompressNone}
	full, err := c.Backup(t.Context(), varve.Databases(engine, "bank", "shop"), &opts)
	require.NoError(t, err)
	require.Positive(t, full.Stats.CopiedBytes)
	var there int64
	for _, name := range []string{"bank.accounts", "bank.entries", "shop.orders"} {
		there += int64(len(rows(t, engine, export.Timestamp{}, name)))
	}
	require.Equal(t, there, full.Stats.Rows+full.Stats.IndexEntries)
	for range 2 {
		write(30)
		opts.Into = varve.Latest
		layer, err := c.Backup(t.Context(), varve.Databases(engine, "bank", "shop"), &opts)
		require.NoError(t, err)
		require.Equal(t, varve.Checkpoints, layer.Stats.Changes)
	}
	tables := []string{"bank.accounts", "bank.entries", "shop.orders"}
	for subset := 1; subset < 1<<len(tables); subset++ {
		var some []string
		for i, name := range tables {
			if subset>>i&1 == 1 {
				some = append(some, name)
			}
		}
		open := newPebbleEngine(t, &pebble.Options{}, pebblekv.Options{Objects: declared()})
		dir := unopenedPebble(t, &pebble.Options{}, pebblekv.Options{Objects: declared()})
		memory := newStore(t, &memkv.Options{SingleRevision: true, Objects: declared(), Regions: []string{"eu"}})
		for name, to := range map[string]export.Store{"open": open, "dir": dir.folder(), "memory": memory} {
			restored, err := c.Restore(t.Context(), varve.Tables(to, some...), &varve.RestoreOptions{SkipMissing: varve.ForeignKeys, SkipLocalityCheck: true, Prove: true})
			require.NoError(t, err, "%s into %s", some, name)
			require.Equal(t, varve.ProofDigest, restored.Proof)
			if name == "dir" {
				require.NoError(t, dir.open())
				to = dir
			}
			for _, table := range tables {
				if has := subset>>indexOf(tables, table)&1 == 1; has {
					requireSameTable(t, engine, export.Timestamp{}, table, to, table)
				} else {
					require.Empty(t, rows(t, to, export.Timestamp{}, table))
				}
			}
		}
		require.NoError(t, open.close())
		require.NoError(t, dir.close())
	}

	// Beside the live one, to where it is declared to go.
	want := rows(t, engine, export.Timestamp{}, "bank.accounts")
	_, err = c.Restore(t.Context(), varve.Tables(engine, "bank.accounts"), &varve.RestoreOptions{Rename: []varve.Rename{{From: "bank.accounts", To: "bank.rescued"}}})
	require.NoError(t, err)
	require.Equal(t, want, rows(t, engine, export.Timestamp{}, "bank.rescued"))
	var taken *varve.NotEmptyError
	_, err = c.Restore(t.Context(), varve.Tables(engine, "bank.accounts"), nil)
	require.ErrorAs(t, err, &taken)
	_, err = c.Restore(t.Context(), varve.Tables(engine, "bank.accounts"), &varve.RestoreOptions{Rename: []varve.Rename{{From: "bank.accounts", To: "bank.elsewhere"}}})
	require.ErrorContains(t, err, "bank.elsewhere: it must be declared")
	_, err = c.Backup(t.Context(), varve.Databases(newPebbleEngine(t, &pebble.Options{}, pebblekv.Options{}), "bank"), nil)
	require.ErrorContains(t, err, "the store has no catalog: only Cluster and Spans are targets")
}

// TestRenamedFilesAreLinked as they are where objects keep their keys under another name;
// where they get others, entries are rewritten.
func TestRenamedFilesAreLinked(t *testing.T) {
	t.Parallel()
	open := func(objects []export.Object) *stumbling {
		return &stumbling{parish: declaredParish{newPebbleEngine(t, &pebble.Options{}, pebblekv.Options{Objects: objects})}}
	}
	from, c := open(declared()), collectionIn(t, faultblob.New(t, nil), nil)
	grow(t, from, "bank.accounts", "first", 0, 200)
	_, err := c.Backup(t.Context(), varve.Databases(from, "bank"), &varve.BackupOptions{TargetFileBytes: 1 << 10})
	require.NoError(t, err)
	objects := declared()
	objects[bankID-1].Name, objects[accountsID-1].Name = "bank_old", "accounts_old"
	for name, kept := range map[string]bool{"accounts_old": true, "rescued": false} {
		to := open(objects)
		_, err := c.Restore(t.Context(), varve.Tables(to, "bank.accounts"), &varve.RestoreOptions{
			Rename: []varve.Rename{{From: "bank.accounts", To: "bank_old." + name}}, Prove: true,
		})
		require.NoError(t, err)
		require.Equal(t, rows(t, from, export.Timestamp{}, "bank.accounts"), rows(t, to, export.Timestamp{}, "bank_old."+name))
		require.Equal(t, kept, to.loads == 0, "%s: %d loaders", name, to.loads)
		require.Equal(t, kept, to.tables > 1, "%s: %d tables", name, to.tables)
	}
}

func indexOf(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}

// TestWholeStoreOfOneRevision: without history and with a catalog that changes, objects come
// and go with their store, and what changes while a backup begins is noticed.
func TestWholeStoreOfOneRevision(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{SingleRevision: true})
	w.backup(varve.Cluster(w.store), varve.BackupOptions{})
	_, err := w.store.DropObjects(shopID)
	require.NoError(t, err)
	w.write(accountsID, 10, 30, "second")
	layer := w.backup(varve.Cluster(w.store), varve.BackupOptions{Into: varve.Latest})
	to := w.empty()
	w.restore(varve.Cluster(to), varve.RestoreOptions{})
	require.Equal(t, paths(t, w.store), paths(t, to))
	requireSameTable(t, w.store, export.Timestamp{}, "bank.accounts", to, "bank.accounts")
	older := w.empty()
	w.restore(varve.Cluster(older), varve.RestoreOptions{From: layer.ParentID})
	require.Contains(t, paths(t, older), "shop.orders")
}

// TestWholeVersionedStore: the rows of a catalog are data of the store; one that has nothing
// but system objects takes a whole store in their place.
func TestWholeVersionedStore(t *testing.T) {
	t.Parallel()
	from, to := versionedVillage{openVersioned(t)}, versionedVillage{openVersioned(t)}
	for _, v := range []versionedVillage{from, to} {
		v.create(t, nil, export.DatabaseObject, "system", 0)
		system := object(t, v, export.Timestamp{}, "system")
		v.create(t, system, export.SystemObject, "users", 0)
		for _, path := range []string{"system", "system.users"} {
			o := object(t, v, export.Timestamp{}, path)
			o.System = true
			v.change(t, o)
		}
		users := object(t, v, export.Timestamp{}, "system.users")
		v.set(t, append(users.Spans[0].Start, "root"...), []byte("password"))
	}
	from.create(t, nil, export.DatabaseObject, "bank", 0)
	from.create(t, object(t, from, export.Timestamp{}, "bank"), export.TableObject, "accounts", 0)
	accounts := object(t, from, export.Timestamp{}, "bank.accounts")
	from.set(t, append(accounts.Spans[0].Start, "1"...), []byte("100"))
	from.set(t, append(object(t, from, export.Timestamp{}, "system.users").Spans[0].Start, "eve"...), []byte("secret"))
	c := collectionIn(t, faultblob.New(t, nil), nil)
	_, err := c.Backup(t.Context(), varve.Cluster(from), nil)
	require.NoError(t, err)
	_, err = c.Restore(t.Context(), varve.Cluster(to), nil)
	require.NoError(t, err)
	require.Equal(t, objectsOf(t, from, export.Timestamp{}), objectsOf(t, to, export.Timestamp{}))
	for _, path := range []string{"bank.accounts", "system.users"} {
		requireSameTable(t, from, export.Timestamp{}, path, to, path)
	}
	_, err = c.Restore(t.Context(), varve.Cluster(to), nil)
	var full *varve.NotEmptyError
	require.ErrorAs(t, err, &full, "there is a bank by now")
}
