package pebblekv

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/durable"
)

const sidecarName = "varve-snapshot.json"

// sidecar is the file that makes a checkpoint folder a named snapshot, and says
// of which store and which layer.
type sidecar struct {
	Version   int              `json:"version"`
	Lineage   string           `json:"lineage"`
	Name      string           `json:"name"`
	Note      string           `json:"note,omitempty"`
	Timestamp export.Timestamp `json:"timestamp"`
	CreatedAt time.Time        `json:"created_at"`
	Spans     []sidecarSpan    `json:"spans,omitempty"` // what was asked for; the checkpoint holds everything
}

type sidecarSpan struct {
	Start []byte `json:"start,omitempty"`
	End   []byte `json:"end,omitempty"`
}

// errNotOurs says that a folder is no snapshot, or one of another store.
var errNotOurs = errors.New("no snapshot of this store")

func writeSidecar(fs vfs.FS, dir string, s sidecar) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(fs, dir, sidecarName, append(data, '\n'))
}

// readSidecar reads the sidecar of a folder that must be the snapshot called name
// of a store with lineage; else the error wraps errNotOurs.
func readSidecar(fs vfs.FS, dir, name, lineage string) (sidecar, error) {
	var s sidecar
	path := fs.PathJoin(dir, sidecarName)
	if _, err := fs.Stat(path); err != nil {
		return s, fmt.Errorf("%s: %w: %w", dir, errNotOurs, err)
	}
	data, err := durable.ReadFile(fs, path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s: %w: %w", path, errNotOurs, err)
	}
	switch {
	case s.Version != 1:
		return s, fmt.Errorf("%s: %w: version %d is not known", path, errNotOurs, s.Version)
	case s.Name != name:
		return s, fmt.Errorf("%s: %w: it is named %q", path, errNotOurs, s.Name)
	case s.Lineage != lineage:
		return s, fmt.Errorf("%s: %w: it has lineage %s, the store has %s", path, errNotOurs, s.Lineage, lineage)
	}
	return s, nil
}

func sidecarSpans(spans []export.Span) []sidecarSpan {
	var out []sidecarSpan
	for _, s := range spans {
		out = append(out, sidecarSpan(s))
	}
	return out
}

// checkName refuses what is not lower-case hex: names become folder names.
func checkName(name string) error {
	if name == "" || strings.Trim(name, "0123456789abcdef") != "" {
		return fmt.Errorf("name %q: want lower-case hex", name)
	}
	return nil
}

// checkOptionalName allows no name as well.
func checkOptionalName(name string) error {
	if name == "" {
		return nil
	}
	return checkName(name)
}
