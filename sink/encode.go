package sink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2/cockroachkvs"

	"github.com/varvekv/varve/export"
)

// liveValue stands before the value of a set, so that an empty one is told from a
// deletion.
const liveValue = 0x01

// encodeRevision appends the physical key and value of a point with revisions to
// the buffers.
func encodeRevision(key, value []byte, e *export.Entry) (k, v []byte) {
	k = encodeKey(key, e.Key, e.Timestamp)
	if e.Kind == export.Set {
		value = append(value, liveValue)
		value = append(value, e.Value...)
	}
	return k, value
}

func encodeKey(dst, key []byte, t export.Timestamp) []byte {
	return cockroachkvs.EncodeMVCCKey(dst, key, uint64(t.WallNanos), t.Logical)
}

func decodeKey(k []byte) ([]byte, export.Timestamp, error) {
	key, _, ok := cockroachkvs.DecodeEngineKey(k)
	if !ok {
		return nil, export.Timestamp{}, fmt.Errorf("key %q is not one with a revision", k)
	}
	wall, logical, err := cockroachkvs.DecodeMVCCTimestampSuffix(k[len(key)+1:])
	if err != nil {
		return nil, export.Timestamp{}, fmt.Errorf("key %q: %w", k, err)
	}
	if wall > math.MaxInt64 {
		return nil, export.Timestamp{}, fmt.Errorf("key %q: time out of range", k)
	}
	return key, export.Timestamp{WallNanos: int64(wall), Logical: logical}, nil
}

// decodePoint fills e from a physical point of a form with revisions.
func decodePoint(e *export.Entry, k, v []byte) (err error) {
	e.Kind = export.Delete
	e.Key, e.Timestamp, err = decodeKey(k)
	if err != nil || len(v) == 0 {
		return err
	}
	if v[0] != liveValue {
		return fmt.Errorf("key %q: value has the unknown mark %#x", k, v[0])
	}
	e.Kind, e.Value = export.Set, v[1:]
	return nil
}

// physicalRange is a range kind as a range key of a form with revisions.
type physicalRange struct{ start, end, suffix, value []byte }

func encodeRange(e *export.Entry) physicalRange {
	suffix := cockroachkvs.NewTimestampSuffix(uint64(e.Timestamp.WallNanos), e.Timestamp.Logical)
	value := append(binary.AppendUvarint([]byte{byte(e.Kind)}, uint64(len(e.Suffix))), e.Suffix...)
	return physicalRange{
		start:  encodeKey(nil, e.Key, export.Timestamp{}),
		end:    encodeKey(nil, e.End, export.Timestamp{}),
		suffix: suffix,
		value:  append(value, e.Value...),
	}
}

var errRange = errors.New("range key is not one with a revision")

func decodeRange(r physicalRange) (export.Entry, error) {
	var e export.Entry
	wall, logical, err := cockroachkvs.DecodeMVCCTimestampSuffix(r.suffix)
	if err != nil || wall > math.MaxInt64 || len(r.value) == 0 {
		return e, errors.Join(errRange, err)
	}
	e.Timestamp = export.Timestamp{WallNanos: int64(wall), Logical: logical}
	e.Kind = export.Kind(r.value[0])
	n, used := binary.Uvarint(r.value[1:])
	rest := r.value[1+max(used, 0):]
	if used <= 0 || n > uint64(len(rest)) || !e.Kind.IsRange() {
		return e, errRange
	}
	e.Suffix, e.Value = rest[:n], rest[n:]
	var startErr, endErr error
	e.Key, _, startErr = decodeKey(r.start)
	e.End, _, endErr = decodeKey(r.end)
	return e, errors.Join(startErr, endErr)
}
