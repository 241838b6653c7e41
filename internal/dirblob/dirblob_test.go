package dirblob_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/varvekv/varve/internal/dirblob"
)

func openBucket(t testing.TB, dir string, opts *dirblob.Options) *blob.Bucket {
	b, err := dirblob.Open(dir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func upload(ctx context.Context, b *blob.Bucket, key, body string) error {
	return b.Upload(ctx, key, strings.NewReader(body), &blob.WriterOptions{ContentType: "text/plain"})
}

func create(ctx context.Context, b *blob.Bucket, key, body string) error {
	return b.Upload(ctx, key, strings.NewReader(body), &blob.WriterOptions{ContentType: "text/plain", IfNotExist: true})
}

// writes are the two ways to write an object.
var writes = map[string]func(ctx context.Context, b *blob.Bucket, key, body string) error{
	"upload": upload,
	"create": create,
}

// files returns the names of all files under dir, relative to it.
func files(t testing.TB, dir string) []string {
	names := []string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(name))
		return err
	}))
	return names
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there")
	b := openBucket(t, dir, nil)

	_, err := b.ReadAll(t.Context(), "a")
	require.Equal(t, gcerrors.NotFound, gcerrors.Code(err))
	require.Equal(t, gcerrors.NotFound, gcerrors.Code(b.Delete(t.Context(), "a")))
	_, err = b.List(nil).Next(t.Context())
	require.Equal(t, io.EOF, err)
	require.NoDirExists(t, filepath.Dir(dir), "reading makes nothing")

	require.NoError(t, upload(t.Context(), b, "x/a", "1"))
	require.Equal(t, []string{"x/a"}, files(t, dir))

	_, err = dirblob.Open(filepath.Join(dir, "x", "a"), nil)
	require.ErrorContains(t, err, "not a directory")
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := openBucket(t, dir, nil)
	require.NoError(t, upload(t.Context(), b, "folder/a", "12345"))

	a, err := b.Attributes(t.Context(), "folder/a")
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(dir, "folder", "a"))
	require.NoError(t, err)
	require.EqualValues(t, 5, a.Size)
	require.Equal(t, info.ModTime(), a.ModTime)
	require.Regexp(t, `^".+"$`, a.ETag)

	for _, key := range []string{"none", "folder", "folder/", "folder/a/b", "..", "/folder/a", "folder//a"} {
		_, err := b.Attributes(t.Context(), key)
		require.Equal(t, gcerrors.NotFound, gcerrors.Code(err), "%q: %v", key, err)
		require.ErrorContains(t, err, key)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "bucket")
	b := openBucket(t, dir, nil)
	require.NoError(t, upload(t.Context(), b, "object", "1"))
	require.NoError(t, upload(t.Context(), b, "folder/a", "1"))
	before := files(t, filepath.Dir(dir))

	for _, key := range []string{
		"", ".", "..", "../a", "a/../b", "a/./b", "/a", "a//b", "a/", "a\x00b",
		".varve-tmp", ".varve-tmp/a", "a/.varve-x", "a/.VARVE-tmp/b", strings.Repeat("x", 300),
		"folder", "object/a", "object/a/b",
	} {
		for name, write := range writes {
			err := write(t.Context(), b, key, "2")
			require.Equal(t, gcerrors.InvalidArgument, gcerrors.Code(err), "%s %q: %v", name, key, err)
		}
		want := gcerrors.NotFound
		if len(key) == 300 {
			want = gcerrors.InvalidArgument
		}
		_, err := b.ReadAll(t.Context(), key)
		require.Equal(t, want, gcerrors.Code(err), "read %q: %v", key, err)
		require.Equal(t, want, gcerrors.Code(b.Delete(t.Context(), key)), "delete %q", key)
	}
	require.Equal(t, before, files(t, filepath.Dir(dir)))
}

func TestSymbolicLinks(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o666))
	if err := os.Symlink(outside, filepath.Join(dir, "folder")); err != nil {
		t.Skip(err)
	}
	require.NoError(t, os.Symlink(secret, filepath.Join(dir, "file")))
	b := openBucket(t, dir, nil)

	for _, key := range []string{"file", "folder/secret"} {
		_, err := b.ReadAll(t.Context(), key)
		require.Error(t, err, key)
		require.Error(t, b.Delete(t.Context(), key), key)
		require.Error(t, create(t.Context(), b, key, "mine"), key)
	}
	require.Error(t, upload(t.Context(), b, "folder/new", "mine"))
	require.NoError(t, upload(t.Context(), b, "file", "mine"), "replaces the link, not what it leads to")
	require.Equal(t, []string{"secret"}, files(t, outside))
	read, err := os.ReadFile(secret)
	require.NoError(t, err)
	require.Equal(t, "secret", string(read))
	require.Equal(t, []string{"file"}, list(t, b, blob.ListOptions{}, 10))
}

func TestCreateOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := openBucket(t, dir, nil)
	require.NoError(t, create(t.Context(), b, "x/a", "first"))
	require.Equal(t, gcerrors.FailedPrecondition, gcerrors.Code(create(t.Context(), b, "x/a", "second")))
	read, err := b.ReadAll(t.Context(), "x/a")
	require.NoError(t, err)
	require.Equal(t, "first", string(read))
	require.Equal(t, []string{"x/a"}, files(t, dir))
}

func TestCancelledWrite(t *testing.T) {
	t.Parallel()
	for name, cancelAt := range map[string]func(w *blob.Writer, cancel func()) error{
		"before bytes": func(_ *blob.Writer, cancel func()) error { cancel(); return nil },
		"after bytes": func(w *blob.Writer, cancel func()) error {
			_, err := w.Write([]byte("bytes"))
			cancel()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := openBucket(t, dir, nil)
			ctx, cancel := context.WithCancel(t.Context())
			w, err := b.NewWriter(ctx, "x/y/a", &blob.WriterOptions{ContentType: "text/plain"})
			require.NoError(t, err)
			require.NoError(t, cancelAt(w, cancel))
			_, err = w.Write([]byte("more"))
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, w.Close(), context.Canceled)
			require.Empty(t, files(t, dir))
			require.NoDirExists(t, filepath.Join(dir, "x"))
		})
	}
}

func TestCancelledBeforeWrite(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "bucket")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, create(ctx, openBucket(t, dir, nil), "a", "1"), context.Canceled)
	require.NoDirExists(t, dir)
}

func TestCancelledDuringSync(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	b := openBucket(t, dir, &dirblob.Options{Sync: func(f *os.File) error {
		if filepath.Base(filepath.Dir(f.Name())) == ".varve-tmp" {
			cancel()
		}
		return f.Sync()
	}})
	require.ErrorIs(t, upload(ctx, b, "x/a", "1"), context.Canceled)
	require.Empty(t, files(t, dir))
}

func TestFailedUploadStoresNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := openBucket(t, dir, nil)
	torn := &fs.PathError{Op: "write", Path: "a", Err: syscall.ENOSPC}
	r := io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), iotest.ErrReader(torn))
	err := b.Upload(t.Context(), "a", r, &blob.WriterOptions{ContentType: "text/plain"})
	require.ErrorIs(t, err, torn)
	require.Equal(t, gcerrors.ResourceExhausted, gcerrors.Code(err))
	require.Empty(t, files(t, dir))
}

func TestRangeReader(t *testing.T) {
	t.Parallel()
	b := openBucket(t, t.TempDir(), nil)
	require.NoError(t, upload(t.Context(), b, "a", "0123456789"))
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, -1, "0123456789"}, {3, 4, "3456"}, {8, 10, "89"}, {10, -1, ""}, {20, 5, ""}, {4, 0, ""}} {
		r, err := b.NewRangeReader(t.Context(), "a", c.offset, c.length, nil)
		require.NoError(t, err)
		read, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, c.want, string(read))
		require.EqualValues(t, 10, r.Size())
		require.NoError(t, r.Close())
	}

	ctx, cancel := context.WithCancel(t.Context())
	r, err := b.NewReader(ctx, "a", nil)
	require.NoError(t, err)
	cancel()
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.Close())
}

func TestDeleteRemovesEmptyFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := openBucket(t, dir, nil)
	require.NoError(t, upload(t.Context(), b, "x/y/z/a", "1"))
	require.NoError(t, upload(t.Context(), b, "x/b", "1"))
	require.NoError(t, b.Delete(t.Context(), "x/y/z/a"))
	require.NoDirExists(t, filepath.Join(dir, "x", "y"))
	require.FileExists(t, filepath.Join(dir, "x", "b"))
	require.NoError(t, b.Delete(t.Context(), "x/b"))
	require.NoDirExists(t, filepath.Join(dir, "x"))
	require.DirExists(t, dir)
}

// Writers and deleters that make and remove the same folders never disturb one
// another.
func TestFoldersComeAndGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	noSync := &dirblob.Options{Sync: func(*os.File) error { return nil }}
	var running sync.WaitGroup
	failures := make(chan error, 4)
	for _, key := range []string{"x/y/a", "x/y/b", "x/c", "x/y/z/d"} {
		b := openBucket(t, dir, noSync)
		running.Go(func() {
			var err error
			for i := 0; i < 150 && err == nil; i++ {
				if err = create(t.Context(), b, key, key); err == nil {
					err = b.Delete(t.Context(), key)
				}
			}
			failures <- err
		})
	}
	running.Wait()
	for range cap(failures) {
		require.NoError(t, <-failures)
	}
	require.NoDirExists(t, filepath.Join(dir, "x"))
}

func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("permission bits do not bind this user")
	}
	dir := t.TempDir()
	b := openBucket(t, dir, nil)
	require.NoError(t, upload(t.Context(), b, "x/a", "1"))
	for _, folder := range []string{dir, filepath.Join(dir, "x"), filepath.Join(dir, ".varve-tmp")} {
		require.NoError(t, os.Chmod(folder, 0o555))
		t.Cleanup(func() { require.NoError(t, os.Chmod(folder, 0o755)) })
	}
	for _, key := range []string{"x/b", "b", "y/b"} {
		require.Equal(t, gcerrors.PermissionDenied, gcerrors.Code(create(t.Context(), b, key, "1")), key)
	}
	require.Equal(t, gcerrors.PermissionDenied, gcerrors.Code(b.Delete(t.Context(), "x/a")))
	read, err := b.ReadAll(t.Context(), "x/a")
	require.NoError(t, err)
	require.Equal(t, "1", string(read))

	absent := openBucket(t, filepath.Join(dir, "new"), nil)
	require.Equal(t, gcerrors.PermissionDenied, gcerrors.Code(create(t.Context(), absent, "a", "1")))
}

// A directory in a place that may not be read is as good as any.
func TestUnreadableParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("permission bits do not bind this user")
	}
	parent := t.TempDir()
	dir := filepath.Join(parent, "bucket")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.Chmod(parent, 0o311))
	t.Cleanup(func() { require.NoError(t, os.Chmod(parent, 0o755)) })
	require.NoError(t, create(t.Context(), openBucket(t, dir, nil), "a", "1"))
	require.Error(t, create(t.Context(), openBucket(t, filepath.Join(parent, "new"), nil), "a", "1"),
		"a directory that is made must be made durable")
}
