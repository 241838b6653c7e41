package frame

import (
	"encoding/hex"
	"fmt"
	"io"

	"github.com/zeebo/blake3"

	"github.com/varvekv/varve/internal/seal"
)

// Facts describe a finished object. They are what its reader must be given.
type Facts struct {
	Size      int64  // stored bytes
	Plain     int64  // plain bytes
	Hash      string // of the whole object: "blake3:" and 64 hex digits
	IndexSize int64  // stored bytes of the frame index at the end
	IndexHash string // of those bytes, in the same form
	Content   string // of the plain bytes, see ContentHash; "" unless it was asked for
}

// HashPrefix names the hash in Facts.
const HashPrefix = "blake3:"

func formatHash(h [32]byte) string { return HashPrefix + hex.EncodeToString(h[:]) }

// Writer cuts plain bytes into frames. It is used by one goroutine, and may be
// Reset to write another object with the buffers it has.
type Writer struct {
	w     io.Writer
	enc   *encoder
	plain []byte
	index index
	whole *blake3.Hasher
	seal  *seal.Object // nil: not sealed
	buf   []byte       // of a sealed frame

	content *blake3.Hasher // nil: not asked for
}

// NewWriter makes a writer that stores frames under c. Reset it before use.
func NewWriter(c Codec) (*Writer, error) {
	enc, err := newEncoder(c)
	if err != nil {
		return nil, err
	}
	return &Writer{enc: enc, plain: make([]byte, 0, PlainSize), whole: blake3.New()}, nil
}

// HashContent makes Facts have the content hash of the next object.
func (w *Writer) HashContent() { w.content = blake3.New() }

// Reset begins a new object on w, sealed unless sealing is nil. Every Write on w is of
// bytes that w may not keep, and that are overwritten later.
func (w *Writer) Reset(dst io.Writer, sealing *seal.Object) error {
	w.w, w.plain, w.index, w.seal = dst, w.plain[:0], w.index[:0], sealing
	w.whole.Reset()
	magic, _ := w.trailer().magics()
	return w.emit([]byte(magic))
}

func (w *Writer) trailer() (t trailer) {
	if w.seal != nil {
		t = trailer{sealed: true, salt: w.seal.Salt}
	}
	return t
}

// Write takes plain bytes and keeps no reference to them.
func (w *Writer) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), PlainSize-len(w.plain))
		w.plain = append(w.plain, p[:n]...)
		p = p[n:]
		if len(w.plain) == PlainSize {
			if err := w.flush(); err != nil {
				return total - len(p), err
			}
		}
	}
	return total, nil
}

// Stored is how many bytes have been written so far, the current frame and the
// index left out.
func (w *Writer) Stored() int64 { return w.index.framesEnd() }

// Finish writes the last frame and the index.
func (w *Writer) Finish() (Facts, error) {
	if len(w.plain) > 0 {
		if err := w.flush(); err != nil {
			return Facts{}, err
		}
	}
	if w.index.encodedSize(w.trailer()) > MaxIndex {
		return Facts{}, fmt.Errorf("frame: index of %d frames is too long", len(w.index))
	}
	idx := w.index.encode(w.trailer())
	if err := w.emit(idx); err != nil {
		return Facts{}, err
	}
	f := Facts{
		Size:      w.index.framesEnd() + int64(len(idx)),
		Plain:     w.index.plainSize(),
		Hash:      formatHash([32]byte(w.whole.Sum(nil))),
		IndexSize: int64(len(idx)),
		IndexHash: formatHash(blake3.Sum256(idx)),
	}
	if w.content != nil {
		f.Content = formatHash([32]byte(w.content.Sum(nil)))
		w.content = nil
	}
	return f, nil
}

func (w *Writer) flush() error {
	stored, codec := w.enc.encode(w.plain)
	if w.seal != nil {
		w.buf = w.seal.Seal(w.buf[:0], stored, uint64(len(w.index)), nil)
		stored = w.buf
	}
	e := entry{plain: uint32(len(w.plain)), stored: uint32(len(stored)), codec: codec, hash: sum(stored)}
	w.index = w.index.add(e)
	if w.content != nil {
		plain := e.hash
		if codec != Raw || w.seal != nil {
			plain = sum(w.plain)
		}
		if _, err := w.content.Write(plain[:]); err != nil {
			return fmt.Errorf("frame: hash: %w", err)
		}
	}
	w.plain = w.plain[:0]
	return w.emit(stored)
}

func (w *Writer) emit(b []byte) error {
	if _, err := w.whole.Write(b); err != nil {
		return fmt.Errorf("frame: hash: %w", err)
	}
	_, err := w.w.Write(b)
	return err
}
