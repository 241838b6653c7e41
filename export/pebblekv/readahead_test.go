package pebblekv

import (
	"bytes"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// readsFS counts reads of files.
type readsFS struct {
	vfs.FS
	reads atomic.Int64
}

type readsFile struct {
	vfs.File
	reads *atomic.Int64
}

func (fs *readsFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.Open(name, opts...)
	return readsFile{f, &fs.reads}, err
}

func (f readsFile) ReadAt(p []byte, off int64) (int, error) {
	f.reads.Add(1)
	return f.File.ReadAt(p, off)
}

// aheadBed is files of random bytes, read ahead.
func aheadBed(t *testing.T, files, size int) (*aheadFS, *readsFS, []vfs.File, [][]byte) {
	counting := &readsFS{FS: vfs.NewMem()}
	fs := &aheadFS{FS: counting}
	rng := rand.New(rand.NewPCG(1, 1))
	var open []vfs.File
	var want [][]byte
	for i := range files {
		data := make([]byte, size+i)
		for j := range data {
			data[j] = byte(rng.Uint32())
		}
		name := string(rune('a'+i%26)) + string(rune('a'+i/26)) + ".sst"
		f, err := counting.Create(name, vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		_, err = f.Write(bytes.Clone(data)) // which may scramble it
		require.NoError(t, err)
		require.NoError(t, f.Close())
		f, err = fs.Open(name)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, f.Close()) })
		open, want = append(open, f), append(want, data)
	}
	return fs, counting, open, want
}

func TestReadAheadOfAScan(t *testing.T) {
	t.Parallel()
	_, counting, files, want := aheadBed(t, 1, 1<<20)
	var got []byte
	for off := 0; off < len(want[0]); off += 4096 {
		p := make([]byte, min(4096, len(want[0])-off))
		_, err := files[0].ReadAt(p, int64(off))
		require.NoError(t, err)
		got = append(got, p...)
	}
	require.True(t, bytes.Equal(want[0], got))
	require.LessOrEqual(t, counting.reads.Load(), int64(1<<20/aheadBytes+aheadRun+1))
}

func TestReadAheadLeavesScatteredReadsAlone(t *testing.T) {
	t.Parallel()
	fs, counting, files, want := aheadBed(t, 1, 4<<20)
	p := make([]byte, 4096)
	for i := range 50 {
		off := i * 2 * aheadGap
		_, err := files[0].ReadAt(p, int64(off))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want[0][off:off+len(p)], p))
	}
	require.Equal(t, int64(50), counting.reads.Load())
	require.Empty(t, fs.buffers)
}

// TestReadAheadBySeveral has more files read than there are buffers, each by several
// cursors at once, onward and back, and beyond the end.
func TestReadAheadBySeveral(t *testing.T) {
	t.Parallel()
	fs, _, files, want := aheadBed(t, 2*aheadBuffers, 300<<10)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 2))
			at := make([]int, len(files))
			for range 20_000 {
				if t.Failed() {
					return
				}
				i := rng.IntN(len(files))
				if at[i] >= len(want[i]) || rng.IntN(200) == 0 {
					at[i] = rng.IntN(len(want[i]))
				}
				p := make([]byte, 1+rng.IntN(9000))
				n, err := files[i].ReadAt(p, int64(at[i]))
				rest := want[i][at[i]:]
				if len(rest) < len(p) {
					if err != io.EOF || !bytes.Equal(rest, p[:n]) {
						t.Errorf("the end of file %d: %d bytes, %v", i, n, err)
					}
				} else if err != nil || !bytes.Equal(rest[:len(p)], p) {
					t.Errorf("file %d at %d: %v", i, at[i], err)
				}
				at[i] += len(p) + rng.IntN(3)*1000
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, len(fs.buffers), aheadBuffers)
}
