package staging

import (
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/varvekv/varve/export"
)

// Spans that are cleared lose what the database has in them to the tables of the load:
// each of these deletes all keys and range keys of its own share of the span. What an
// ingest brings has one sequence number, and a deletion covers smaller ones alone: it
// spares what stands beside it in its table.

// clears reports whether tables delete what a database has in span.
func (s *Area) clears(span export.Span) bool {
	return slices.ContainsFunc(s.cleared, func(c export.Span) bool { return c.Overlaps(s.order, span) })
}

// clearTable adds deletions of all that is in [start, end). Range keys must come later.
func clearTable(w *sstable.Writer, start, end []byte) error {
	if start == nil {
		start = []byte{}
	}
	if err := w.DeleteRange(start, end); err != nil {
		return err
	}
	return w.RangeKeyDelete(start, end)
}

// clearGaps writes tables to a folder that clear what no loader had a part of, or had
// nothing for. The caller holds the lock.
func (s *Area) clearGaps(dir string) (paths []string, err error) {
	gaps := s.gaps()
	for i, gap := range gaps {
		path := s.fs.PathJoin(dir, fmt.Sprintf("clear-%d.sst", i))
		if err := s.writeClearing(path, gap); err != nil {
			return nil, fmt.Errorf("clear %s: %w", gap, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// gaps are the parts of cleared spans of which there are no tables.
func (s *Area) gaps() []export.Span {
	cmp := s.order.WithDefaults().Compare
	var out []export.Span
	for _, c := range s.cleared {
		from := c.Start
		for _, l := range s.claims[loaded] {
			if len(l.tables) == 0 || !l.span.Overlaps(s.order, c) {
				continue
			}
			if cmp(from, l.span.Start) < 0 {
				out = append(out, export.Span{Start: from, End: l.span.Start})
			}
			from = l.span.End
		}
		if cmp(from, c.End) < 0 {
			out = append(out, export.Span{Start: from, End: c.End})
		}
	}
	return out
}

func (s *Area) writeClearing(path string, span export.Span) error {
	file, err := s.createAt(path)
	if err != nil {
		return err
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(file), s.pebble.MakeWriterOptions(bottom, s.format))
	if err := clearTable(w, span.Start, span.End); err != nil {
		_ = w.Raw().Close() // the file goes with the folder
		return err
	}
	return w.Close()
}
