package varve

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

func prefixes(names ...string) []Span {
	var out []Span
	for _, n := range names {
		out = append(out, export.PrefixSpan([]byte(n)))
	}
	return out
}

// namedObjects has two databases, one of them with schemas in which a name comes twice.
func namedObjects() []export.Object {
	return []export.Object{
		{ID: 7, Parent: 5, Kind: export.TableObject, Name: "accounts", Spans: prefixes("7/")},
		{ID: 1, Kind: export.DatabaseObject, Name: "bank"},
		{ID: 2, Parent: 1, Kind: export.TableObject, Name: "accounts", Spans: prefixes("2/1", "2/2")},
		{ID: 3, Parent: 1, Kind: export.ViewObject, Name: "rich", Needs: []export.Dependency{{Kind: export.ViewDependency, On: 2}}},
		{ID: 4, Kind: export.DatabaseObject, Name: "shop"},
		{ID: 5, Parent: 4, Kind: export.SchemaObject, Name: "east"},
		{ID: 6, Parent: 4, Kind: export.SchemaObject, Name: "west"},
		{ID: 8, Parent: 6, Kind: export.TableObject, Name: "accounts", Spans: prefixes("8/")},
		{ID: 9, Parent: 6, Kind: export.TableObject, Name: "orders", Spans: prefixes("9/"), Needs: []export.Dependency{{Kind: export.ForeignKeyDependency, On: 2}}},
		{ID: 10, Kind: export.DatabaseObject, Name: "system", System: true},
		{ID: 11, Parent: 10, Kind: export.SystemObject, Name: "users", System: true, Spans: prefixes("s/")},
		{ID: 12, Parent: 1, Kind: export.SystemObject, Name: "grants", System: true},
	}
}

// TestNamesOfTargets: what names mean, and what is said of one that means nothing or
// several things.
func TestNamesOfTargets(t *testing.T) {
	t.Parallel()
	c, err := newCatalog(nil, namedObjects())
	require.NoError(t, err)
	for _, tc := range []struct {
		kind  targetKind
		names []string
		want  []uint64
		err   string
	}{
		{kind: databasesTarget, names: []string{"bank"}, want: []uint64{1, 2, 3}},
		{kind: databasesTarget, names: []string{"shop", "bank"}, want: []uint64{1, 2, 3, 4, 5, 7, 6, 8, 9}},
		{kind: databasesTarget, names: []string{"system"}, want: []uint64{10, 11}},
		{kind: databasesTarget, names: []string{"Bank"}, err: `target Bank: there is no such database; near are bank`},
		{kind: databasesTarget, names: []string{"warehouse"}, err: `target warehouse: there is no such database`},
		{kind: databasesTarget, names: []string{"shop.east"}, err: `target shop.east: is a schema and no database`},
		{kind: tablesTarget, names: []string{"bank.accounts"}, want: []uint64{2}},
		{kind: tablesTarget, names: []string{"bank.rich", "shop.orders"}, want: []uint64{3, 9}},
		{kind: tablesTarget, names: []string{"bank.grants"}, want: []uint64{12}},
		{kind: tablesTarget, names: []string{"bank.*"}, want: []uint64{2, 3}},
		{kind: tablesTarget, names: []string{"shop.*"}, want: []uint64{7, 8, 9}},
		{kind: tablesTarget, names: []string{"shop.west.*", "shop.west.orders"}, want: []uint64{8, 9}},
		{kind: tablesTarget, names: []string{"bank"}, err: `target bank: is a database and no table`},
		{kind: tablesTarget, names: []string{"shop.accounts"}, err: `target shop.accounts: is ambiguous: there are shop.east.accounts, shop.west.accounts`},
		{kind: tablesTarget, names: []string{"bank.orders"}, err: `target bank.orders: there is no such table; near are shop.west.orders`},
		{kind: tablesTarget, names: []string{"bank.acounts"}, err: `target bank.acounts: there is no such table; near are bank.accounts`},
		{kind: tablesTarget, names: []string{"bank.accounts.*"}, err: `target bank.accounts: is a table and no database or schema`},
	} {
		s, err := selectNamed(c, tc.kind, tc.names)
		if tc.err != "" {
			require.EqualError(t, err, tc.err)
			var target *TargetError
			require.ErrorAs(t, err, &target)
			continue
		}
		require.NoError(t, err, tc.names)
		require.Equal(t, tc.want, idsOf(s.objects), tc.names)
	}
}

func idsOf(objects []*export.Object) []uint64 {
	var out []uint64
	for _, o := range objects {
		out = append(out, o.ID)
	}
	return out
}

func TestSelection(t *testing.T) {
	t.Parallel()
	c, err := newCatalog(nil, namedObjects())
	require.NoError(t, err)
	s, err := selectNamed(c, tablesTarget, []string{"bank.accounts", "shop.west.*"})
	require.NoError(t, err)
	require.Equal(t, []uint64{1, 4, 6}, idsOf(s.around()))
	require.Equal(t, []Span{{Start: []byte("2/1"), End: []byte("2/3")}, prefixes("8/")[0], prefixes("9/")[0]}, s.spans(nil))
	require.Empty(t, s.missing())

	s, err = selectNamed(c, tablesTarget, []string{"bank.rich", "shop.orders"})
	require.NoError(t, err)
	require.EqualError(t, s.missing()[0], "bank.rich needs bank.accounts, which is no target: dependency view")
	require.Len(t, s.missing(), 2)
	_, _, err = s.without(Views)
	require.EqualError(t, err, "shop.west.orders needs bank.accounts, which is no target: dependency foreign key")
	rest, skipped, err := s.without(Views | ForeignKeys)
	require.NoError(t, err)
	require.Equal(t, []uint64{9}, idsOf(rest.objects))
	require.Empty(t, rest.objects[0].Needs)
	require.Len(t, c.byID[9].Needs, 1, "the catalog is as it was")
	require.Equal(t, []string{"view bank.rich, which needs bank.accounts", "foreign key of shop.west.orders on bank.accounts"}, skipped)
}

// TestSkippedDependencies: each kind has its own leave to go on without; types, and kinds
// that varve does not know, have none.
func TestSkippedDependencies(t *testing.T) {
	t.Parallel()
	const all = ForeignKeys | Sequences | SequenceOwners | Views
	for kind, skip := range map[string]Dependency{
		export.ForeignKeyDependency: ForeignKeys, export.SequenceDependency: Sequences, export.SequenceOwnerDependency: SequenceOwners,
		export.ViewDependency: Views, export.TypeDependency: 0, "trigger": 0,
	} {
		objects := namedObjects()
		objects[2].Needs = []export.Dependency{{Kind: kind, On: 9}}
		c, err := newCatalog(nil, objects)
		require.NoError(t, err)
		s, err := selectNamed(c, tablesTarget, []string{"bank.accounts"})
		require.NoError(t, err)
		_, _, err = s.without(all &^ skip)
		require.EqualError(t, err, "bank.accounts needs shop.west.orders, which is no target: dependency "+kind)
		rest, skipped, err := s.without(skip)
		if skip == 0 {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		require.Len(t, skipped, 1)
		require.Equal(t, skip == Views, len(rest.objects) == 0)
	}
}

// TestImpossibleCatalogs are refused, whoever has made them.
func TestImpossibleCatalogs(t *testing.T) {
	t.Parallel()
	table := func(id, parent uint64, name string, spans ...string) export.Object {
		return export.Object{ID: id, Parent: parent, Kind: export.TableObject, Name: name, Spans: prefixes(spans...)}
	}
	for want, objects := range map[string][]export.Object{
		"has no ID":                          {table(0, 0, "a")},
		"has no name":                        {table(1, 0, "")},
		"have one ID":                        {table(1, 0, "a"), table(1, 0, "b")},
		"two objects have the name":          {table(1, 0, "a"), table(2, 0, "a")},
		"1 of 1 objects are in none":         {table(1, 2, "a")},
		"2 of 3 objects are in none":         {table(1, 2, "a"), table(2, 1, "b"), table(3, 0, "c")},
		"spans of objects overlap":           {table(1, 0, "a", "x"), table(2, 0, "b", "xy")},
		`its span ["b", "a") is empty or cu`: {{ID: 1, Kind: "table", Name: "a", Spans: []Span{{Start: []byte("b"), End: []byte("a")}}}},
	} {
		_, err := newCatalog(nil, objects)
		require.ErrorContains(t, err, want)
	}
}

func TestEditDistance(t *testing.T) {
	t.Parallel()
	for pair, want := range map[[2]string]int{
		{"", ""}: 0, {"a", ""}: 1, {"abc", "ABC"}: 0, {"kitten", "sitting"}: 3, {"bank.t", "bank.tt"}: 1, {"über", "uber"}: 1,
	} {
		require.Equal(t, want, editDistance(pair[0], pair[1]), pair)
		require.Equal(t, want, editDistance(pair[1], pair[0]), pair)
	}
}
