package frame

import (
	"errors"
	"io"

	"github.com/zeebo/blake3"
)

// ContentHash is what tells whether plain bytes are those of an object, however that is
// compressed: BLAKE3 of the hashes of its frames, as an index has them where frames are
// stored raw. So it costs nothing to who stores them raw.
func ContentHash(plain io.Reader) (string, error) {
	h, buf := blake3.New(), make([]byte, PlainSize)
	for {
		n, err := io.ReadFull(plain, buf)
		if n > 0 {
			s := sum(buf[:n])
			if _, err := h.Write(s[:]); err != nil {
				return "", err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return formatHash([32]byte(h.Sum(nil))), nil
		case err != nil:
			return "", err
		}
	}
}
