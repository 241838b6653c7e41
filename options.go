package varve

import (
	"cmp"
	"fmt"
	"runtime"

	"github.com/varvekv/varve/internal/frame"
)

// Compression says how what is stored is compressed.
type Compression int

const (
	// CompressZstd is zstd at its fastest level; data that does not shrink is stored
	// as it is.
	CompressZstd Compression = iota
	// CompressS2 is several times faster than zstd and shrinks less.
	CompressS2
	// CompressNone stores data as it is.
	CompressNone
)

var codecs = map[Compression]frame.Codec{CompressZstd: frame.Zstd, CompressS2: frame.S2, CompressNone: frame.Raw}

const (
	defaultTargetFileBytes = 128 << 20
	maxTargetFileBytes     = 16 << 30 // what a frame index has room for, with a margin
)

// amount is an option that is 0 for its default.
type amount struct {
	field string
	value int64
}

// notNegative refuses the first that is.
func notNegative(amounts ...amount) error {
	for _, a := range amounts {
		if a.value < 0 {
			return &OptionError{Field: a.field, Reason: "is negative"}
		}
	}
	return nil
}

// completeFiles checks how files are to be written, and fills in the defaults.
func completeFiles(compression Compression, concurrency *int, targetBytes *int64) error {
	if codecs[compression] == 0 {
		return &OptionError{Field: "Compression", Reason: fmt.Sprintf("%d is not known", compression)}
	}
	err := notNegative(amount{"Concurrency", int64(*concurrency)}, amount{"TargetFileBytes", *targetBytes})
	*concurrency = cmp.Or(*concurrency, runtime.GOMAXPROCS(0))
	*targetBytes = min(cmp.Or(*targetBytes, defaultTargetFileBytes), maxTargetFileBytes)
	return err
}
