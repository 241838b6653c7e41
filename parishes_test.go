package varve_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/faultblob"
)

// diocese is a parish of each engine, a backup of all of it in two layers, and what is
// restored from that.
type diocese struct {
	testing.TB
	newParish parishOf
	parish    parish
	c         *varve.Collection
	was       map[string][]string // rows by path, when it was backed up
	full      string              // layer ID
}

func newDiocese(t *testing.T, newParish parishOf) *diocese {
	d := &diocese{TB: t, newParish: newParish, parish: newParish(t, "eu", townPaths()...), c: collectionIn(t, faultblob.New(t, nil), nil), was: map[string][]string{}}
	tables := []string{"bank.accounts", "bank.entries", "shop.orders", "system.users"}
	for i, value := range []string{"first", "second"} {
		for _, path := range tables {
			grow(t, d.parish, path, value, 5*i, 8+4*i)
		}
		layer, err := d.c.Backup(t.Context(), varve.Cluster(d.parish), &varve.BackupOptions{Into: []string{"", varve.Latest}[i], TargetFileBytes: 1 << 10})
		require.NoError(t, err)
		d.full = layer.ChainID
	}
	for _, path := range tables {
		d.was[path] = rows(t, d.parish, export.Timestamp{}, path)
	}
	return d
}

func (d *diocese) restore(targets varve.Targets, opts varve.RestoreOptions) *varve.Restored {
	d.Helper()
	restored, err := d.c.Restore(d.Context(), targets, &opts)
	require.NoError(d, err)
	return restored
}

// refuses wants an error, and nothing changed.
func (d *diocese) refuses(p parish, targets varve.Targets, opts varve.RestoreOptions, as any) {
	d.Helper()
	before := allOf(d, p)
	_, err := d.c.Restore(d.Context(), targets, &opts)
	require.ErrorAs(d, err, as)
	require.Equal(d, before, allOf(d, p))
}

// TestParishes: what is restored of databases, tables and system objects is the same whatever
// engine it is: in memory, with history, or a plain Pebble database.
func TestParishes(t *testing.T) {
	t.Parallel()
	for name, engine := range parishes() {
		for what, check := range map[string]func(d *diocese){
			"whole": whole, "users alone": usersAlone, "another database": anotherDatabase, "replaced": replaced,
			"regions": regions, "schema only": schemaOnly, "verify only": verifyOnly, "part of a table": partOfTable,
			"counts": counts, "excluded": excluded,
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				check(newDiocese(t, engine))
			})
		}
	}
}

// whole: a store that has nothing but system objects, and settings that were not saved,
// becomes the one that was backed up.
func whole(d *diocese) {
	to := d.newParish(d, "eu", "system", "system.users")
	grow(d, to, "system.users", "root", 7, 30)
	d.restore(varve.Cluster(to), varve.RestoreOptions{})
	require.Equal(d, allOf(d, d.parish), allOf(d, to))
	require.Equal(d, objectsOf(d, d.parish, export.Timestamp{}), objectsOf(d, to, export.Timestamp{}))

	var full *varve.NotEmptyError
	d.refuses(to, varve.Cluster(to), varve.RestoreOptions{}, &full)
	other := d.newParish(d, "eu", "system", "system.users", "bank", "bank.entries")
	grow(d, other, "bank.entries", "somebody's", 0, 1)
	d.refuses(other, varve.Cluster(other), varve.RestoreOptions{}, &full)
}

// usersAlone: of a whole backup the users come back and nothing else.
func usersAlone(d *diocese) {
	to := d.newParish(d, "eu", "system", "system.users", "bank", "bank.entries")
	grow(d, to, "system.users", "root", 7, 30)
	grow(d, to, "bank.entries", "somebody's", 0, 3)
	var full *varve.NotEmptyError
	d.refuses(to, varve.Tables(to, "system.users"), varve.RestoreOptions{}, &full)
	before := apart(allOf(d, to), "system.users")
	restored := d.restore(varve.Tables(to, "system.users"), varve.RestoreOptions{Replace: true})
	require.Equal(d, d.was["system.users"], rows(d, to, export.Timestamp{}, "system.users"))
	require.Equal(d, before, apart(allOf(d, to), "system.users"))
	require.Len(d, restored.Objects, 1)
	require.True(d, object(d, to, export.Timestamp{}, "system.users").System)
}

// anotherDatabase: a table comes back beside the live one, in a database that is there.
func anotherDatabase(d *diocese) {
	grow(d, d.parish, "bank.accounts", "spoiled", 2, 5)
	before := apart(allOf(d, d.parish), "shop.accounts")
	restored := d.restore(varve.Tables(d.parish, "bank.accounts"), varve.RestoreOptions{Rename: []varve.Rename{{From: "bank.accounts", To: "shop.accounts"}}})
	require.Equal(d, []varve.Rename{{From: "bank.accounts", To: "shop.accounts"}}, restored.Names)
	require.Equal(d, varve.ProofHashes, restored.Proof, "of a whole store tables share the rows of the digest")
	require.Equal(d, d.was["bank.accounts"], rows(d, d.parish, export.Timestamp{}, "shop.accounts"))
	require.Equal(d, before, apart(allOf(d, d.parish), "shop.accounts"))
	var full *varve.NotEmptyError
	d.refuses(d.parish, varve.Tables(d.parish, "bank.accounts"), varve.RestoreOptions{Rename: []varve.Rename{{From: "bank.accounts", To: "shop.accounts"}}}, &full)
	var target *varve.TargetError
	d.refuses(d.parish, varve.Tables(d.parish, "bank.accounts"), varve.RestoreOptions{Rename: []varve.Rename{{From: "bank.accounts", To: "nowhere.accounts"}}}, &target)
}

// replaced: a table with an index takes the place of the live one, and nothing else changes.
func replaced(d *diocese) {
	grow(d, d.parish, "bank.accounts", "spoiled", 3, 40)
	grow(d, d.parish, "bank.entries", "newer", 3, 40)
	var full *varve.NotEmptyError
	d.refuses(d.parish, varve.Tables(d.parish, "bank.accounts"), varve.RestoreOptions{}, &full)
	before := apart(allOf(d, d.parish), "bank.accounts")
	d.restore(varve.Tables(d.parish, "bank.accounts"), varve.RestoreOptions{Replace: true})
	require.Equal(d, d.was["bank.accounts"], rows(d, d.parish, export.Timestamp{}, "bank.accounts"))
	require.Equal(d, before, apart(allOf(d, d.parish), "bank.accounts"))

	d.restore(varve.Databases(d.parish, "bank", "shop"), varve.RestoreOptions{Replace: true})
	for path, was := range d.was {
		require.Equal(d, was, rows(d, d.parish, export.Timestamp{}, path))
	}
}

// regions that the destination does not have.
func regions(d *diocese) {
	to := d.newParish(d, "us", "shop")
	var target *varve.TargetError
	d.refuses(to, varve.Tables(to, "shop.orders"), varve.RestoreOptions{}, &target)
	require.Equal(d, "shop.orders", target.Name)
	require.Contains(d, target.Reason, `needs the region "eu"`)
	d.refuses(to, varve.Cluster(to), varve.RestoreOptions{}, &target)
	d.restore(varve.Tables(to, "shop.orders"), varve.RestoreOptions{SkipLocalityCheck: true})
	require.Equal(d, d.was["shop.orders"], rows(d, to, export.Timestamp{}, "shop.orders"))
}

// schemaOnly: objects without a row.
func schemaOnly(d *diocese) {
	to := d.newParish(d, "eu")
	d.restore(varve.Databases(to, "bank"), varve.RestoreOptions{SchemaOnly: true})
	require.Subset(d, paths(d, to), []string{"bank", "bank.accounts", "bank.entries", "bank.rich"})
	require.Equal(d, paths(d, to), allOf(d, to), "no object has a row")
}

// verifyOnly reads all and keeps nothing.
func verifyOnly(d *diocese) {
	to := d.newParish(d, "eu")
	before := contentOf(d, to)
	restored := d.restore(varve.Databases(to, "bank"), varve.RestoreOptions{VerifyOnly: true})
	require.EqualValues(d, len(d.was["bank.accounts"])+len(d.was["bank.entries"]), restored.Stats.Keys)
	require.Equal(d, before, contentOf(d, to))
	require.Equal(d, paths(d, to), allOf(d, to), "no object has a row")
}

// partOfTable: a span within a table, to where it was.
func partOfTable(d *diocese) {
	start := string(object(d, d.parish, export.Timestamp{}, "bank.accounts").Spans[0].Start)
	to := d.newParish(d, "eu")
	d.restore(varve.Spans(to, varve.Span{Start: []byte(start + "003"), End: []byte(start + "006")}), varve.RestoreOptions{})
	require.Equal(d, []string{start + "003=first 0", start + "004=first 0", start + "005=second 0"}, contentOf(d, to))
	var full *varve.NotEmptyError
	d.refuses(to, varve.Spans(to, varve.Span{Start: []byte(start + "005"), End: []byte(start + "009")}), varve.RestoreOptions{}, &full)
}

// counts of each object, rows and index entries apart: of the full all, of the incremental
// what was written.
func counts(d *diocese) {
	for from, want := range map[string]int64{"": 7, varve.Latest: 7, d.full: 8} {
		infos, err := d.c.Objects(d.Context(), from)
		require.NoError(d, err)
		indexes := map[string]int64{"accounts": 1, "entries": 0, "orders": 2, "users": 0}
		for _, i := range infos {
			n, isTable := indexes[i.Name]
			if !isTable || i.LogicalBytes == 0 {
				require.Zero(d, i.ObjectCounts, i.Name)
				continue
			}
			require.Equal(d, []int64{want, n * want, 0}, []int64{i.Rows, i.IndexEntries, i.Deletions}, "%s from %q", i.Name, from)
			delete(indexes, i.Name)
		}
		require.Empty(d, indexes)
	}
}

// excluded: the object comes back without its rows, and the restore says so.
func excluded(d *diocese) {
	hole := object(d, d.parish, export.Timestamp{}, "bank.entries").Spans
	_, err := d.c.Backup(d.Context(), varve.Databases(d.parish, "bank"), &varve.BackupOptions{Exclude: hole})
	require.NoError(d, err)
	to := d.newParish(d, "eu")
	restored := d.restore(varve.Databases(to, "bank"), varve.RestoreOptions{From: varve.Latest})
	require.Equal(d, []string{"span " + hole[0].String() + ", which was excluded from the backup"}, restored.Skipped)
	require.Equal(d, d.was["bank.accounts"], rows(d, to, export.Timestamp{}, "bank.accounts"))
	require.Empty(d, rows(d, to, export.Timestamp{}, "bank.entries"))
}

// contentOf is all that a parish holds, whatever it is called.
func contentOf(t testing.TB, p parish) (out []string) {
	t.Helper()
	for _, e := range contentIn(t, p) {
		out = append(out, strings.Join([]string{string(e.Key), string(e.Value)}, "="))
	}
	return out
}
