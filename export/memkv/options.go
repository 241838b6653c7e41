package memkv

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/varvekv/varve/export"
)

// Options are the choices of a store. nil is all defaults.
type Options struct {
	// Order is the order of the keys. nil: bytewise.
	Order *export.Order
	// SingleRevision keeps only the newest state, as most engines do.
	SingleRevision bool
	// Locks is what Info.Locks says. Without it Lock has no effect on exports.
	Locks bool
	// PartitionBytes is the size that partitions aim at. 0: 1 MiB.
	PartitionBytes int64
	// Objects are a catalog that stands still: its objects are there at every moment, and
	// PutObjects and DropObjects are refused. None: a catalog that these change.
	Objects []export.Object
	// Regions are what Info.Regions says.
	Regions []string
	// Lineage is the lineage that the store begins with. "": random.
	Lineage string
	// Now is the wall clock. nil: time.Now.
	Now func() time.Time
	// Rand is where a random lineage comes from. nil: crypto/rand.
	Rand io.Reader
}

func (o *Options) withDefaults() Options {
	full := Options{}
	if o != nil {
		full = *o
	}
	full.Order = full.Order.WithDefaults()
	if full.PartitionBytes == 0 {
		full.PartitionBytes = 1 << 20
	}
	if full.Now == nil {
		full.Now = time.Now
	}
	if full.Rand == nil {
		full.Rand = rand.Reader
	}
	return full
}

func (o *Options) validate() error {
	if o.PartitionBytes < 0 {
		return fmt.Errorf("memkv options: PartitionBytes %d is negative", o.PartitionBytes)
	}
	return nil
}

// drawLineage is 16 random bytes in hex.
func (o *Options) drawLineage() (string, error) {
	var id [16]byte
	if _, err := io.ReadFull(o.Rand, id[:]); err != nil {
		return "", fmt.Errorf("memkv options: draw lineage: %w", err)
	}
	return hex.EncodeToString(id[:]), nil
}
