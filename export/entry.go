package export

import (
	"slices"
	"strconv"
)

// Kind says what an Entry does. Kinds are stored: their numbers never change.
type Kind uint8

const (
	// Set gives Key the Value.
	Set Kind = iota + 1
	// Delete removes Key.
	Delete
	// DeleteRange removes every key in [Key, End), range keys excepted.
	DeleteRange
	// RangeKeySet gives the range [Key, End) the Value under Suffix.
	RangeKeySet
	// RangeKeyUnset removes what Suffix has in [Key, End).
	RangeKeyUnset
	// RangeKeyDelete removes every range key in [Key, End).
	RangeKeyDelete
)

var kindNames = [...]string{"", "set", "delete", "delete-range", "range-key-set", "range-key-unset", "range-key-delete"}

// String is the kind's name in lower case.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return "kind(" + strconv.Itoa(int(k)) + ")"
	}
	return kindNames[k]
}

// IsRange reports whether entries of this kind cover [Key, End).
func (k Kind) IsRange() bool { return k >= DeleteRange && k <= RangeKeyDelete }

// Entry is one change: what a key or a range of keys was given, or that it was
// removed. An export of the state holds Set and RangeKeySet only. Entries of the
// same key and layer do not undo one another: a point survives a DeleteRange, a
// RangeKeySet survives a RangeKeyUnset or RangeKeyDelete, that stands beside it.
// In a store with revisions, ranges that overlap have distinct timestamps.
type Entry struct {
	Kind      Kind
	Key, End  []byte    // engine's own key without its revision; End for range kinds, never empty
	Suffix    []byte    // of range keys
	Value     []byte    // of Set and RangeKeySet
	Timestamp Timestamp // of the revision; zero where Info.Revisions is false
}

// Position is the entry's place in its cursor, to resume after.
func (e *Entry) Position() Position { return Position{Key: e.Key, Timestamp: e.Timestamp} }

// Clone is a copy of e that shares no bytes with it.
func (e *Entry) Clone() Entry {
	c := *e
	c.Key, c.End = slices.Clone(e.Key), slices.Clone(e.End)
	c.Suffix, c.Value = slices.Clone(e.Suffix), slices.Clone(e.Value)
	return c
}

// Size is the logical size in bytes: key, end, suffix and value.
func (e *Entry) Size() int64 {
	return int64(len(e.Key) + len(e.End) + len(e.Suffix) + len(e.Value))
}
