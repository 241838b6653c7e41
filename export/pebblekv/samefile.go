package pebblekv

import (
	"bytes"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sameFile reports whether two paths lead to one file, or to files of one content.
// Tables never change once they are written, and as long as a checkpoint holds a
// link the number of its inode is not used again.
func sameFile(fs vfs.FS, a, b string) (bool, error) {
	first, err := fs.Stat(a)
	if err != nil {
		return false, err
	}
	second, err := fs.Stat(b)
	if err != nil {
		return false, err
	}
	if first.Size() != second.Size() {
		return false, nil
	}
	x, known := inode(first)
	if y, also := inode(second); known && also {
		return x == y && first.DeviceID() == second.DeviceID(), nil
	}
	return sameContent(fs, a, b)
}

// sameContent is for file systems whose files have no numbers, such as one in
// memory.
func sameContent(fs vfs.FS, a, b string) (_ bool, err error) {
	f, err := fs.Open(a, vfs.SequentialReadsOption)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	g, err := fs.Open(b, vfs.SequentialReadsOption)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	const piece = 64 << 10
	x, y := make([]byte, piece), make([]byte, piece)
	for {
		n, err := io.ReadFull(f, x)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		m, otherErr := io.ReadFull(g, y)
		if otherErr != nil && !errors.Is(otherErr, io.EOF) && !errors.Is(otherErr, io.ErrUnexpectedEOF) {
			return false, otherErr
		}
		if !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		if err != nil {
			return true, nil
		}
	}
}
