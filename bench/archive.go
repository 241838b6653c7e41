package main

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// archive is a checkpoint of a Pebble database in one tar file, compressed by zstd at
// its fastest level. Each backup is whole.
type archive struct{}

func (archive) name() string   { return "tar + zstd" }
func (archive) engine() engine { return pebbles{} }

func archiveFile(j *job) string { return filepath.Join(j.backups, "checkpoint.tar.zst") }

func (archive) full(_ context.Context, j *job) error {
	checkpoint := filepath.Join(j.scratch, "checkpoint")
	if err := j.checkpoint(checkpoint); err != nil {
		return err
	}
	j.synced = byBench
	return writeSynced(archiveFile(j), func(w io.Writer) error {
		compressed, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			return err
		}
		t := tar.NewWriter(compressed)
		return errors.Join(t.AddFS(os.DirFS(checkpoint)), t.Close(), compressed.Close())
	})
}

func (archive) incremental(context.Context, *job) error { return errors.ErrUnsupported }

func (archive) restore(_ context.Context, j *job) (err error) {
	f, err := os.Open(archiveFile(j))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	plain, err := zstd.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return err
	}
	defer plain.Close()
	j.synced = byBench
	if err := os.MkdirAll(j.to, 0o755); err != nil {
		return err
	}
	return errors.Join(unpack(tar.NewReader(plain), j.to), syncFolder(j.to))
}

// unpack writes the files of an archive that has no folders but the root.
func unpack(t *tar.Reader, dir string) error {
	for {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeDir {
			continue
		}
		if !fs.ValidPath(header.Name) || header.Typeflag != tar.TypeReg {
			return fmt.Errorf("unpack %q: not a plain file", header.Name)
		}
		err = writeSynced(filepath.Join(dir, header.Name), func(w io.Writer) error {
			_, err := io.Copy(w, t)
			return err
		})
		if err != nil {
			return err
		}
	}
}
