package sink

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"

	"github.com/varvekv/varve/export"
)

// Form says how the entries of a store become keys of a table. The zero Form is
// bytewise and without revisions.
type Form struct {
	Order     *export.Order // of the engine's keys; nil: bytewise
	Revisions bool          // entries carry timestamps
}

// comparer is the physical order of tables of this form.
func (f Form) comparer() *pebble.Comparer {
	if f.Revisions {
		return &cockroachkvs.Comparer
	}
	if f.Order == nil || f.Order.Name == export.BytewiseName {
		return pebble.DefaultComparer
	}
	o := f.Order.WithDefaults()
	return &pebble.Comparer{
		Name:                 o.Name,
		Compare:              o.Compare,
		Equal:                func(a, b []byte) bool { return o.Compare(a, b) == 0 },
		Split:                func(k []byte) int { return o.Split(k) },
		CompareRangeSuffixes: func(a, b []byte) int { return o.CompareSuffixes(a, b) },
		ComparePointSuffixes: func(a, b []byte) int { return o.CompareSuffixes(a, b) },
		// The order's name is all that is known of it, so keys are neither
		// abbreviated nor shortened: correct for every order, a few bytes longer.
		AbbreviatedKey: func([]byte) uint64 { return 0 },
		Separator:      func(dst, a, _ []byte) []byte { return append(dst, a...) },
		Successor:      func(dst, a []byte) []byte { return append(dst, a...) },
		FormatKey:      pebble.DefaultComparer.FormatKey,
	}
}
