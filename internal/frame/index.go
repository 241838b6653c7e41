package frame

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/varvekv/varve/internal/seal"
)

// entry is what the index says of one frame, and where it therefore lies.
type entry struct {
	plain, stored uint32
	codec         Codec
	hash          hash

	plainOffset, storedOffset int64
}

// index is the list of frames of an object, in order.
type index []entry

// trailer ends an encoded index.
type trailer struct {
	sealed bool
	salt   [seal.SaltSize]byte // if sealed
}

func (t trailer) size() int {
	if t.sealed {
		return seal.SaltSize + trailerSize
	}
	return trailerSize
}

// overhead is how much longer than what it holds a stored frame is.
func (t trailer) overhead() uint32 {
	if t.sealed {
		return seal.Overhead
	}
	return 0
}

func (t trailer) magics() (object, trailer string) {
	if t.sealed {
		return sealedMagic, sealedTrailerMagic
	}
	return magic, trailerMagic
}

func (x index) plainSize() int64 {
	if len(x) == 0 {
		return 0
	}
	last := x[len(x)-1]
	return last.plainOffset + int64(last.plain)
}

// framesEnd is the offset behind the last frame, where the encoded index begins.
func (x index) framesEnd() int64 {
	if len(x) == 0 {
		return int64(len(magic))
	}
	last := x[len(x)-1]
	return last.storedOffset + int64(last.stored)
}

// add places a frame behind those before it.
func (x index) add(f entry) index {
	f.plainOffset, f.storedOffset = x.plainSize(), x.framesEnd()
	return append(x, f)
}

// find is the number of the frame that holds the plain byte at off.
func (x index) find(off int64) int {
	return sort.Search(len(x), func(i int) bool { return x[i].plainOffset+int64(x[i].plain) > off })
}

func (x index) encodedSize(t trailer) int { return len(x)*entrySize + t.size() }

func (x index) encode(t trailer) []byte {
	b := make([]byte, 0, x.encodedSize(t))
	for _, f := range x {
		b = binary.LittleEndian.AppendUint32(b, f.plain)
		b = binary.LittleEndian.AppendUint32(b, f.stored)
		b = append(b, byte(f.codec))
		b = append(b, f.hash[:]...)
	}
	_, end := t.magics()
	if t.sealed {
		b = append(b, t.salt[:]...)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(x)))
	b = binary.LittleEndian.AppendUint32(b, uint32(x.encodedSize(t)))
	return append(b, end...)
}

// decodeTrailer reads the end of an index, sealed or not as is expected.
func decodeTrailer(b []byte, sealed bool) (t trailer, frames int64, err error) {
	t.sealed = sealed
	_, end := t.magics()
	if len(b) < t.size() || string(b[len(b)-len(end):]) != end {
		return t, 0, fmt.Errorf("index has no trailer %q", end)
	}
	tail := b[len(b)-t.size():]
	if sealed {
		t.salt, tail = [seal.SaltSize]byte(tail), tail[seal.SaltSize:]
	}
	n, size := binary.LittleEndian.Uint32(tail), binary.LittleEndian.Uint32(tail[4:])
	if int64(size) != int64(len(b)) || int64(n)*entrySize+int64(t.size()) != int64(len(b)) {
		return t, 0, fmt.Errorf("index of %d bytes says it holds %d frames in %d bytes", len(b), n, size)
	}
	return t, int64(n), nil
}

// decodeIndex reads the index of an object of the given size. It accepts only
// what encode writes, and only frames that fill the object exactly.
func decodeIndex(b []byte, objectSize int64, sealed bool) (index, trailer, error) {
	t, n, err := decodeTrailer(b, sealed)
	if err != nil {
		return nil, t, err
	}
	x := make(index, 0, n)
	for e := range slices.Chunk(b[:len(b)-t.size()], entrySize) {
		f := entry{
			plain:  binary.LittleEndian.Uint32(e),
			stored: binary.LittleEndian.Uint32(e[4:]),
			codec:  Codec(e[8]),
			hash:   hash(e[9:]),
		}
		if err := f.validate(t.overhead()); err != nil {
			return nil, t, fmt.Errorf("frame %d: %w", len(x), err)
		}
		x = x.add(f)
	}
	if end := x.framesEnd() + int64(len(b)); end != objectSize {
		return nil, t, fmt.Errorf("frames and index make %d bytes, the object has %d", end, objectSize)
	}
	return x, t, nil
}

// validate checks a frame, of whose stored bytes so many are not what it holds.
func (f entry) validate(overhead uint32) error {
	held := f.stored - overhead
	switch {
	case f.plain == 0 || f.plain > MaxPlain:
		return fmt.Errorf("%d plain bytes, want 1 to %d", f.plain, MaxPlain)
	case f.codec < Raw || f.codec > S2:
		return fmt.Errorf("codec %d is not known", f.codec)
	case f.stored <= overhead, f.codec == Raw && held != f.plain, f.codec != Raw && held >= f.plain:
		return fmt.Errorf("%d stored bytes for %d plain ones under codec %d", f.stored, f.plain, f.codec)
	}
	return nil
}
