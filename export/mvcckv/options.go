package mvcckv

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options adjusts a [Store]. It is copied; nil means all defaults.
type Options struct {
	// Pebble tunes the database: file system, caches, level sizes, logger. Comparer,
	// key schema, block properties and format are the store's own, whatever stands
	// there; a merger is not used. nil: Pebble's defaults.
	Pebble *pebble.Options

	// Regions are what Info.Regions says.
	Regions []string

	// SnapshotMaxAge is how long a named snapshot holds history back, from its
	// timestamp on. An older one is listed still, and Collect passes over it; once it
	// did, exports of the snapshot fail with *export.BeforeGCError. 0: for ever.
	SnapshotMaxAge time.Duration

	// Now is the wall clock. It may be set back, also while the store is closed: the
	// store's timestamps go on. nil: time.Now.
	Now func() time.Time

	// Rand is where lineages and the IDs of transactions come from. nil: crypto/rand.
	Rand io.Reader
}

func (o *Options) withDefaults() (Options, error) {
	var full Options
	if o != nil {
		full = *o
	}
	if full.SnapshotMaxAge < 0 {
		return full, fmt.Errorf("mvcckv options: SnapshotMaxAge %s is negative", full.SnapshotMaxAge)
	}
	full.Pebble = versioned(full.Pebble)
	if full.Now == nil {
		full.Now = time.Now
	}
	if full.Rand == nil {
		full.Rand = rand.Reader
	}
	return full, nil
}

// versioned is a copy of o with what makes a database one of versions.
func versioned(o *pebble.Options) *pebble.Options {
	full := o.Clone()
	if full == nil {
		full = &pebble.Options{}
	}
	if full.FS == nil {
		full.FS = vfs.Default // EnsureDefaults would watch it, in a goroutine that nobody ends
	}
	full.Comparer, full.Merger = &cockroachkvs.Comparer, nil
	full.KeySchema = cockroachkvs.KeySchema.Name
	full.KeySchemas = sstable.MakeKeySchemas(&cockroachkvs.KeySchema)
	full.BlockPropertyCollectors = cockroachkvs.BlockPropertyCollectors
	full.FormatMajorVersion = formatVersion
	// Columnar blocks cannot hold the empty key, and those of rows are no slower.
	full.Experimental.EnableColumnarBlocks = func() bool { return false }
	full.EnsureDefaults()
	return full
}

// formatVersion takes columnar tables, which others may write, when they are linked. It
// is named and not the newest, so that a newer Pebble leaves the database readable for
// the one before.
const formatVersion = pebble.FormatColumnarBlocks

// drawID is 16 random bytes.
func (o *Options) drawID() (id txID, err error) {
	if _, err = io.ReadFull(o.Rand, id[:]); err != nil {
		return id, fmt.Errorf("draw an ID: %w", err)
	}
	return id, nil
}

func (id txID) String() string { return hex.EncodeToString(id[:]) }
