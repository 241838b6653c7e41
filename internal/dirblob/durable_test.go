package dirblob_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/varvekv/varve/internal/dirblob"
)

// platter is what a disk would hold after the power fails: of a folder the names
// that were there when it was last synced, of a file the bytes. It fails the test
// where a name becomes durable before its bytes.
type platter struct {
	t     *testing.T
	base  string // exists, durably
	fail  func(name string) error
	mu    sync.Mutex
	log   []string            // what was synced, in order, relative to base
	names map[string][]string // by folder
	bytes []syncedFile
}

type syncedFile struct {
	info    fs.FileInfo
	content string
}

func newPlatter(t *testing.T) *platter {
	if runtime.GOOS == "windows" {
		t.Skip("folders are not synced there")
	}
	return &platter{t: t, base: t.TempDir(), names: map[string][]string{}, fail: func(string) error { return nil }}
}

func (p *platter) open(dir string) *blob.Bucket {
	return openBucket(p.t, filepath.Join(p.base, dir), &dirblob.Options{Sync: p.sync})
}

func (p *platter) sync(f *os.File) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	path := filepath.Clean(f.Name())
	name, err := filepath.Rel(p.base, path)
	require.NoError(p.t, err)
	if strings.Contains(name, ".varve-tmp/") {
		name = filepath.Join(filepath.Dir(name), "*")
	}
	if err := p.fail(name); err != nil {
		return err
	}
	p.log = append(p.log, name)
	info, err := f.Stat()
	require.NoError(p.t, err)
	if !info.IsDir() {
		content, err := os.ReadFile(path)
		require.NoError(p.t, err)
		p.bytes = append(p.bytes, syncedFile{info, string(content)})
		return nil
	}
	p.names[path] = nil
	entries, err := os.ReadDir(path)
	require.NoError(p.t, err)
	for _, e := range entries {
		p.names[path] = append(p.names[path], e.Name())
		if e.Type().IsRegular() {
			_, ok := p.content(filepath.Join(path, e.Name()))
			require.True(p.t, ok, "name before bytes: %s", filepath.Join(path, e.Name()))
		}
	}
	return nil
}

func (p *platter) content(path string) (string, bool) {
	info, err := os.Stat(path)
	require.NoError(p.t, err)
	for _, f := range slices.Backward(p.bytes) {
		if os.SameFile(f.info, info) {
			return f.content, true
		}
	}
	return "", false
}

// survives tells whether the path can be reached after a power failure.
func (p *platter) survives(path string) bool {
	folder := p.base
	for name := range strings.SplitSeq(path, "/") {
		if !slices.Contains(p.names[folder], name) {
			return false
		}
		folder = filepath.Join(folder, name)
	}
	return true
}

func (p *platter) requireDurable(path, body string) {
	p.t.Helper()
	require.True(p.t, p.survives(path), "%s is lost; synced: %q", path, p.log)
	content, ok := p.content(filepath.Join(p.base, path))
	require.True(p.t, ok)
	require.Equal(p.t, body, content)
}

func TestWritesAreDurable(t *testing.T) {
	t.Parallel()
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			p := newPlatter(t)
			b := p.open("new/bucket")
			for _, key := range []string{"a", "x/y/z/b", "x/y/z/c", "x/d", "x/y/e", "v/f", "g"} {
				require.NoError(t, write(t.Context(), b, key, "body of "+key))
				p.requireDurable("new/bucket/"+key, "body of "+key)
			}
			require.NoError(t, b.Copy(t.Context(), "copy/of/a", "a", nil))
			p.requireDurable("new/bucket/copy/of/a", "body of a")
			require.NoError(t, upload(t.Context(), b, "a", "new body"))
			p.requireDurable("new/bucket/a", "new body")
		})
	}
}

func TestSyncsInOrder(t *testing.T) {
	t.Parallel()
	p := newPlatter(t)
	b := p.open("new/bucket")
	synced := func() []string {
		log := p.log
		p.log = nil
		return log
	}

	require.NoError(t, create(t.Context(), b, "x/y/a", "1"))
	require.Equal(t, []string{
		"..", ".", "new", // the directory and what it is in
		"new/bucket/.varve-tmp/*",    // the bytes
		"new/bucket", "new/bucket/x", // x before y is made in it, y before the object
		"new/bucket/x/y", // the object
		"new/bucket/x",   // y, if another process made it anew meanwhile
	}, synced())

	require.NoError(t, create(t.Context(), b, "x/y/b", "1"))
	require.Equal(t, []string{"new/bucket/.varve-tmp/*", "new/bucket/x/y", "new/bucket/x"}, synced())

	require.NoError(t, b.Delete(t.Context(), "x/y/a"))
	require.Equal(t, []string{"new/bucket/x/y"}, synced())
	require.NoError(t, b.Delete(t.Context(), "x/y/b"))
	require.Equal(t, []string{"new/bucket"}, synced(), "x and y are gone")
	require.False(t, p.survives("new/bucket/x"))
}

// What another process made a moment ago, and has not yet synced, is not durable
// because it is there.
func TestFoldersOfOthers(t *testing.T) {
	t.Parallel()
	p := newPlatter(t)
	require.NoError(t, os.Mkdir(filepath.Join(p.base, "bucket"), 0o777))
	b := p.open("bucket")
	require.NoError(t, create(t.Context(), b, "a", "1"))
	p.requireDurable("bucket/a", "1")

	require.NoError(t, os.Mkdir(filepath.Join(p.base, "bucket", "x"), 0o777))
	require.NoError(t, create(t.Context(), b, "x/a", "1"))
	p.requireDurable("bucket/x/a", "1")

	require.NoError(t, os.Mkdir(filepath.Join(p.base, "bucket", "y"), 0o777))
	require.NoError(t, create(t.Context(), b, "y/z/a", "1"))
	p.requireDurable("bucket/y/z/a", "1")
}

// Every sync of a write is failed once: the write fails with the cause, and the
// temporary file is gone. Unless the object's folders were being synced, nothing
// shows, and the write can be repeated.
func TestFailedSyncs(t *testing.T) {
	t.Parallel()
	for failing, visible := range map[string]bool{
		".":                   false,
		"bucket/.varve-tmp/*": false,
		"bucket":              false,
		"bucket/x/y":          true,
		"bucket/x":            false,
	} {
		t.Run(failing, func(t *testing.T) {
			p := newPlatter(t)
			p.fail = func(name string) error {
				if name != failing {
					return nil
				}
				return &fs.PathError{Op: "sync", Path: name, Err: syscall.ENOSPC}
			}
			b := p.open("bucket")
			err := create(t.Context(), b, "x/y/a", "1")
			require.Equal(t, gcerrors.ResourceExhausted, gcerrors.Code(err), "%v", err)
			var path *fs.PathError
			require.True(t, b.ErrorAs(err, &path))
			require.Equal(t, failing, path.Path)
			exists, err := b.Exists(t.Context(), "x/y/a")
			require.NoError(t, err)
			require.Equal(t, visible, exists)

			p.fail = func(string) error { return nil }
			require.NoError(t, upload(t.Context(), b, "x/y/a", "2"))
			p.requireDurable("bucket/x/y/a", "2")
			require.Equal(t, []string{"bucket/x/y/a"}, files(t, p.base))
		})
	}
}

// A file system without a way to sync folders can still hold a bucket.
func TestFoldersThatCannotBeSynced(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{syscall.EINVAL, errors.ErrUnsupported} {
		p := newPlatter(t)
		p.fail = func(name string) error {
			if strings.HasSuffix(name, "*") {
				return nil
			}
			return &fs.PathError{Op: "sync", Path: name, Err: cause}
		}
		require.NoError(t, create(t.Context(), p.open("bucket"), "x/y/a", "1"))
	}
}
