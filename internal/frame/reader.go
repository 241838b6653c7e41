package frame

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/zeebo/blake3"

	"github.com/varvekv/varve/internal/seal"
)

// Source is a stored object of known size.
type Source interface {
	// ReadAt fills p from off, or fails.
	ReadAt(ctx context.Context, p []byte, off int64) error
	// Stream reads [off, off+n) in order.
	Stream(ctx context.Context, off, n int64) (io.ReadCloser, error)
}

// CorruptError says that stored bytes are not those that were written.
type CorruptError struct {
	Want, Got string
}

func (e *CorruptError) Error() string { return "corrupt: want " + e.Want + ", got " + e.Got }

func corruptf(want, format string, args ...any) error {
	return &CorruptError{Want: want, Got: fmt.Sprintf(format, args...)}
}

// Reader reads the plain bytes of an object, each frame checked against the
// index, which was checked first. It is safe for concurrent use.
type Reader struct {
	src   Source
	index index
	magic string
	seal  *seal.Object // nil: not sealed
	dec   *decoder

	largest uint32 // stored bytes of a frame
}

// Key is what an object is sealed under: the key of its layer, and its name.
type Key struct {
	Layer *seal.DataKey // nil: the object is not sealed
	Name  string
}

// Open fetches the index and checks it against f. It trusts f alone.
func Open(ctx context.Context, src Source, f Facts, key Key) (*Reader, error) {
	if f.IndexSize < int64(trailerSize) || f.IndexSize > MaxIndex || f.IndexSize > f.Size-int64(len(magic)) {
		return nil, corruptf("a frame index", "one of %d bytes in an object of %d", f.IndexSize, f.Size)
	}
	buf := make([]byte, f.IndexSize)
	if err := src.ReadAt(ctx, buf, f.Size-f.IndexSize); err != nil {
		return nil, fmt.Errorf("read frame index: %w", err)
	}
	if got := formatHash(blake3.Sum256(buf)); got != f.IndexHash {
		return nil, corruptf("frame index "+f.IndexHash, "%s", got)
	}
	x, t, err := decodeIndex(buf, f.Size, key.Layer != nil)
	if err != nil {
		return nil, corruptf("a frame index", "%v", err)
	}
	if x.plainSize() != f.Plain {
		return nil, corruptf(fmt.Sprintf("%d plain bytes", f.Plain), "%d", x.plainSize())
	}
	dec, err := newDecoder()
	if err != nil {
		return nil, err
	}
	r := &Reader{src: src, index: x, dec: dec}
	r.magic, _ = t.magics()
	if t.sealed {
		if r.seal, err = key.Layer.Object(t.salt, key.Name); err != nil {
			return nil, err
		}
	}
	for _, e := range x {
		r.largest = max(r.largest, e.stored)
	}
	return r, nil
}

// Size is the number of plain bytes.
func (r *Reader) Size() int64 { return r.index.plainSize() }

// check decodes stored, the bytes of frame i, into dst's space.
func (r *Reader) check(dst, stored []byte, i int) ([]byte, error) {
	f := r.index[i]
	if got := sum(stored); got != f.hash {
		return nil, corruptf(fmt.Sprintf("frame %d %s", i, hex.EncodeToString(f.hash[:])), "%s", hex.EncodeToString(got[:]))
	}
	if r.seal != nil {
		var err error
		if stored, err = r.seal.Open(stored[:0], stored, uint64(i), nil); err != nil {
			return nil, corruptf(fmt.Sprintf("frame %d as it was sealed", i), "%v", err)
		}
	}
	plain, err := r.dec.decode(dst, stored, f)
	if err != nil {
		return nil, corruptf(fmt.Sprintf("frame %d of %d plain bytes", i, f.plain), "%v", err)
	}
	return plain, nil
}

// WriteTo writes all plain bytes to w, read in one stream. What w has received
// when an error is returned is checked but incomplete.
func (r *Reader) WriteTo(ctx context.Context, w io.Writer) (err error) {
	s, err := r.src.Stream(ctx, 0, r.index.framesEnd())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	head := make([]byte, len(r.magic))
	if _, err := io.ReadFull(s, head); err != nil {
		return err
	}
	if err := r.checkMagic(head); err != nil {
		return err
	}
	var stored, plain []byte
	for i := range r.index {
		if stored, plain, err = r.next(s, i, stored, plain); err != nil {
			return err
		}
		if _, err := w.Write(plain); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) checkMagic(head []byte) error {
	if string(head) != r.magic {
		return corruptf(fmt.Sprintf("%q", r.magic), "%q", head)
	}
	return nil
}

// room is buf with the length of stored frame i. It is made large enough for any
// frame of the object.
func (r *Reader) room(buf []byte, i int) []byte {
	if cap(buf) < int(r.largest) {
		buf = make([]byte, r.largest)
	}
	return buf[:r.index[i].stored]
}

// next reads frame i from s, which stands at its start.
func (r *Reader) next(s io.Reader, i int, stored, plain []byte) ([]byte, []byte, error) {
	stored = r.room(stored, i)
	if _, err := io.ReadFull(s, stored); err != nil {
		return stored, plain, fmt.Errorf("read frame %d: %w", i, err)
	}
	plain, err := r.check(plain, stored, i)
	return stored, plain, err
}

// CheckHash reads the whole stored object and compares it with f.Hash: the check
// that storage alone allows.
func CheckHash(ctx context.Context, src Source, f Facts) (err error) {
	if !strings.HasPrefix(f.Hash, HashPrefix) {
		return corruptf("a hash named "+HashPrefix, "%q", f.Hash)
	}
	s, err := src.Stream(ctx, 0, f.Size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	h := blake3.New()
	if _, err := io.CopyBuffer(h, s, make([]byte, PlainSize)); err != nil {
		return err
	}
	if got := formatHash([32]byte(h.Sum(nil))); got != f.Hash {
		return corruptf(f.Hash, "%s", got)
	}
	return nil
}
