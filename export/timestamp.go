package export

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Timestamp is a position in one store's history: wall nanoseconds since the
// Unix epoch, and a logical counter that orders positions within one
// nanosecond. Timestamps of one store are totally ordered by [Timestamp.Compare];
// those of different stores mean nothing to one another. The zero Timestamp is
// the beginning, before every revision.
type Timestamp struct {
	WallNanos int64
	Logical   uint32
}

// At is the first position of the nanosecond t.
func At(t time.Time) Timestamp { return Timestamp{WallNanos: t.UnixNano()} }

// Compare is negative if t comes before u, zero if they are equal, and positive
// if t comes after u.
func (t Timestamp) Compare(u Timestamp) int {
	if c := cmp.Compare(t.WallNanos, u.WallNanos); c != 0 {
		return c
	}
	return cmp.Compare(t.Logical, u.Logical)
}

// Next is the smallest timestamp after t.
func (t Timestamp) Next() Timestamp {
	if t.Logical == math.MaxUint32 {
		return Timestamp{WallNanos: t.WallNanos + 1}
	}
	return Timestamp{WallNanos: t.WallNanos, Logical: t.Logical + 1}
}

// Time is the wall part of t in UTC. It is for people: order is Compare's.
func (t Timestamp) Time() time.Time { return time.Unix(0, t.WallNanos).UTC() }

// IsZero reports whether t is the beginning.
func (t Timestamp) IsZero() bool { return t == Timestamp{} }

const timestampLayout = "2006-01-02T15:04:05.000000000Z"

// String is "0" for the zero Timestamp, else UTC with nine decimals, followed by
// "+" and the logical counter where that is not zero:
// 2026-11-22T06:31:59.370000000Z+3. [ParseTimestamp] is its inverse.
func (t Timestamp) String() string {
	if t.IsZero() {
		return "0"
	}
	s := t.Time().Format(timestampLayout)
	if t.Logical != 0 {
		s += "+" + strconv.FormatUint(uint64(t.Logical), 10)
	}
	return s
}

// ParseTimestamp reads what [Timestamp.String] writes, and nothing else.
func ParseTimestamp(s string) (Timestamp, error) {
	if s == "0" {
		return Timestamp{}, nil
	}
	wall, logical, hasLogical := strings.Cut(s, "+")
	w, err := time.Parse(timestampLayout, wall)
	if err != nil {
		return Timestamp{}, fmt.Errorf("timestamp %q: want the form %s", s, timestampLayout)
	}
	t := At(w)
	if hasLogical {
		l, err := strconv.ParseUint(logical, 10, 32)
		if err != nil {
			return Timestamp{}, fmt.Errorf("timestamp %q: logical part is not a 32-bit number", s)
		}
		t.Logical = uint32(l)
	}
	if t.String() != s {
		return Timestamp{}, fmt.Errorf("timestamp %q: not in canonical form", s)
	}
	return t, nil
}

// MarshalText writes the form of [Timestamp.String].
func (t Timestamp) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the form of [ParseTimestamp].
func (t *Timestamp) UnmarshalText(b []byte) error {
	u, err := ParseTimestamp(string(b))
	if err != nil {
		return err
	}
	*t = u
	return nil
}
