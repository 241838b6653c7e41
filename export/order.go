package export

import "bytes"

// BytewiseName is the name of the order that a nil *Order stands for.
const BytewiseName = "bytewise"

// Order is a key order by name, with the functions that carry it out. A nil
// *Order means bytewise. Two orders of one name must be the same order: the name
// is what a backup records and what a restore compares.
//
// The functions are called concurrently and must not keep or change their
// arguments.
type Order struct {
	Name string

	// Compare is negative, zero or positive as a comes before, equals or comes
	// after b. The empty key is the first. nil: bytes.Compare.
	Compare func(a, b []byte) int

	// Split is the length of the key's prefix; what follows is its suffix. A bare
	// prefix must sort before every key that has it. nil: no suffixes, the prefix
	// is the key.
	Split func(key []byte) int

	// CompareSuffixes orders the suffixes of range keys. nil: bytewise.
	CompareSuffixes func(a, b []byte) int
}

var bytewise = Order{
	Name:            BytewiseName,
	Compare:         bytes.Compare,
	Split:           func(key []byte) int { return len(key) },
	CompareSuffixes: bytes.Compare,
}

// WithDefaults is o with every nil function filled in; o itself may be nil. The
// result must not be changed.
func (o *Order) WithDefaults() *Order {
	if o == nil {
		return &bytewise
	}
	if o.Compare != nil && o.Split != nil && o.CompareSuffixes != nil {
		return o
	}
	full := *o
	if full.Compare == nil {
		full.Compare = bytewise.Compare
	}
	if full.Split == nil {
		full.Split = bytewise.Split
	}
	if full.CompareSuffixes == nil {
		full.CompareSuffixes = bytewise.CompareSuffixes
	}
	return &full
}

// CutPoint reports whether a span may start or end at key: whether key is a bare
// prefix, so that no prefix is torn apart. The empty key is a cut point.
func (o *Order) CutPoint(key []byte) bool {
	return o == nil || o.Split == nil || len(key) == 0 || o.Split(key) == len(key)
}
