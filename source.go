package varve

import (
	"context"
	"errors"
	"slices"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// source reads the state of a piece of the keyspace out of a chain's files.
type source struct {
	*merge.Cursor
	readers []*sink.Reader
}

// openSource opens the files of p, merged by level and clipped to span.
func openSource(ctx context.Context, bucket *objectio.Bucket, p piece, order *export.Order, span Span) (_ *source, err error) {
	s := new(source)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeReaders())
		}
	}()
	var levels []merge.Level
	for _, files := range byLevel(p.files, order) {
		l, err := s.level(ctx, bucket, files, span)
		if err != nil {
			return nil, err
		}
		levels = append(levels, l)
	}
	s.Cursor = merge.New(levels, merge.Options{Order: order, Span: span})
	return s, nil
}

// byLevel groups files by level, the lowest first, and orders each group by span.
func byLevel(files []leveledFile, order *export.Order) [][]leveledFile {
	sorted := slices.Clone(files)
	cmp := order.WithDefaults().Compare
	slices.SortStableFunc(sorted, func(a, b leveledFile) int {
		if a.level != b.level {
			return a.level - b.level
		}
		return cmp(a.Span.Start, b.Span.Start)
	})
	var out [][]leveledFile
	for i, f := range sorted {
		if i == 0 || f.level != sorted[i-1].level {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], f)
	}
	return out
}

// level opens the files of one level. Their ranges are read now, their points when
// the merge comes to them.
func (s *source) level(ctx context.Context, bucket *objectio.Bucket, files []leveledFile, span Span) (merge.Level, error) {
	var l merge.Level
	var points []func() (export.Cursor, error)
	for _, f := range files {
		r, err := sink.Open(ctx, bucket, f.form, f.File)
		if err != nil {
			return l, err
		}
		s.readers = append(s.readers, r)
		// A file speaks for its span only: a later reference may have narrowed it.
		part, ok := f.Span.Intersect(f.form.Order, span)
		if !ok {
			continue
		}
		ranges, err := r.Ranges(ctx, part)
		if err != nil {
			return l, err
		}
		l.Ranges = append(l.Ranges, ranges...)
		points = append(points, func() (export.Cursor, error) { return r.Points(ctx, part) })
	}
	l.Points = merge.Sequence(points...)
	return l, nil
}

func (s *source) closeReaders() error {
	var err error
	for _, r := range s.readers {
		err = errors.Join(err, r.Close())
	}
	s.readers = nil
	return err
}

// Close closes the merge and then its files.
func (s *source) Close() error { return errors.Join(s.Cursor.Close(), s.closeReaders()) }
