package varve_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/memkv"
)

// TestDatabaseFollowsItsTables: what is created, dropped, renamed and made anew between
// layers is in each layer what it was at its end, and nothing from before comes back.
func TestDatabaseFollowsItsTables(t *testing.T) {
	t.Parallel()
	for _, history := range []bool{false, true} {
		w := newTown(t, memkv.Options{})
		opts := varve.BackupOptions{Into: varve.Latest, RevisionHistory: history}
		full := w.backup(w.databases("bank"), varve.BackupOptions{RevisionHistory: history})

		// A table of the same name is another table.
		_, err := w.store.DropObjects(accountsID)
		require.NoError(t, err)
		anew := export.Object{ID: 20, Parent: bankID, Kind: export.TableObject, Name: "accounts", Spans: tableSpans(20, 1)}
		view := townObjects()[3]
		view.Needs = nil
		entries := townObjects()[2]
		entries.Needs = nil
		_, err = w.store.PutObjects(anew, view, entries)
		require.NoError(t, err)
		w.write(20, 0, 5, "anew")
		w.write(entriesID, 10, 30, "second")
		second := w.backup(w.databases("bank"), opts)
		require.Equal(t, tableSpans(20, 1), second.Manifest.Introduced)

		_, err = w.store.DropObjects(entriesID)
		require.NoError(t, err)
		late := export.Object{ID: 21, Parent: bankID, Kind: export.TableObject, Name: "late", Spans: tableSpans(21, 0)}
		_, err = w.store.PutObjects(late)
		require.NoError(t, err)
		w.write(21, 0, 3, "late")
		third := w.backup(w.databases("bank"), opts)

		for _, l := range []*varve.Layer{full, second, third} {
			to := w.empty()
			restored := w.restore(varve.Databases(to, "bank"), varve.RestoreOptions{From: l.ID})
			want := paths(t, to)
			for _, name := range want[1:] {
				requireSameTable(t, w.store, l.End, name, to, name)
			}
			require.Len(t, restored.Objects, len(want))
			require.Equal(t, "all", string(object(t, to, export.Timestamp{}, "bank").Grants))
		}
		last := w.empty()
		w.restore(varve.Databases(last, "bank"), varve.RestoreOptions{})
		require.Equal(t, []string{"bank", "bank.accounts", "bank.late", "bank.rich"}, paths(t, last))

		_, err = w.collection().Restore(t.Context(), varve.Tables(w.empty(), "bank.entries"), nil)
		require.ErrorContains(t, err, "target bank.entries: there is no such table")
		_, err = w.collection().Backup(t.Context(), w.tables("bank.entries"), &opts)
		require.ErrorContains(t, err, "target bank.entries: there is no such table")
	}
}

// TestDroppedTableIsNotFoundElsewhere: the newest backup of its database tells that a table
// is gone. An older chain, which still has it, must be asked for by name.
func TestDroppedTableIsNotFoundElsewhere(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{})
	old := w.backup(w.databases("shop"), varve.BackupOptions{})
	_, err := w.store.DropObjects(ordersID)
	require.NoError(t, err)
	w.backup(w.databases("shop"), varve.BackupOptions{})
	to := w.empty()
	_, err = to.PutObjects(townObjects()[shopID-1])
	require.NoError(t, err)
	_, err = w.collection().Restore(t.Context(), varve.Tables(to, "shop.orders"), nil)
	require.ErrorContains(t, err, "there is no such table")
	w.restore(varve.Tables(to, "shop.orders"), varve.RestoreOptions{From: old.ID})
	requireSameTable(t, w.store, old.End, "shop.orders", to, "shop.orders")

	other := w.backup(w.tables("bank.accounts"), varve.BackupOptions{})
	require.NotEqual(t, old.ID, other.ID)
	_, err = w.collection().Restore(t.Context(), varve.Databases(w.empty(), "shop"), nil)
	require.NoError(t, err, "a newer layer of other targets is passed over")
}

// TestTableBesideTheLiveOne: a table comes back under another name, in its own database or
// in another, with other keys and the same rows; the live one is as it was.
func TestTableBesideTheLiveOne(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{})
	layer := w.backup(w.databases("bank", "shop"), varve.BackupOptions{})
	w.write(accountsID, 5, 10, "spoiled")
	for from, to := range map[string]string{"bank.accounts": "bank.rescued", "shop.orders": "bank.orders"} {
		restored := w.restore(w.tables(from), varve.RestoreOptions{Rename: []varve.Rename{{From: from, To: to}}})
		require.Equal(t, []varve.Rename{{From: from, To: to}}, restored.Names)
		require.Equal(t, varve.ProofDigest, restored.Proof)
		requireSameTable(t, w.store, layer.End, from, w.store, to)
	}
	require.Contains(t, rows(t, w.store, export.Timestamp{}, "bank.accounts"), "0 0007 = spoiled row 7 of 2")

	w.restore(w.databases("bank"), varve.RestoreOptions{Rename: []varve.Rename{{From: "bank", To: "bank_old"}, {From: "bank.rich", To: "bank_old.wealthy"}}})
	for _, name := range []string{"accounts", "entries"} {
		requireSameTable(t, w.store, layer.End, "bank."+name, w.store, "bank_old."+name)
	}
	old := object(t, w.store, export.Timestamp{}, "bank_old.accounts")
	require.Equal(t, old.ID, object(t, w.store, export.Timestamp{}, "bank_old.entries").Needs[0].On)
	require.Equal(t, old.ID, object(t, w.store, export.Timestamp{}, "bank_old.wealthy").Needs[0].On)
}

// TestWhatARestoreRefuses, before anything is written.
func TestWhatARestoreRefuses(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{})
	denied := errors.New("not for you")
	w.backup(varve.Cluster(w.store), varve.BackupOptions{})
	before, objects := stateOf(w.store), objectsOf(t, w.store, export.Timestamp{})
	var target *varve.TargetError
	var option *varve.OptionError
	var needs *varve.DependencyError
	var full *varve.NotEmptyError
	elsewhere := newStore(t, &memkv.Options{Regions: []string{"us"}})
	undeclared := newStore(t, &memkv.Options{SingleRevision: true, Objects: townObjects()[:1]})
	for _, tc := range []struct {
		targets varve.Targets
		opts    varve.RestoreOptions
		as      any
		want    string
	}{
		{targets: w.tables("bank.acounts"), as: &target, want: "target bank.acounts: there is no such table; near are bank.accounts"},
		{targets: w.databases(), as: &target, want: "no name given"},
		{targets: w.tables("bank..accounts"), as: &target, want: "has an empty part"},
		{targets: w.tables("bank.accounts", "bank.accounts"), as: &target, want: "is named twice"},
		{targets: w.tables("bank.accounts"), as: &full, want: "bank.accounts"},
		{targets: w.databases("bank"), as: &full, want: "bank"},
		{targets: w.tables("bank.entries"), opts: varve.RestoreOptions{Rename: []varve.Rename{{From: "bank.entries", To: "bank.x"}}}, as: &needs, want: "bank.entries needs bank.accounts"},
		{targets: w.tables("bank.rich"), opts: varve.RestoreOptions{SkipMissing: varve.Views}, as: &target, want: "nothing is left"},
		{targets: w.tables("bank.accounts"), opts: varve.RestoreOptions{Rename: []varve.Rename{{From: "bank.accounts", To: "rescue.accounts"}}}, as: &target, want: "target rescue: there is no such database or schema"},
		{targets: w.tables("bank.accounts"), opts: varve.RestoreOptions{Rename: []varve.Rename{{From: "shop.orders", To: "shop.x"}}}, as: &target, want: "is renamed and not restored"},
		{targets: w.tables("bank.accounts"), opts: varve.RestoreOptions{Rename: []varve.Rename{{From: "bank.accounts", To: "x"}}}, as: &option, want: "option Rename"},
		{targets: w.tables("bank.accounts", "shop.orders"), opts: varve.RestoreOptions{Rename: []varve.Rename{{From: "shop.orders", To: "bank.accounts"}}}, as: &option, want: "would both be bank.accounts"},
		{targets: varve.Cluster(w.empty()), opts: varve.RestoreOptions{Rename: []varve.Rename{{From: "bank", To: "x"}}}, as: &option, want: "option Rename"},
		{targets: varve.Cluster(w.store), as: &full, want: "not empty"},
		{targets: varve.Databases(elsewhere, "shop"), as: &target, want: `target shop.orders: needs the region "eu"`},
		{targets: varve.Cluster(elsewhere), as: &target, want: `needs the region "eu"`},
		{targets: varve.Tables(w.empty(), "bank.accounts"), as: &target, want: "target bank: there is no such database or schema"},
		{targets: varve.Databases(undeclared, "bank"), want: "bank.accounts: it must be declared"},
		{targets: varve.Databases(w.empty(), "bank"), opts: varve.RestoreOptions{Authorize: func(_ context.Context, p varve.Privilege, o export.Object) error {
			if p == varve.PrivilegeRestore && o.Name == "rich" {
				return denied
			}
			return nil
		}}, as: &denied, want: "authorize restore of bank.rich: not for you"},
		{targets: varve.Spans(w.empty(), tableSpans(accountsID, 0)...), opts: varve.RestoreOptions{Rewrite: []varve.Rewrite{{From: []byte("002/0/1"), To: []byte("x")}}}, as: &option, want: "option Rewrite"},
		{targets: varve.Spans(w.empty(), tableSpans(accountsID, 1)...), opts: varve.RestoreOptions{Rewrite: []varve.Rewrite{{From: []byte("002/0/"), To: []byte("002/1/")}}}, as: &option, want: "would overlap"},
	} {
		tc.opts.Events = &varve.Events{Progress: func(i varve.ProgressInfo) { require.NotEqual(t, varve.PhaseLoad, i.Phase, tc.want) }}
		_, err := w.collection().Restore(t.Context(), tc.targets, &tc.opts)
		require.ErrorContains(t, err, tc.want)
		if tc.as != nil {
			require.ErrorAs(t, err, tc.as, tc.want)
		}
		require.Equal(t, before, stateOf(w.store))
		require.Equal(t, objects, objectsOf(t, w.store, export.Timestamp{}))
	}
	require.Empty(t, stateOf(elsewhere))
	w.restore(varve.Cluster(elsewhere), varve.RestoreOptions{SkipLocalityCheck: true})
}

// TestCountsOfObjects: what a layer has of each object, rows and indexes apart.
func TestCountsOfObjects(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{})
	full := w.backup(varve.Cluster(w.store), varve.BackupOptions{})
	w.write(accountsID, 18, 23, "second")
	w.remove(ordersID, 3, 5)
	layer := w.backup(varve.Cluster(w.store), varve.BackupOptions{Into: varve.Latest})
	require.Equal(t, []int64{80, 40}, []int64{full.Stats.Rows, full.Stats.IndexEntries})
	require.Equal(t, []int64{5, 5}, []int64{layer.Stats.Rows, layer.Stats.IndexEntries})

	type line struct {
		path, kind, database     string
		rows, indexes, deletions int64
		full, cluster            bool
		regions                  []string
	}
	list := func(l *varve.Layer) []line {
		infos, err := w.collection().Objects(t.Context(), l.ID)
		require.NoError(t, err)
		var objects []export.Object
		for _, i := range infos {
			objects = append(objects, i.Object)
		}
		var out []line
		for _, i := range infos {
			require.Equal(t, l.LayerInfo, i.Layer)
			out = append(out, line{pathIn(objects, i.Object), i.Kind, i.Database, i.Rows, i.IndexEntries, i.Deletions, i.Layer.Full(), i.Cluster, i.Regions})
			require.Equal(t, i.Rows+i.IndexEntries+i.Deletions > 0, i.LogicalBytes > 0)
		}
		return out
	}
	require.ElementsMatch(t, []line{
		{"bank", "database", "bank", 0, 0, 0, true, true, nil},
		{"bank.accounts", "table", "bank", 20, 20, 0, true, true, nil},
		{"bank.entries", "table", "bank", 20, 0, 0, true, true, nil},
		{"bank.rich", "view", "bank", 0, 0, 0, true, true, nil},
		{"shop", "database", "shop", 0, 0, 0, true, true, nil},
		{"shop.orders", "table", "shop", 20, 20, 0, true, true, []string{"eu"}},
		{"system", "database", "system", 0, 0, 0, true, true, nil},
		{"system.users", "system", "system", 20, 0, 0, true, true, nil},
	}, list(full))
	require.Contains(t, list(layer), line{"bank.accounts", "table", "bank", 5, 5, 0, false, true, nil})
	require.Contains(t, list(layer), line{"shop.orders", "table", "shop", 0, 0, 2, false, true, []string{"eu"}})
	require.Contains(t, list(layer), line{"bank.entries", "table", "bank", 0, 0, 0, false, true, nil})
}

// TestWholeStore: system objects come with a cluster, take the place of those of a store
// that has nothing else, and can come back alone.
func TestWholeStore(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{})
	layer := w.backup(varve.Cluster(w.store), varve.BackupOptions{})

	_, err := w.collection().Verify(t.Context(), layer.ID, &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: newStore(t, nil)})
	require.NoError(t, err, "the scratch store has no regions")
	fresh := w.empty()
	defaults := townObjects()[systemID-1:]
	settings := export.Object{ID: 30, Parent: systemID, Kind: export.SystemObject, Name: "settings", Spans: tableSpans(30, 0), System: true}
	_, err = fresh.PutObjects(append(defaults, settings)...)
	require.NoError(t, err)
	fresh.Set([]byte("030/0/color"), []byte("blue"))
	fresh.Set([]byte("008/0/0001"), []byte("root"))
	w.restore(varve.Cluster(fresh), varve.RestoreOptions{})
	require.Equal(t, stateOf(w.store), stateOf(fresh))
	require.Equal(t, objectsOf(t, w.store, export.Timestamp{}), objectsOf(t, fresh, export.Timestamp{}), "settings that were not saved are the defaults")

	other := w.empty()
	_, err = other.PutObjects(defaults...)
	require.NoError(t, err)
	other.Set([]byte("zzz"), []byte("somebody's"))
	_, err = w.collection().Restore(t.Context(), varve.Cluster(other), nil)
	var full *varve.NotEmptyError
	require.ErrorAs(t, err, &full)

	other.Set([]byte("008/0/0001"), []byte("root"))
	_, err = w.collection().Restore(t.Context(), varve.Tables(other, "system.users"), nil)
	require.ErrorAs(t, err, &full)
	w.restore(varve.Tables(other, "system.users"), varve.RestoreOptions{Replace: true})
	requireSameTable(t, w.store, layer.End, "system.users", other, "system.users")
	require.Len(t, stateOf(other, varve.Span{Start: []byte("zzz")}), 1)
}

// TestPartOfATable comes back by spans, of any layer, under the same keys or others.
func TestPartOfATable(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{})
	w.backup(w.databases("bank"), varve.BackupOptions{})
	part := varve.Span{Start: []byte("002/0/0005"), End: []byte("002/0/0007")}
	same, moved := w.empty(), w.empty()
	w.restore(varve.Spans(same, part), varve.RestoreOptions{})
	require.Equal(t, stateOf(w.store, part), stateOf(same))
	restored := w.restore(varve.Spans(moved, part, export.PrefixSpan([]byte("002/1/"))), varve.RestoreOptions{
		Rewrite: []varve.Rewrite{{From: []byte("002/0/"), To: []byte("rescue-")}},
	})
	require.Equal(t, "first row 5 of 2", string(stateOf(moved, export.PrefixSpan([]byte("rescue-")))[0].Value))
	require.Equal(t, stateOf(w.store, export.PrefixSpan([]byte("002/1/"))), stateOf(moved, export.PrefixSpan([]byte("002/1/"))))
	require.Equal(t, []varve.Span{export.PrefixSpan([]byte("002/1/")), {Start: []byte("rescue-0005"), End: []byte("rescue-0007")}}, restored.Spans)
}

// TestSchemaOnlyAndVerifyOnly: objects without data, and data that goes nowhere.
func TestSchemaOnlyAndVerifyOnly(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{})
	w.backup(w.databases("bank"), varve.BackupOptions{})
	to := w.empty()
	w.restore(varve.Databases(to, "bank"), varve.RestoreOptions{SchemaOnly: true})
	require.Equal(t, []string{"bank", "bank.accounts", "bank.entries", "bank.rich"}, paths(t, to))
	require.Empty(t, stateOf(to))

	before := objectsOf(t, to, export.Timestamp{})
	restored := w.restore(varve.Databases(to, "bank"), varve.RestoreOptions{VerifyOnly: true})
	require.Equal(t, varve.ProofDigest, restored.Proof)
	require.EqualValues(t, 60, restored.Stats.Keys)
	require.Empty(t, stateOf(to))
	require.Equal(t, before, objectsOf(t, to, export.Timestamp{}))
	for _, key := range w.bucket.Keys() {
		if len(key) > 4 && key[len(key)-4:] == ".sst" && key[len(key)-9:] != "files.sst" {
			w.bucket.Flip(key, 300)
			break
		}
	}
	var corrupt *varve.CorruptError
	_, err := w.collection().Restore(t.Context(), varve.Databases(to, "bank"), &varve.RestoreOptions{VerifyOnly: true})
	require.ErrorAs(t, err, &corrupt)
}

// TestDependencies must come along, unless somebody says that they need not.
func TestDependencies(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{})
	var needs *varve.DependencyError
	_, err := w.collection().Backup(t.Context(), w.tables("bank.entries", "bank.rich"), nil)
	require.ErrorAs(t, err, &needs)
	require.Equal(t, &varve.DependencyError{Object: "bank.entries", Needs: "bank.accounts", Kind: export.ForeignKeyDependency}, needs)
	require.Empty(t, w.bucket.Keys(), "nothing was written")

	layer := w.backup(w.tables("bank.entries", "bank.rich"), varve.BackupOptions{AllowMissing: true})
	require.Equal(t, []varve.Missing{
		{Object: "bank.entries", Needs: "bank.accounts", Kind: export.ForeignKeyDependency},
		{Object: "bank.rich", Needs: "bank.accounts", Kind: export.ViewDependency},
	}, layer.Manifest.Missing)
	to := w.empty()
	_, err = to.PutObjects(townObjects()[0])
	require.NoError(t, err)
	_, err = w.collection().Restore(t.Context(), varve.Tables(to, "bank.*"), &varve.RestoreOptions{SkipMissing: varve.Views})
	require.ErrorAs(t, err, &needs)
	restored := w.restore(varve.Tables(to, "bank.*"), varve.RestoreOptions{SkipMissing: varve.Views | varve.ForeignKeys})
	require.Equal(t, []string{"bank", "bank.entries"}, paths(t, to))
	require.Empty(t, object(t, to, export.Timestamp{}, "bank.entries").Needs)
	require.ElementsMatch(t, []string{"foreign key of bank.entries on bank.accounts", "view bank.rich, which needs bank.accounts"}, restored.Skipped)
	requireSameTable(t, w.store, layer.End, "bank.entries", to, "bank.entries")
	_, err = w.collection().Restore(t.Context(), varve.Databases(to, "bank"), nil)
	require.ErrorContains(t, err, `the backup holds only Tables["bank.entries" "bank.rich"]`)
}

// TestExclude: the data of an object is left out and the object is not; what is left out no
// more comes from the beginning.
func TestExclude(t *testing.T) {
	t.Parallel()
	for _, cluster := range []bool{false, true} {
		w := newTown(t, memkv.Options{})
		targets := func(s export.Store) varve.Targets {
			if cluster {
				return varve.Cluster(s)
			}
			return varve.Databases(s, "bank", "shop")
		}
		hole := tableSpans(entriesID, 0)
		first := w.backup(targets(w.store), varve.BackupOptions{Exclude: hole})
		require.Equal(t, hole, first.Manifest.Excluded)
		to := w.empty()
		restored := w.restore(targets(to), varve.RestoreOptions{})
		require.Equal(t, []string{`span ["003/0/", "003/00"), which was excluded from the backup`}, restored.Skipped)
		require.Empty(t, rows(t, to, export.Timestamp{}, "bank.entries"))
		requireSameTable(t, w.store, first.End, "bank.accounts", to, "bank.accounts")
		_, err := w.collection().Restore(t.Context(), varve.Spans(w.empty(), hole...), nil)
		require.ErrorContains(t, err, "was excluded from the backup")

		w.write(entriesID, 15, 25, "second")
		second := w.backup(targets(w.store), varve.BackupOptions{Into: varve.Latest})
		require.Empty(t, second.Manifest.Excluded)
		require.Equal(t, hole, second.Manifest.Introduced)
		whole := w.empty()
		w.restore(targets(whole), varve.RestoreOptions{})
		requireSameTable(t, w.store, second.End, "bank.entries", whole, "bank.entries")

		third := w.backup(targets(w.store), varve.BackupOptions{Into: varve.Latest, Exclude: tableSpans(accountsID, 1)[1:]})
		again := w.empty()
		w.restore(targets(again), varve.RestoreOptions{})
		requireSameTable(t, w.store, third.End, "bank.entries", again, "bank.entries")
		require.Len(t, rows(t, again, export.Timestamp{}, "bank.accounts"), 20)
	}
	w := newTown(t, memkv.Options{})
	var option *varve.OptionError
	_, err := w.collection().Backup(t.Context(), varve.Cluster(w.store), &varve.BackupOptions{Exclude: []varve.Span{{}}})
	require.ErrorAs(t, err, &option)
	_, err = w.collection().Backup(t.Context(), varve.Cluster(w.store), &varve.BackupOptions{Exclude: []varve.Span{{Start: []byte("b"), End: []byte("a")}}})
	require.ErrorAs(t, err, &option)
	require.Equal(t, "Exclude", option.Field)
}

// TestAuthorizeBackup: each object is asked about once, before anything is written.
func TestAuthorizeBackup(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{})
	denied := errors.New("not for you")
	for _, tc := range []struct {
		targets varve.Targets
		want    []string
	}{
		{w.tables("bank.accounts", "shop.orders"), []string{"backup table accounts", "backup table orders"}},
		{w.databases("shop"), []string{"backup database shop", "backup table orders"}},
		{varve.Spans(w.store, tableSpans(usersID, 0)...), []string{`backup span ["008/0/", "008/00")`}},
		{varve.Cluster(w.store), []string{
			"admin cluster ", "backup database bank", "backup table accounts", "backup table entries", "backup view rich",
			"backup database shop", "backup table orders", "backup database system", "backup system users",
		}},
	} {
		var asked []string
		ask := func(_ context.Context, p varve.Privilege, o export.Object) error {
			asked = append(asked, p.String()+" "+o.Kind+" "+o.Name)
			if len(asked) == len(tc.want) {
				return denied
			}
			return nil
		}
		_, err := w.collection().Backup(t.Context(), tc.targets, &varve.BackupOptions{Authorize: ask})
		require.ErrorIs(t, err, denied)
		require.ElementsMatch(t, tc.want, asked)
		require.Empty(t, w.bucket.Keys())
	}
}

// TestObjectsWithoutData: a database that has none yet is backed up all the same.
func TestObjectsWithoutData(t *testing.T) {
	t.Parallel()
	w := newTown(t, memkv.Options{})
	_, err := w.store.PutObjects(export.Object{ID: 40, Kind: export.DatabaseObject, Name: "new"})
	require.NoError(t, err)
	first := w.backup(w.databases("new"), varve.BackupOptions{})
	require.Empty(t, first.Manifest.Spans)
	_, err = w.collection().Verify(t.Context(), first.ID, &varve.VerifyOptions{Level: varve.VerifyRehearsal, Scratch: newStore(t, nil)})
	require.NoError(t, err)
	to := w.empty()
	w.restore(varve.Databases(to, "new"), varve.RestoreOptions{})
	require.Equal(t, []string{"new"}, paths(t, to))
	_, err = w.store.PutObjects(export.Object{ID: 41, Parent: 40, Kind: export.TableObject, Name: "t", Spans: tableSpans(41, 0)})
	require.NoError(t, err)
	w.write(41, 0, 5, "first")
	second := w.backup(w.databases("new"), varve.BackupOptions{Into: varve.Latest})
	again := w.empty()
	w.restore(varve.Databases(again, "new"), varve.RestoreOptions{})
	requireSameTable(t, w.store, second.End, "new.t", again, "new.t")
}
