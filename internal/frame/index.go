package frame

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
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

func (x index) encodedSize() int { return len(x)*entrySize + trailerSize }

func (x index) encode() []byte {
	b := make([]byte, 0, x.encodedSize())
	for _, f := range x {
		b = binary.LittleEndian.AppendUint32(b, f.plain)
		b = binary.LittleEndian.AppendUint32(b, f.stored)
		b = append(b, byte(f.codec))
		b = append(b, f.hash[:]...)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(x)))
	b = binary.LittleEndian.AppendUint32(b, uint32(x.encodedSize()))
	return append(b, trailerMagic...)
}

// decodeIndex reads the index of an object of the given size. It accepts only
// what encode writes, and only frames that fill the object exactly.
func decodeIndex(b []byte, objectSize int64) (index, error) {
	if len(b) < trailerSize || string(b[len(b)-len(trailerMagic):]) != trailerMagic {
		return nil, fmt.Errorf("index has no trailer")
	}
	trailer := b[len(b)-trailerSize:]
	n, size := binary.LittleEndian.Uint32(trailer), binary.LittleEndian.Uint32(trailer[4:])
	if int64(size) != int64(len(b)) || int64(n)*entrySize+int64(trailerSize) != int64(len(b)) {
		return nil, fmt.Errorf("index of %d bytes says it holds %d frames in %d bytes", len(b), n, size)
	}
	x := make(index, 0, n)
	for e := range slices.Chunk(b[:len(b)-trailerSize], entrySize) {
		f := entry{
			plain:  binary.LittleEndian.Uint32(e),
			stored: binary.LittleEndian.Uint32(e[4:]),
			codec:  Codec(e[8]),
			hash:   hash(e[9:]),
		}
		if err := f.validate(); err != nil {
			return nil, fmt.Errorf("frame %d: %w", len(x), err)
		}
		x = x.add(f)
	}
	if end := x.framesEnd() + int64(len(b)); end != objectSize {
		return nil, fmt.Errorf("frames and index make %d bytes, the object has %d", end, objectSize)
	}
	return x, nil
}

func (f entry) validate() error {
	switch {
	case f.plain == 0 || f.plain > MaxPlain:
		return fmt.Errorf("%d plain bytes, want 1 to %d", f.plain, MaxPlain)
	case f.codec < Raw || f.codec > S2:
		return fmt.Errorf("codec %d is not known", f.codec)
	case f.codec == Raw && f.stored != f.plain, f.codec != Raw && f.stored >= f.plain, f.stored == 0:
		return fmt.Errorf("%d stored bytes for %d plain ones under codec %d", f.stored, f.plain, f.codec)
	}
	return nil
}
