package digest

import (
	"bytes"
	"slices"

	"github.com/varvekv/varve/export"
)

// RowBytes is about how many logical bytes one row covers.
const RowBytes = 16 << 20

// Rower digests an ascending run of a state in rows. Ranges are its owner's to keep
// until the rows that they lie in have ended. It is used by one goroutine.
type Rower struct {
	Off bool // nothing is digested; rows only say where to cut

	order  *export.Order
	limit  int64
	row    Row
	size   int64 // of what was added to the row
	last   []byte
	hasher Hasher
	rows   []Row
}

// NewRower begins the first row at start, a bare prefix. Rows end at the first new
// prefix after limit bytes.
func NewRower(order *export.Order, start []byte, limit int64) *Rower {
	return &Rower{order: order.WithDefaults(), limit: limit, row: Row{Start: slices.Clone(start)}}
}

// Due reports whether the row should end before key.
func (r *Rower) Due(key []byte) bool {
	return r.size >= r.limit && !bytes.Equal(key[:r.order.Split(key)], r.last[:r.order.Split(r.last)])
}

// Add takes the next entry of the state. Of ranges it counts the size.
func (r *Rower) Add(e *export.Entry) {
	r.last = append(r.last[:0], e.Key...)
	r.size += e.Size()
	if !r.Off && !e.Kind.IsRange() {
		r.hasher.Add(&r.row.Digest, e)
	}
}

// End ends the row before at, empty meaning the end, with what lies in it of the
// ranges that began in it or before. A row in which there is nothing is left out. The
// next one begins at at.
func (r *Rower) End(at []byte, ranges []export.Entry) {
	row := export.Span{Start: r.row.Start, End: at}
	for i := range ranges {
		if r.Off {
			break
		}
		e := ranges[i]
		if part, ok := row.Intersect(r.order, export.Span{Start: e.Key, End: e.End}); ok {
			e.Key, e.End = part.Start, part.End
			r.hasher.Add(&r.row.Digest, &e)
		}
	}
	if r.row.Digest != (Digest{}) {
		r.rows = append(r.rows, r.row)
	}
	r.row, r.size = Row{Start: slices.Clone(at)}, 0
}

// Last is the key of the entry that was added last, nil before the first. Its bytes are
// the rower's until the next call of Add.
func (r *Rower) Last() []byte { return r.last }

// Rows are those that have ended.
func (r *Rower) Rows() []Row { return r.rows }
