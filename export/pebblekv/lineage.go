package pebblekv

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/varvekv/varve/export/internal/durable"
)

const lineageName = "varve-lineage.json"

type lineageFile struct {
	Version int    `json:"version"`
	Lineage string `json:"lineage"`
	Former  string `json:"former,omitempty"` // the one before, whose snapshots are of no use
}

// readLineage is the lineage of the database in dir, and an error that wraps
// fs.ErrNotExist where it has none yet.
func readLineage(fsys vfs.FS, dir string) (string, error) {
	f, err := readLineageFile(fsys, dir)
	return f.Lineage, err
}

func readLineageFile(fsys vfs.FS, dir string) (lineageFile, error) {
	path := fsys.PathJoin(dir, lineageName)
	data, err := durable.ReadFile(fsys, path)
	if err != nil {
		return lineageFile{}, fmt.Errorf("read lineage: %w", err)
	}
	var f lineageFile
	if err := json.Unmarshal(data, &f); err != nil {
		return lineageFile{}, fmt.Errorf("read lineage %s: %w", path, err)
	}
	if f.Version != 1 || f.Lineage == "" {
		return lineageFile{}, fmt.Errorf("read lineage %s: version %d with lineage %q is not known", path, f.Version, f.Lineage)
	}
	return f, nil
}

// writeLineage makes lineage durable as that of the database in dir, in the place of
// former, if there was one.
func writeLineage(fsys vfs.FS, dir, lineage, former string) error {
	data, err := json.Marshal(lineageFile{Version: 1, Lineage: lineage, Former: former})
	if err != nil {
		return err
	}
	if err := durable.WriteFile(fsys, dir, lineageName, append(data, '\n')); err != nil {
		return fmt.Errorf("write lineage: %w", err)
	}
	return nil
}

// ensureLineage begins a lineage for a database that has none.
func ensureLineage(fsys vfs.FS, dir string) error {
	_, err := readLineage(fsys, dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeLineage(fsys, dir, randomHex(16), "")
}

// randomHex is n random bytes in hex.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
