package mvcckv

import (
	"context"

	"github.com/varvekv/varve/export"
)

// Shake flushes and compacts everything.
func (s *Store) Shake(ctx context.Context) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	return s.db.Compact(ctx, bareKey(nil), bareKey([]byte{0xff, 0xff, 0xff, 0xff}), false)
}

// Flush moves the memtable into tables.
func (s *Store) Flush(ctx context.Context) error { return s.flush(ctx) }

// BlockBytes are those of the blocks that a cursor has read.
func BlockBytes(c export.Cursor) uint64 {
	if told, ok := c.(*changes); ok {
		return BlockBytes(told.cursor) + told.before.Stats().InternalStats.BlockBytes
	}
	return c.(*cursor).it.Stats().InternalStats.BlockBytes
}
