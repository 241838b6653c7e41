package frame

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/blake3"
)

// Describe is what the writer of a whole object, whose bytes these are, knew of it when it
// had finished. Only the index is looked into.
func Describe(object []byte) (Facts, error) {
	for _, sealed := range []bool{false, true} {
		begin, end := trailer{sealed: sealed}.magics()
		n := len(object) - len(end)
		if n < 4 || string(object[:min(len(begin), n)]) != begin || string(object[n:]) != end {
			continue
		}
		size := int64(binary.LittleEndian.Uint32(object[n-4:]))
		if size > int64(n) || size > MaxIndex {
			return Facts{}, fmt.Errorf("frame: index of %d bytes in an object of %d", size, len(object))
		}
		idx := object[int64(len(object))-size:]
		x, _, err := decodeIndex(idx, int64(len(object)), sealed)
		if err != nil {
			return Facts{}, fmt.Errorf("frame: %w", err)
		}
		return Facts{
			Size: int64(len(object)), Plain: x.plainSize(), Hash: formatHash(blake3.Sum256(object)),
			IndexSize: size, IndexHash: formatHash(blake3.Sum256(idx)),
		}, nil
	}
	return Facts{}, fmt.Errorf("frame: no object of frames")
}
