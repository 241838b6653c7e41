package pebblekv_test

import (
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// countingFS counts tables that are opened in snapshots.
type countingFS struct {
	vfs.FS
	tables atomic.Int64
}

func (c *countingFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if strings.Contains(name, "varve-snapshots") && strings.HasSuffix(name, ".sst") {
		c.tables.Add(1)
	}
	return c.FS.Open(name, opts...)
}
