package kvtest

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/varvekv/varve/export"
)

// Canonical is a deep copy of entries in the one form that all exports with the
// same content have: ranges joined where they meet and say the same, in the order
// of a cursor, ranges at one key by suffix, and empty bytes nil. It neither joins
// ranges that overlap nor drops entries that are there twice.
func Canonical(order *export.Order, entries []export.Entry) []export.Entry {
	o := order.WithDefaults()
	var points, ranges []export.Entry
	for i := range entries {
		if e := clone(&entries[i]); e.Kind.IsRange() {
			ranges = append(ranges, e)
		} else {
			points = append(points, e)
		}
	}
	all := append(joinRanges(o, ranges), points...)
	slices.SortStableFunc(all, func(a, b export.Entry) int { return comparePlaces(o, &a, &b) })
	return all
}

// Timeless is a deep copy of entries without their timestamps, for comparing what
// different stores hold.
func Timeless(entries []export.Entry) []export.Entry {
	var copied []export.Entry
	for i := range entries {
		e := clone(&entries[i])
		e.Timestamp = export.Timestamp{}
		copied = append(copied, e)
	}
	return copied
}

// comparePlaces orders entries as a cursor does, and ranges at one key by suffix,
// timestamp and kind.
func comparePlaces(o *export.Order, a, b *export.Entry) int {
	if c := o.Compare(a.Key, b.Key); c != 0 {
		return c
	}
	switch {
	case a.Kind.IsRange() && !b.Kind.IsRange():
		return -1
	case !a.Kind.IsRange() && b.Kind.IsRange():
		return 1
	case !a.Kind.IsRange():
		return b.Timestamp.Compare(a.Timestamp)
	}
	return cmp.Or(o.CompareSuffixes(a.Suffix, b.Suffix), b.Timestamp.Compare(a.Timestamp), cmp.Compare(a.Kind, b.Kind))
}

// joinRanges lets each range go on in the one that begins where it ends, if that
// says the same.
func joinRanges(o *export.Order, ranges []export.Entry) []export.Entry {
	says := func(a, b *export.Entry) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), o.CompareSuffixes(a.Suffix, b.Suffix),
			a.Timestamp.Compare(b.Timestamp), bytes.Compare(a.Value, b.Value))
	}
	slices.SortStableFunc(ranges, func(a, b export.Entry) int {
		return cmp.Or(says(&a, &b), o.Compare(a.Key, b.Key))
	})
	var joined []export.Entry
	for i := range ranges {
		r := &ranges[i]
		if last := len(joined) - 1; last >= 0 && says(&joined[last], r) == 0 && bytes.Equal(joined[last].End, r.Key) {
			joined[last].End = r.End
			continue
		}
		joined = append(joined, *r)
	}
	return joined
}
