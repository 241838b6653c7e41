package varve_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

// frozenCatalogV1 is a chain of databases, with history, and a full of tables, as format 1
// stores them; beside it lies what they must restore, object by object.
const frozenCatalogV1 = "testdata/collections/v1-catalog"

func frozenCatalogURL(t *testing.T) string {
	t.Helper()
	return thawed(t, frozenCatalogV1)
}

// frozenObjects are what a store has, with its rows.
func frozenObjects(t *testing.T, s export.Store, at export.Timestamp, databases ...string) string {
	t.Helper()
	var lines []string
	objects := objectsOf(t, s, at)
	for _, o := range objects {
		path := pathIn(objects, o)
		if database, _, _ := strings.Cut(path, "."); !slices.Contains(databases, database) {
			continue
		}
		line := fmt.Sprintf("%s %s %q %q %q\n", o.Kind, path, o.Definition, o.Grants, o.Regions)
		for _, row := range rows(t, s, at, path) {
			line += "  " + row + "\n"
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// TestFreezeCatalog writes the collection, once.
func TestFreezeCatalog(t *testing.T) {
	if !*freeze {
		t.Skip("only with -freeze")
	}
	_, err := os.Stat(frozenCatalogV1)
	require.ErrorIs(t, err, fs.ErrNotExist, "it is frozen")
	clock := newClock()
	w := &town{TB: t}
	w.store = newStore(t, &memkv.Options{Now: clock.now, Lineage: fmt.Sprintf("%032x", 11), Regions: []string{"eu"}})
	_, err = w.store.PutObjects(townObjects()...)
	require.NoError(t, err)
	w.write(accountsID, 0, 12, "first")
	w.write(ordersID, 0, 12, "first")
	backup := func(targets varve.Targets, opts varve.BackupOptions) *varve.Layer {
		opts.Collection = &varve.CollectionOptions{Now: clock.now}
		l, err := varve.Backup(t.Context(), targets, frozenCatalogURL(t), &opts)
		require.NoError(t, err)
		return l
	}
	backup(w.databases("bank", "shop"), varve.BackupOptions{Name: "databases", Exclude: tableSpans(entriesID, 0)})
	renamed := townObjects()[accountsID-1]
	renamed.Name, renamed.Spans = "ledger", append(tableSpans(accountsID, 1), tableSpans(99, 0)...)
	moment, err := w.store.PutObjects(renamed)
	require.NoError(t, err)
	w.write(accountsID, 6, 18, "second")
	_, err = w.store.DropObjects(ordersID)
	require.NoError(t, err)
	w.write(entriesID, 0, 3, "late")
	second := backup(w.databases("bank", "shop"), varve.BackupOptions{Into: "databases", RevisionHistory: true})
	tables := backup(w.tables("bank.rich"), varve.BackupOptions{Name: "tables", AllowMissing: true})
	text := fmt.Sprintf("as of %s\n%sas of %s\n%sas of %s\n%s",
		moment, frozenObjects(t, w.store, moment, "bank", "shop"),
		second.End, frozenObjects(t, w.store, second.End, "bank", "shop"),
		tables.End, "")
	require.NoError(t, os.WriteFile(frozenCatalogV1+".txt", []byte(text), 0o644))
	require.NoError(t, os.Remove(filepath.Join(frozenCatalogV1, ".varve-tmp")))
}

// TestFrozenCatalog restores what format 1 has stored, moment by moment.
func TestFrozenCatalog(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile(frozenCatalogV1 + ".txt")
	require.NoError(t, err)
	var got strings.Builder
	for _, part := range strings.Split(string(want), "as of ")[1:] {
		head, body, _ := strings.Cut(part, "\n")
		at, err := export.ParseTimestamp(head)
		require.NoError(t, err)
		to := newStore(t, &memkv.Options{Regions: []string{"eu"}})
		fmt.Fprintf(&got, "as of %s\n", head)
		if body == "" { // the layer of a view alone
			_, err := to.PutObjects(townObjects()[:2]...)
			require.NoError(t, err)
			restored, err := varve.Restore(t.Context(), varve.Tables(to, "bank.rich"), frozenCatalogURL(t), &varve.RestoreOptions{From: "tables", SkipMissing: varve.Views})
			require.ErrorContains(t, err, "nothing is left of it")
			require.Nil(t, restored)
			c, err := varve.OpenCollection(t.Context(), frozenCatalogURL(t), nil)
			require.NoError(t, err)
			l, err := c.Layer(t.Context(), "tables")
			require.NoError(t, err)
			require.Empty(t, l.Manifest.Spans)
			require.Equal(t, []varve.Missing{{Object: "bank.rich", Needs: "bank.ledger", Kind: export.ViewDependency}}, l.Manifest.Missing)
			require.NoError(t, c.Close())
			continue
		}
		restored, err := varve.Restore(t.Context(), varve.Databases(to, "bank", "shop"), frozenCatalogURL(t), &varve.RestoreOptions{AsOf: at})
		require.NoError(t, err)
		require.NotEmpty(t, restored.Objects)
		got.WriteString(frozenObjects(t, to, export.Timestamp{}, "bank", "shop"))
	}
	require.Equal(t, string(want), got.String())
}
