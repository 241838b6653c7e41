package memkv

import (
	"context"
	"fmt"
	"slices"

	"github.com/varvekv/varve/export"
)

// Partition implements [export.Snapshot]. It reads what it partitions, so that
// sizes are exact but for ranges that a cut divides.
func (s *snapshot) Partition(ctx context.Context, span export.Span, since export.Timestamp) ([]export.Partition, error) {
	in, err := s.Export(ctx, export.Request{Span: span, Since: since})
	if err != nil {
		return nil, fmt.Errorf("partition: %w", err)
	}
	defer in.Close() // it has nothing to say that Err does not
	if c, ok := in.(*cursor); ok {
		c.locks = nil // they are for who exports
	}
	db := s.store.db
	pieces := []export.Partition{{Span: span.Clone()}}
	previous := slices.Clone(span.Start)
	for in.Next() {
		e := in.Entry()
		last := &pieces[len(pieces)-1]
		cut := e.Key[:db.order.Split(e.Key)]
		if last.Bytes >= db.opts.PartitionBytes && db.order.Compare(cut, previous) > 0 {
			end := last.Span.End
			last.Span.End = slices.Clone(cut)
			pieces = append(pieces, export.Partition{Span: export.Span{Start: slices.Clone(cut), End: end}})
			last = &pieces[len(pieces)-1]
		}
		last.Bytes += e.Size()
		previous = append(previous[:0], cut...)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("partition: %w", err)
	}
	return pieces, nil
}
