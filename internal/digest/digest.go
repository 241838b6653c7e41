// Package digest computes an order-independent digest of a state: the sum, mod
// 2^128, of one XXH3-128 hash per live key. Equal sums mean equal states but for
// accidents of chance (about 2^-128); the digest finds errors, while forgery is
// the business of file hashes and sealing. Because addition commutes and has an
// inverse, spans can be digested in parallel and a digest can be updated by what
// a change removed and added.
//
// What one entry contributes, with len as 4 bytes and timestamps as 8 + 4 bytes,
// all little-endian, and ‖ for concatenation:
//
//	set        H(0x01 ‖ len(key) ‖ key ‖ value)
//	range key  H(0x04 ‖ len(start) ‖ start ‖ len(suffix) ‖ suffix ‖ value)
//	         − H(0x04 ‖ len(end)   ‖ end   ‖ len(suffix) ‖ suffix ‖ value)
//
// so that cutting a range key in two, or joining its pieces, changes nothing. A
// store with revisions has a second sum, in which wall ‖ logical of the revision
// stands before the key's length.
package digest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/varvekv/varve/export"
)

// Sum is a number mod 2^128. The zero Sum is that of the empty state.
type Sum struct{ Hi, Lo uint64 }

// Add is s + t.
func (s Sum) Add(t Sum) Sum {
	lo, carry := bits.Add64(s.Lo, t.Lo, 0)
	hi, _ := bits.Add64(s.Hi, t.Hi, carry)
	return Sum{Hi: hi, Lo: lo}
}

// Sub is s − t.
func (s Sum) Sub(t Sum) Sum {
	lo, borrow := bits.Sub64(s.Lo, t.Lo, 0)
	hi, _ := bits.Sub64(s.Hi, t.Hi, borrow)
	return Sum{Hi: hi, Lo: lo}
}

const prefix = "xxh3sum:"

// String is the stored form: "xxh3sum:" and 32 hex digits.
func (s Sum) String() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], s.Hi)
	binary.BigEndian.PutUint64(b[8:], s.Lo)
	return prefix + hex.EncodeToString(b[:])
}

// Parse reads what String writes.
func Parse(s string) (Sum, error) {
	digits, ok := strings.CutPrefix(s, prefix)
	b, err := hex.DecodeString(digits)
	if !ok || err != nil || len(b) != 16 || strings.ToLower(digits) != digits {
		return Sum{}, fmt.Errorf("digest %q: want %s and 32 hex digits", s, prefix)
	}
	return Sum{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}, nil
}

// MarshalText writes the form of String.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the form of Parse.
func (s *Sum) UnmarshalText(b []byte) (err error) {
	*s, err = Parse(string(b))
	return err
}

// Digest describes a state, or the part of it that lies in one span.
type Digest struct {
	State     Sum   // without timestamps
	Revisions Sum   // with them; zero where the store has none
	Keys      int64 // live keys, range keys not counted
	Bytes     int64 // of those keys and their values
}

// Add joins the digests of two disjoint parts.
func (d Digest) Add(e Digest) Digest {
	return Digest{
		State:     d.State.Add(e.State),
		Revisions: d.Revisions.Add(e.Revisions),
		Keys:      d.Keys + e.Keys,
		Bytes:     d.Bytes + e.Bytes,
	}
}

// Sub is d without the digest of a part of it.
func (d Digest) Sub(e Digest) Digest {
	return Digest{
		State:     d.State.Sub(e.State),
		Revisions: d.Revisions.Sub(e.Revisions),
		Keys:      d.Keys - e.Keys,
		Bytes:     d.Bytes - e.Bytes,
	}
}

// Row is the digest of the state from Start to the next row's start.
type Row struct {
	Start  []byte
	Digest Digest
}

// Total is the digest of all rows together.
func Total(rows []Row) Digest {
	var d Digest
	for _, r := range rows {
		d = d.Add(r.Digest)
	}
	return d
}

// Hasher digests entries. The zero value is ready; it is used by one goroutine.
type Hasher struct{ buf []byte }

// Add accounts for e, which must be a Set or a RangeKeySet: those of which a state
// consists. Others are ignored.
func (h *Hasher) Add(d *Digest, e *export.Entry) {
	switch e.Kind {
	case export.Set:
		d.State = d.State.Add(h.set(e, false))
		if !e.Timestamp.IsZero() {
			d.Revisions = d.Revisions.Add(h.set(e, true))
		}
		d.Keys++
		d.Bytes += int64(len(e.Key) + len(e.Value))
	case export.RangeKeySet:
		d.State = d.State.Add(h.edge(e, e.Key, false)).Sub(h.edge(e, e.End, false))
		if !e.Timestamp.IsZero() {
			d.Revisions = d.Revisions.Add(h.edge(e, e.Key, true)).Sub(h.edge(e, e.End, true))
		}
	}
}

func (h *Hasher) begin(e *export.Entry, timed bool) {
	h.buf = append(h.buf[:0], byte(e.Kind))
	if timed {
		h.buf = binary.LittleEndian.AppendUint64(h.buf, uint64(e.Timestamp.WallNanos))
		h.buf = binary.LittleEndian.AppendUint32(h.buf, e.Timestamp.Logical)
	}
}

func (h *Hasher) field(b []byte) {
	h.buf = binary.LittleEndian.AppendUint32(h.buf, uint32(len(b)))
	h.buf = append(h.buf, b...)
}

func (h *Hasher) sum(tail []byte) Sum {
	h.buf = append(h.buf, tail...)
	u := xxh3.Hash128(h.buf)
	return Sum{Hi: u.Hi, Lo: u.Lo}
}

func (h *Hasher) set(e *export.Entry, timed bool) Sum {
	h.begin(e, timed)
	h.field(e.Key)
	return h.sum(e.Value)
}

func (h *Hasher) edge(e *export.Entry, at []byte, timed bool) Sum {
	h.begin(e, timed)
	h.field(at)
	h.field(e.Suffix)
	return h.sum(e.Value)
}
