package varve

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/merge"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// shelf lends readers of files, so that one that feeds many pieces is opened once.
// A file is closed when the last of the pieces that the shelf was made for is done
// with it. It is safe for concurrent use.
type shelf struct {
	bucket *objectio.Bucket

	mu   sync.Mutex
	lent map[*leveledFile]*lentFile
}

type lentFile struct {
	left int // pieces that have yet to give it back

	open   sync.Once
	reader *sink.Reader
	err    error
}

func newShelf(bucket *objectio.Bucket, pieces []piece) *shelf {
	s := &shelf{bucket: bucket, lent: map[*leveledFile]*lentFile{}}
	for _, p := range pieces {
		for _, f := range p.files() {
			if s.lent[f] == nil {
				s.lent[f] = new(lentFile)
			}
			s.lent[f].left++
		}
	}
	return s
}

// files are those of which the piece has a view, each once.
func (p piece) files() []*leveledFile {
	var out []*leveledFile
	seen := map[*leveledFile]bool{}
	for _, v := range p.views {
		if !seen[v.leveledFile] {
			seen[v.leveledFile] = true
			out = append(out, v.leveledFile)
		}
	}
	return out
}

// borrow opens the file, or hands out the reader that is open. Whoever gets one
// gives it back.
func (s *shelf) borrow(ctx context.Context, f *leveledFile) (*sink.Reader, error) {
	s.mu.Lock()
	l := s.lent[f]
	s.mu.Unlock()
	l.open.Do(func() { l.reader, l.err = sink.Open(ctx, s.bucket, f.form, f.File) })
	return l.reader, l.err
}

func (s *shelf) giveBack(f *leveledFile) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lent[f]
	if l.left--; l.left > 0 {
		return nil
	}
	return s.remove(f)
}

// close closes what pieces that were never read have left.
func (s *shelf) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for f := range s.lent {
		err = errors.Join(err, s.remove(f))
	}
	return err
}

func (s *shelf) remove(f *leveledFile) error {
	l := s.lent[f]
	delete(s.lent, f)
	if l.reader == nil {
		return nil
	}
	return l.reader.Close()
}

// source reads a piece of the keyspace out of a chain's files.
type source struct {
	*merge.Cursor
	bare    bool // of the files, ranges alone are read
	lender  lender
	readers map[*leveledFile]*sink.Reader
}

// openSource merges the views of p by level: the state that they make up, or what
// they change in older levels. Of the options it sets the span.
func openSource(ctx context.Context, from lender, p piece, opts merge.Options) (*source, error) {
	s := &source{lender: from, readers: map[*leveledFile]*sink.Reader{}}
	return s, s.open(ctx, p, opts)
}

// openRanges is openSource for ranges alone.
func openRanges(ctx context.Context, from lender, p piece, opts merge.Options) (*source, error) {
	s := &source{lender: from, readers: map[*leveledFile]*sink.Reader{}, bare: true}
	return s, s.open(ctx, p, opts)
}

func (s *source) open(ctx context.Context, p piece, opts merge.Options) (err error) {
	defer func() {
		if err != nil {
			err = denied("read", "files", errors.Join(err, s.giveBack()))
		}
	}()
	var levels []merge.Level
	for _, views := range byLevel(p.views, opts.Order) {
		l, err := s.level(ctx, views)
		if err != nil {
			return err
		}
		levels = append(levels, l)
	}
	opts.Span = p.span
	s.Cursor = merge.New(levels, opts)
	return nil
}

// byLevel groups views by level, the lowest first, and orders each group by span.
func byLevel(views []view, order *export.Order) [][]view {
	sorted := slices.Clone(views)
	compare := order.WithDefaults().Compare
	slices.SortStableFunc(sorted, func(a, b view) int {
		return cmp.Or(a.level-b.level, compare(a.span.Start, b.span.Start))
	})
	var out [][]view
	for i, v := range sorted {
		if i == 0 || v.level != sorted[i-1].level {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], v)
	}
	return out
}

// level opens the files of one level. Their ranges are read now, their points when
// the merge comes to them.
func (s *source) level(ctx context.Context, views []view) (merge.Level, error) {
	var l merge.Level
	var points []func() (export.Cursor, error)
	for _, v := range views {
		r, err := s.reader(ctx, v.leveledFile)
		if err != nil {
			return l, err
		}
		ranges, err := r.Ranges(ctx, v.span)
		if err != nil {
			return l, err
		}
		l.Ranges = append(l.Ranges, ranges...)
		points = append(points, func() (export.Cursor, error) { return r.Points(ctx, v.span) })
	}
	if !s.bare {
		l.Points = merge.Sequence(points...)
	}
	return l, nil
}

func (s *source) reader(ctx context.Context, f *leveledFile) (*sink.Reader, error) {
	if r := s.readers[f]; r != nil {
		return r, nil
	}
	r, err := s.lender.borrow(ctx, f)
	if err != nil {
		return nil, err
	}
	s.readers[f] = r
	return r, nil
}

// Err tells a refusal to read from one to write, which whoever copies may meet, too.
func (s *source) Err() error { return denied("read", "files", s.Cursor.Err()) }

func (s *source) giveBack() error {
	var err error
	for f := range s.readers {
		err = errors.Join(err, s.lender.giveBack(f))
	}
	s.readers = nil
	return err
}

// Close closes the merge and then gives back its files.
func (s *source) Close() error { return errors.Join(s.Cursor.Close(), s.giveBack()) }
