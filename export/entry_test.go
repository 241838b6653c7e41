package export_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varvekv/varve/export"
)

// TestKindNumbers pins what is stored.
func TestKindNumbers(t *testing.T) {
	t.Parallel()
	for i, c := range []struct {
		kind    export.Kind
		name    string
		isRange bool
	}{
		{0, "kind(0)", false},
		{export.Set, "set", false},
		{export.Delete, "delete", false},
		{export.DeleteRange, "delete-range", true},
		{export.RangeKeySet, "range-key-set", true},
		{export.RangeKeyUnset, "range-key-unset", true},
		{export.RangeKeyDelete, "range-key-delete", true},
		{7, "kind(7)", false},
	} {
		require.EqualValues(t, i, c.kind)
		require.Equal(t, c.name, c.kind.String())
		require.Equal(t, c.isRange, c.kind.IsRange())
	}
}

func TestEntry(t *testing.T) {
	t.Parallel()
	e := export.Entry{
		Kind: export.RangeKeySet, Key: []byte("k"), End: []byte("en"), Suffix: []byte("suf"), Value: []byte("valu"),
		Timestamp: export.Timestamp{WallNanos: 5},
	}
	require.EqualValues(t, 1+2+3+4, e.Size())
	require.Equal(t, export.Position{Key: []byte("k"), Timestamp: export.Timestamp{WallNanos: 5}}, e.Position())
}

func TestErrors(t *testing.T) {
	t.Parallel()
	s := export.Span{Start: []byte("a"), End: []byte("b")}
	require.EqualError(t, &export.NotEmptyError{Span: s}, `store: span ["a", "b") is not empty`)
	require.EqualError(t, &export.NotEmptyError{Name: "bank.accounts"}, "store: bank.accounts is there already")
	require.EqualError(t, &export.NotEmptyError{Name: "dir", Span: s}, `store: dir: span ["a", "b") is not empty`)
	require.EqualError(t, &export.LockedError{Key: []byte("k"), Holder: "t1"}, `store: key "k" is locked by t1`)
}
