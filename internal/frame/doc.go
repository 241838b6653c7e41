// Package frame is the envelope of a data object: a run of frames, each a piece
// of plain bytes stored raw or compressed, followed by an index that hashes every
// frame. A reader that knows the index's hash can fetch any range of the plain
// bytes and never acts on a byte that it has not checked.
//
// All numbers are little-endian:
//
//	object  = magic frame* index
//	magic   = "varve frames v1\n"
//	index   = entry* trailer
//	entry   = plain length (4) ‖ stored length (4) ‖ codec (1) ‖ hash (16)
//	trailer = number of entries (4) ‖ length of the index with its trailer (4) ‖ "varveidx"
//
// Frames lie one behind the other from byte 16 on, so that their offsets are the
// sums of the lengths before them. The hash is the first 16 bytes of the BLAKE3
// of the stored frame. A frame holds at most [MaxPlain] plain bytes; one that a
// codec does not shrink is stored raw.
//
// In a sealed object each frame, compressed or not, is sealed under the object's own key
// with its number, which makes it [seal.Overhead] bytes longer; hashes are of what is
// stored. It differs in its magic and in its trailer, before which the salt of the key
// stands:
//
//	magic   = "varve sealed v1\n"
//	trailer = salt (32) ‖ number of entries (4) ‖ length of the index with its trailer (4) ‖ "varvekey"
package frame

const (
	magic              = "varve frames v1\n"
	trailerMagic       = "varveidx"
	sealedMagic        = "varve sealed v1\n"
	sealedTrailerMagic = "varvekey"

	entrySize   = 4 + 4 + 1 + hashSize
	trailerSize = 4 + 4 + len(trailerMagic)
	hashSize    = 16

	// PlainSize is how many plain bytes a writer puts into a frame.
	PlainSize = 512 << 10
	// MaxPlain is how many plain bytes a reader accepts in one, and so allocates.
	MaxPlain = 4 << 20
	// MaxIndex is the longest index that a reader accepts: 80 GB of plain bytes.
	MaxIndex = 4 << 20
)
