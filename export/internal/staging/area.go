// Package staging keeps what is loaded into a Pebble database until it is committed:
// sorted tables that were written from entries, or taken as they are.
package staging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/durable"
	"github.com/varvekv/varve/export/internal/tables"
)

// Area is a folder of sorted tables that wait to be ingested. What was finished
// is durable and listed in a record beside it, so that a later process goes on
// from there. It is safe for concurrent use.
type Area struct {
	fs      vfs.FS
	dir     string
	pebble  *pebble.Options
	order   *export.Order
	format  sstable.TableFormat
	support export.TableSupport
	spans   []export.Span
	cleared []export.Span

	mu     sync.Mutex
	ended  bool
	number int
	claims map[int][]claim // by level, each sorted and disjoint
	busy   map[unfinished]bool
}

// claim is a span that is loaded or being loaded.
type claim struct {
	span   export.Span
	record string   // file name; "" until it is finished
	tables []string // file names
	former bool     // by a former ingester: may be loaded again
}

// unfinished is a loader or a table that was neither finished nor given up.
type unfinished interface{ abandon() error }

// loaded is the level under which the spans of loaders are claimed: they may
// overlap no table of any level.
const loaded = -1

// Options says what an Area is for.
type Options struct {
	Pebble  *pebble.Options     // with defaults, for the tables of a database with these
	Order   *export.Order       // of its keys
	Format  sstable.TableFormat // of the tables that loaders write
	Support export.TableSupport // of LoadTable
	Spans   []export.Span
	// Clear are those of Spans whose former keys the tables delete. They must end, and
	// LoadTable takes no tables then.
	Clear []export.Span
}

// New takes up what dir has of a former ingester; dir must exist.
func New(dir string, o Options) (*Area, error) {
	s := &Area{
		fs: o.Pebble.FS, dir: dir, pebble: o.Pebble, order: o.Order,
		format: o.Format, support: o.Support,
		claims: make(map[int][]claim),
		busy:   make(map[unfinished]bool),
	}
	for _, span := range o.Spans {
		s.spans = append(s.spans, span.Clone())
	}
	for _, span := range o.Clear {
		s.cleared = append(s.cleared, span.Clone())
	}
	if err := s.resume(); err != nil {
		return nil, fmt.Errorf("resume %s: %w", dir, err)
	}
	return s, nil
}

// CheckSpans refuses spans that cannot be loaded.
func CheckSpans(order *export.Order, spans []export.Span) error {
	for i, s := range spans {
		if s.IsEmpty(order) {
			return fmt.Errorf("span %s is empty", s)
		}
		if !order.CutPoint(s.Start) || !order.CutPoint(s.End) {
			return fmt.Errorf("span %s: its bounds must be bare prefixes", s)
		}
		for _, t := range spans[:i] {
			if s.Overlaps(order, t) {
				return fmt.Errorf("spans %s and %s overlap", t, s)
			}
		}
	}
	return nil
}

// TableSupport says which tables LoadTable takes.
func (s *Area) TableSupport() export.TableSupport { return s.support }

// Load opens a loader. Its tables are durable when its Finish returns.
func (s *Area) Load(ctx context.Context, span export.Span) (export.Loader, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("load %s: %w", span, err)
	}
	l := &loader{ctx: ctx, area: s, span: span.Clone(), clears: s.clears(span)}
	l.from = l.span.Start
	if err := s.begin(l, l.span, loaded); err != nil {
		return nil, fmt.Errorf("load %s: %w", span, err)
	}
	return l, nil
}

// LoadTable begins to receive a table, which is durable when Finish returns. A
// table that was aborted may be sent again.
func (s *Area) LoadTable(ctx context.Context, t export.TableInfo) (export.TableWriter, error) {
	w, err := s.loadTable(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("load table %s: %w", t.Span, err)
	}
	return w, nil
}

func (s *Area) loadTable(ctx context.Context, t export.TableInfo) (*tableWriter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := tables.Takes(s.support, t); err != nil {
		return nil, err
	}
	t.Span = t.Span.Clone()
	w := &tableWriter{ctx: ctx, area: s, info: t}
	if err := s.begin(w, t.Span, t.Level); err != nil {
		return nil, err
	}
	name, file, err := s.create()
	if err != nil {
		s.giveUp(w, t.Span, t.Level)
		return nil, err
	}
	w.name, w.file = name, file
	return w, nil
}

// begin claims span for u.
func (s *Area) begin(u unfinished, span export.Span, level int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return export.ErrClosed
	}
	if err := s.claim(span, level); err != nil {
		return err
	}
	s.busy[u] = true
	return nil
}

func (s *Area) claim(span export.Span, level int) error {
	if span.IsEmpty(s.order) || !s.order.CutPoint(span.Start) || !s.order.CutPoint(span.End) {
		return errors.New("the span is empty or not cut at bare prefixes")
	}
	if !slices.ContainsFunc(s.spans, func(t export.Span) bool { return t.Covers(s.order, span) }) {
		return errors.New("the span lies in none of those that are loaded")
	}
	for other := range s.claims {
		if other != level && other != loaded && level != loaded {
			continue
		}
		if err := s.free(span, other); err != nil {
			return err
		}
	}
	at, _ := s.place(span, level)
	s.claims[level] = slices.Insert(s.claims[level], at, claim{span: span})
	return nil
}

// free makes room for span on a level: what a former ingester has loaded inside
// of it is dropped, for it will be loaded again.
func (s *Area) free(span export.Span, level int) error {
	for {
		at, free := s.place(span, level)
		if free {
			return nil
		}
		c := s.claims[level][at]
		if !c.former || !span.Covers(s.order, c.span) {
			return fmt.Errorf("the span overlaps %s, which was loaded before", c.span)
		}
		if err := s.drop(c); err != nil {
			return err
		}
		s.claims[level] = slices.Delete(s.claims[level], at, at+1)
	}
}

// place finds where span belongs among the claims of a level, or one of them that
// it overlaps.
func (s *Area) place(span export.Span, level int) (at int, free bool) {
	cmp := s.order.WithDefaults().Compare
	claims := s.claims[level]
	at, _ = slices.BinarySearchFunc(claims, span, func(c claim, t export.Span) int { return cmp(c.span.Start, t.Start) })
	if at > 0 && claims[at-1].span.Overlaps(s.order, span) {
		return at - 1, false
	}
	return at, at == len(claims) || !claims[at].span.Overlaps(s.order, span)
}

// create makes the next table file. Writes reach the disk steadily, so that the
// sync at the end is short.
func (s *Area) create() (name string, file vfs.File, err error) {
	name, err = s.next()
	if err != nil {
		return "", nil, err
	}
	name += ".sst"
	file, err = s.createAt(s.path(name))
	return name, file, err
}

func (s *Area) createAt(path string) (vfs.File, error) {
	file, err := s.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: 1 << 20}), nil
}

func (s *Area) next() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return "", export.ErrClosed
	}
	s.number++
	return strconv.Itoa(s.number), nil
}

func (s *Area) path(name string) string { return s.fs.PathJoin(s.dir, name) }

// finish makes the tables of u, each synced, a durable part of the load.
func (s *Area) finish(u unfinished, span export.Span, level int, tables []string) error {
	name, err := s.next()
	if err != nil {
		return err
	}
	name += recordSuffix
	if err := durable.SyncDir(s.fs, s.dir); err != nil { // the tables' names, before a record lists them
		return err
	}
	r := record{Level: level, Span: span, Tables: tables, Clears: s.clears(span)}
	if err := s.writeRecord(name, r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, _ := s.place(span, level)
	s.claims[level][at].record, s.claims[level][at].tables = name, tables
	delete(s.busy, u)
	return nil
}

// giveUp frees the span of u, which may be loaded again.
func (s *Area) giveUp(u unfinished, span export.Span, level int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, u)
	if at, free := s.place(span, level); !free {
		s.claims[level] = slices.Delete(s.claims[level], at, at+1)
	}
}

// Seal ends loading and hands over the tables, bottom level first, as links under
// a folder of their own: Pebble removes what it ingests, and what is staged must
// stay until the commit is known to be complete. It fails, and changes nothing,
// while something is unfinished.
func (s *Area) Seal() ([][]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.busy) > 0 {
		return nil, fmt.Errorf("%d loaders or tables are not finished", len(s.busy))
	}
	s.ended = true
	links := s.path("commit")
	if err := s.fs.RemoveAll(links); err != nil {
		return nil, err
	}
	if err := s.fs.MkdirAll(links, 0o755); err != nil {
		return nil, err
	}
	clearing, err := s.clearGaps(links)
	if err != nil {
		return nil, err
	}
	var levels [][]string
	if len(clearing) > 0 {
		levels = append(levels, clearing)
	}
	for level := loaded; level < s.support.Levels; level++ {
		var paths []string
		for _, c := range s.claims[level] {
			for _, name := range c.tables {
				path := s.fs.PathJoin(links, name)
				if err := vfs.LinkOrCopy(s.fs, s.path(name), path); err != nil {
					return nil, err
				}
				paths = append(paths, path)
			}
		}
		switch {
		case level <= 0 && len(levels) > 0:
			levels[0] = append(levels[0], paths...) // beside those that clear, and those of loaders
		case len(paths) > 0:
			levels = append(levels, paths)
		}
	}
	return levels, nil
}

// Abandon ends loading and closes what is unfinished. The folder is the owner's
// to remove.
func (s *Area) Abandon() error {
	s.mu.Lock()
	s.ended = true
	busy := s.busy
	s.busy = make(map[unfinished]bool)
	s.mu.Unlock()
	var errs []error
	for u := range busy {
		errs = append(errs, u.abandon())
	}
	return errors.Join(errs...)
}
