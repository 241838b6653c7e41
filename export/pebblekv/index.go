package pebblekv

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/sstable/rowblk"
)

// maxIndexBlock bounds what is allocated for an index block by what its table
// says of itself.
const maxIndexBlock = 1 << 30

// indexIterator is what row and columnar index blocks have in common.
type indexIterator interface {
	Init(c *pebble.Comparer, data []byte, t block.IterTransforms) error
	First() bool
	Next() bool
	Separator() []byte
	BlockHandleWithProperties() (block.HandleWithProperties, error)
}

// eachBlock calls visit for the data blocks of a table in order, with a key that
// is at or after the block's last one, before the next one's first, and valid
// during the call; and with the block's stored size. It reads the index alone.
func eachBlock(ctx context.Context, r *sstable.Reader, visit func(separator []byte, stored uint64)) error {
	layout, err := r.Layout()
	if err != nil {
		return err
	}
	for _, h := range layout.Index {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := readBlock(ctx, r, h)
		if err != nil {
			return err
		}
		var it indexIterator = &rowblk.IndexIter{}
		if layout.Format.BlockColumnar() {
			it = &colblk.IndexIter{}
		}
		if err := it.Init(r.Comparer, data, block.NoTransforms); err != nil {
			return err
		}
		for ok := it.First(); ok; ok = it.Next() {
			bh, err := it.BlockHandleWithProperties()
			if err != nil {
				return err
			}
			visit(it.Separator(), bh.Length)
		}
	}
	return nil
}

// readBlock reads, checks and decompresses one block.
func readBlock(ctx context.Context, r *sstable.Reader, h block.Handle) ([]byte, error) {
	size := uint64(r.BlockReader().Readable().Size())
	if h.Offset > size || h.Length > size-h.Offset || h.Length > maxIndexBlock {
		return nil, fmt.Errorf("index block %s lies outside of its table", h)
	}
	raw := make([]byte, h.Length+block.TrailerLen)
	if err := r.BlockReader().Readable().ReadAt(ctx, raw, int64(h.Offset)); err != nil {
		return nil, err
	}
	if err := block.ValidateChecksum(r.BlockReader().ChecksumType(), raw, h); err != nil {
		return nil, err
	}
	stored, codec := raw[:h.Length], block.CompressionIndicator(raw[h.Length])
	if codec == block.NoCompressionIndicator {
		return stored, nil
	}
	n, err := block.DecompressedLen(codec, stored)
	if err != nil {
		return nil, err
	}
	if n < 0 || n > maxIndexBlock {
		return nil, errors.New("index block is too large")
	}
	plain := make([]byte, n)
	return plain, block.DecompressInto(codec, stored, plain)
}
