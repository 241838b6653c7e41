package pebblekv

import (
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Blocks of a table are 4 KiB by default, and Pebble reads each with a system call of its
// own. Where a file is read onward, as a scan does it and a search for many keys that
// ascend, those that follow are read with it.
const (
	aheadBytes   = 128 << 10
	aheadGap     = 32 << 10 // between two reads, as long as what lies there costs less than a call
	aheadRun     = 4        // reads onward after which more are expected
	aheadBuffers = 32       // of one checkpoint: about two for each level of two cursors
)

// aheadFS reads tables ahead. It holds no more than aheadBuffers buffers, and those of
// files that were read last.
type aheadFS struct {
	vfs.FS
	mu      sync.Mutex
	buffers []*aheadBuffer // the one that was filled longest ago first
}

// readAhead makes a checkpoint be read that way, and not Pebble's, which asks the
// system to read ahead and still fetches single blocks.
func readAhead(o *pebble.Options) {
	o.FS = &aheadFS{FS: o.FS}
	config := objstorageprovider.NewReadaheadConfig()
	config.Set(objstorageprovider.NoReadahead, objstorageprovider.NoReadahead)
	o.Local.ReadaheadConfig = config
}

// Open implements vfs.FS.
func (fs *aheadFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.Open(name, opts...)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return &aheadFile{File: f, fs: fs}, nil
}

// take is the buffer that was filled longest ago.
func (fs *aheadFS) take() *aheadBuffer {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.buffers) < aheadBuffers {
		fs.buffers = append(fs.buffers, new(aheadBuffer))
	} else {
		fs.buffers = append(fs.buffers[1:], fs.buffers[0])
	}
	return fs.buffers[len(fs.buffers)-1]
}

// aheadBuffer holds a part of a file that never changes.
type aheadBuffer struct {
	mu   sync.Mutex
	of   *aheadFile
	off  int64
	data []byte
}

// aheadFile is a table. It is safe for concurrent use.
type aheadFile struct {
	vfs.File
	fs *aheadFS

	mu   sync.Mutex
	held *aheadBuffer // which may have gone to another file
	end  int64        // of the last read
	run  int          // reads in a row that went onward
}

// ReadAt implements io.ReaderAt.
func (f *aheadFile) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	held := f.held
	if gap := off - f.end; gap >= 0 && gap <= aheadGap {
		f.run++
	} else {
		f.run = 0
	}
	f.end = off + int64(len(p))
	onward := f.run >= aheadRun && len(p) < aheadBytes
	f.mu.Unlock()
	if held.read(f, p, off) {
		return len(p), nil
	}
	if !onward {
		return f.File.ReadAt(p, off)
	}
	return f.fill(p, off)
}

// fill reads p and what follows it.
func (f *aheadFile) fill(p []byte, off int64) (int, error) {
	b := f.fs.take()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.data == nil {
		b.data = make([]byte, aheadBytes)
	}
	b.of = nil
	n, err := f.File.ReadAt(b.data[:aheadBytes], off)
	if n < len(p) {
		return copy(p, b.data[:n]), err
	}
	b.of, b.off, b.data = f, off, b.data[:n]
	f.mu.Lock()
	f.held = b
	f.mu.Unlock()
	return copy(p, b.data), nil
}

// read copies from the buffer, if it holds all that is wanted of the file.
func (b *aheadBuffer) read(f *aheadFile, p []byte, off int64) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of != f || off < b.off || off+int64(len(p)) > b.off+int64(len(b.data)) {
		return false
	}
	copy(p, b.data[off-b.off:])
	return true
}
