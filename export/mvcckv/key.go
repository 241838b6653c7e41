package mvcckv

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/cockroachkvs"

	"github.com/varvekv/varve/export"
)

// A physical key is a user's key, a zero byte, and a suffix whose last byte is its
// length. cockroachkvs trusts that byte, so no key is made or taken apart but here.
const (
	bareLength   = 0  // no version: a bare prefix
	systemLength = 18 // 17 bytes, which cockroachkvs knows as those of its lock table
)

// liveMark stands before the value of a set, so that an empty one is told from a
// deletion, whose value is empty.
const liveMark = 0x01

// versionKey is the physical key of the version of key at t, in the place of dst.
func versionKey(dst, key []byte, t export.Timestamp) []byte {
	return cockroachkvs.EncodeMVCCKey(dst, key, uint64(t.WallNanos), t.Logical)
}

// bareKey is the physical key that all versions of key follow.
func bareKey(key []byte) []byte { return versionKey(nil, key, export.Timestamp{}) }

// bareBound is the physical form of a span's bound, of which an empty one is none.
func bareBound(key []byte) []byte {
	if len(key) == 0 {
		return nil
	}
	return bareKey(key)
}

// nextKey is the first key after key.
func nextKey(key []byte) []byte { return append(append(make([]byte, 0, len(key)+1), key...), 0) }

func single(key []byte) export.Span { return export.Span{Start: key, End: nextKey(key)} }

// isData reports whether a physical key is that of a version: not one of the store's
// own records.
func isData(physical []byte) bool {
	n := len(physical)
	return n > 0 && physical[n-1] != bareLength && physical[n-1] != systemLength
}

// splitVersion takes the physical key of a version apart. The key aliases it.
func splitVersion(physical []byte) ([]byte, export.Timestamp, error) {
	key, version, ok := cockroachkvs.DecodeEngineKey(physical)
	if !ok || !isData(physical) {
		return nil, export.Timestamp{}, fmt.Errorf("key %x is not that of a version", physical)
	}
	suffix := physical[len(physical)-len(version)-1:]
	wall, logical, err := cockroachkvs.DecodeMVCCTimestampSuffix(suffix)
	if err != nil || int64(wall) < 0 {
		return nil, export.Timestamp{}, fmt.Errorf("key %x: its time is out of range", physical)
	}
	return key, export.Timestamp{WallNanos: int64(wall), Logical: logical}, nil
}

// userKey is the user's part of a physical key of any kind.
func userKey(physical []byte) ([]byte, error) {
	key, _, ok := cockroachkvs.DecodeEngineKey(physical)
	if !ok {
		return nil, fmt.Errorf("key %x has no version length", physical)
	}
	return key, nil
}

func liveValue(value []byte) []byte {
	return append(append(make([]byte, 0, len(value)+1), liveMark), value...)
}

// splitValue is the kind of a version, and its value without the mark.
func splitValue(stored []byte) (export.Kind, []byte, error) {
	switch {
	case len(stored) == 0:
		return export.Delete, nil, nil
	case stored[0] != liveMark:
		return 0, nil, fmt.Errorf("value has the unknown mark %#x", stored[0])
	}
	return export.Set, stored[1:], nil
}

// area is a kind of the store's own records.
type area byte

const (
	lockArea     area = 'l' // key → timestamp of its provisional version
	snapshotArea area = 's' // name → named snapshot
	metaArea     area = 'm' // what the store knows of itself
	txArea       area = 't' // transaction records
)

type txID [16]byte

// systemKey is the physical key of a record. Records lie where user keys that begin
// with a zero byte do, too; the length of the suffix tells them apart.
func systemKey(a area, name []byte, id txID) []byte {
	prefix := append([]byte{0, byte(a)}, name...)
	return cockroachkvs.EncodeKey(nil, prefix, append([]byte{1}, id[:]...))
}

// splitSystem takes the physical key of a record apart.
func splitSystem(physical []byte) (name []byte, id txID, ok bool) {
	key, version, ok := cockroachkvs.DecodeEngineKey(physical)
	if !ok || len(version) != systemLength-1 || len(key) < 2 {
		return nil, id, false
	}
	copy(id[:], version[1:])
	return key[2:], id, true
}

// areaBounds are the iterator bounds around the records of a.
func areaBounds(a area) (lower, upper []byte) {
	return bareKey([]byte{0, byte(a)}), bareKey([]byte{0, byte(a) + 1})
}
