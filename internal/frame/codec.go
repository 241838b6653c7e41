package frame

import (
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"
)

// Codec says how a frame is stored. Its numbers are stored and never change.
type Codec uint8

const (
	Raw  Codec = 1 // as it is
	Zstd Codec = 2 // one zstd frame, no checksum of its own
	S2   Codec = 3 // one s2 block: several times faster than zstd, larger
)

type hash [hashSize]byte

func sum(stored []byte) hash {
	full := blake3.Sum256(stored)
	return hash(full[:hashSize])
}

// encoder compresses frames. It keeps what its codec needs from one to the next,
// and is used by one goroutine.
type encoder struct {
	codec Codec
	zstd  *zstd.Encoder
	buf   []byte
}

func newEncoder(c Codec) (*encoder, error) {
	e := &encoder{codec: c}
	switch c {
	case Raw, S2:
	case Zstd:
		z, err := zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false),
			// Else frames of less than 256 bytes would not declare their size.
			zstd.WithSingleSegment(true),
			zstd.WithWindowSize(PlainSize))
		if err != nil {
			return nil, fmt.Errorf("frame: zstd encoder: %w", err)
		}
		e.zstd = z
	default:
		return nil, fmt.Errorf("frame: codec %d is not known", c)
	}
	return e, nil
}

// encode returns the stored form of plain, which may be plain itself or the
// encoder's own buffer, overwritten by the next call.
func (e *encoder) encode(plain []byte) ([]byte, Codec) {
	switch e.codec {
	case Zstd:
		e.buf = e.zstd.EncodeAll(plain, e.buf[:0])
	case S2:
		e.buf = s2.Encode(e.buf[:cap(e.buf)], plain)
	default:
		return plain, Raw
	}
	if len(e.buf) >= len(plain) {
		return plain, Raw
	}
	return e.buf, e.codec
}

// decoder is the inverse of encoder, and safe for concurrent use.
type decoder struct{ zstd *zstd.Decoder }

func newDecoder() (*decoder, error) {
	z, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(MaxPlain),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("frame: zstd decoder: %w", err)
	}
	return &decoder{zstd: z}, nil
}

// decode appends to dst[:0] the f.plain bytes that stored holds. Its caller has
// checked the hash, so an error means that the writer was wrong or hostile.
func (d *decoder) decode(dst, stored []byte, f entry) ([]byte, error) {
	if cap(dst) < int(f.plain) {
		dst = make([]byte, 0, f.plain)
	}
	switch f.codec {
	case Raw:
		return append(dst[:0], stored...), nil
	case Zstd:
		var h zstd.Header
		if err := h.Decode(stored); err != nil || !h.HasFCS || h.FrameContentSize != uint64(f.plain) {
			return nil, fmt.Errorf("zstd frame does not declare %d bytes", f.plain)
		}
		plain, err := d.zstd.DecodeAll(stored, dst[:0])
		if err != nil {
			return nil, err
		}
		return plain, checkPlain(plain, f)
	case S2:
		if n, err := s2.DecodedLen(stored); err != nil || n != int(f.plain) {
			return nil, fmt.Errorf("s2 block does not declare %d bytes", f.plain)
		}
		return s2.Decode(dst[:f.plain], stored)
	}
	return nil, fmt.Errorf("codec %d is not known", f.codec)
}

func checkPlain(plain []byte, f entry) error {
	if len(plain) != int(f.plain) {
		return fmt.Errorf("frame holds %d bytes, its index says %d", len(plain), f.plain)
	}
	return nil
}
