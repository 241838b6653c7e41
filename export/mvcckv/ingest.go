package mvcckv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/cockroachkvs"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/durable"
	"github.com/varvekv/varve/export/internal/staging"
	"github.com/varvekv/varve/export/internal/tables"
)

// Loads are staged beside the database's files, which Pebble leaves alone:
//
//	varve-loads/
//	    <name>/        or unnamed-<random>
//	        entries/   tables of bare keys, from loaders
//	        tables/    whole tables of versions
//	        built/     what Commit makes of the entries
const (
	loadsName     = "varve-loads"
	unnamedPrefix = "unnamed-"
)

// Ingest implements [export.Store]. What is loaded is a write like others: it shows at
// one new timestamp, the timestamps of entries are not kept, and with Replace what was
// there is deleted at that timestamp, and stays readable before. So incremental exports
// find it. Range keys are refused. Commit reads what loaders have written once more, to
// give it its timestamp.
//
// A load of everything under a new lineage into a store that holds no version at all is
// an [export.TableLoader] of one level: it takes tables of the order of cockroachkvs as
// they are, with their timestamps. A new lineage begins its history at Commit.
func (s *Store) Ingest(ctx context.Context, opts export.IngestOptions) (export.Ingester, error) {
	in, err := s.ingest(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("ingest %s: %w", opts.Name, err)
	}
	if in.tables != nil {
		return &linker{in}, nil
	}
	return in, nil
}

func (s *Store) ingest(ctx context.Context, opts export.IngestOptions) (*ingester, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if opts.Name != "" {
		if err := checkName(opts.Name); err != nil {
			return nil, err
		}
	}
	if err := staging.CheckSpans(nil, opts.Spans); err != nil {
		return nil, err
	}
	in := &ingester{store: s, name: opts.Name, replace: opts.Replace, lineage: opts.Lineage}
	for _, span := range opts.Spans {
		in.spans = append(in.spans, span.Clone())
	}
	if err := in.checkEmpty(ctx); err != nil {
		return nil, err
	}
	if err := in.stage(ctx); err != nil {
		return nil, err
	}
	s.loads[in.name] = in
	return in, nil
}

// stage makes the staging area, or takes up that of the name, and clears others that
// nobody uses. It needs mu.
func (in *ingester) stage(ctx context.Context) error {
	s := in.store
	if in.name == "" {
		id, err := s.opts.drawID()
		if err != nil {
			return err
		}
		in.name = unnamedPrefix + id.String()
	}
	if s.loads[in.name] != nil {
		return errors.New("another ingester of that name is open")
	}
	if err := s.clearLoads(in.name); err != nil {
		return err
	}
	in.dir = s.path(loadsName, in.name)
	var err error
	if in.entries, err = in.area("entries"); err != nil {
		return err
	}
	if in.lineage == "" || !isEverything(in.spans) {
		return nil
	}
	versions, err := s.anyVersion(ctx)
	if err == nil && !versions {
		in.tables, err = in.area("tables")
	}
	return err
}

func isEverything(spans []export.Span) bool {
	return len(spans) == 1 && len(spans[0].Start) == 0 && len(spans[0].End) == 0
}

// area is one of physical keys.
func (in *ingester) area(name string) (*staging.Area, error) {
	s := in.store
	dir := s.opts.Pebble.FS.PathJoin(in.dir, name)
	if err := durable.MakeDir(s.opts.Pebble.FS, dir); err != nil {
		return nil, err
	}
	o := staging.Options{
		Pebble: s.opts.Pebble, Order: physicalOrder(), Format: s.db.TableFormat(),
		Support: tables.Support(s.opts.Pebble, s.db.FormatMajorVersion().MaxTableFormat(), 1),
	}
	for _, span := range in.spans {
		o.Spans = append(o.Spans, physicalSpan(span))
	}
	return staging.New(dir, o)
}

func physicalOrder() *export.Order {
	return &export.Order{
		Name: cockroachkvs.Comparer.Name, Compare: cockroachkvs.Compare, Split: cockroachkvs.Split,
		CompareSuffixes: cockroachkvs.CompareRangeSuffixes,
	}
}

func physicalSpan(span export.Span) export.Span {
	return export.Span{Start: bareBound(span.Start), End: bareBound(span.End)}
}

func (s *Store) path(names ...string) string {
	return s.opts.Pebble.FS.PathJoin(append([]string{s.dir}, names...)...)
}

// clearLoads removes staging areas but that of name and those in use. It needs no lock
// against other processes: the database has one.
func (s *Store) clearLoads(name string) error {
	files := s.opts.Pebble.FS
	names, err := files.List(s.path(loadsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, other := range names {
		other = strings.TrimSuffix(other, "/")
		if other == name || s.loads[other] != nil {
			continue
		}
		err = errors.Join(err, files.RemoveAll(s.path(loadsName, other)))
	}
	return err
}

// checkEmpty is a *export.NotEmptyError where a span holds what must not be lost,
// committed or not. It needs mu.
func (in *ingester) checkEmpty(ctx context.Context) error {
	s := in.store
	for _, span := range in.spans {
		if in.replace {
			continue
		}
		live, err := s.anyIn(ctx, span, export.Timestamp{})
		if err != nil {
			return err
		}
		if live {
			return &export.NotEmptyError{Span: span}
		}
	}
	return nil
}

// anyIn reports whether span holds a live key now, or, with since, a version after
// that. It needs mu.
func (s *Store) anyIn(ctx context.Context, span export.Span, since export.Timestamp) (found bool, err error) {
	c := &cursor{ctx: ctx, span: span, seen: visible{until: endOfTime()}, since: since}
	if err := c.open(s, span, false); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return c.Next(), c.Err()
}

// anyVersion reports whether the store holds a version of any key. It needs mu.
func (s *Store) anyVersion(ctx context.Context) (bool, error) {
	c := &cursor{ctx: ctx, seen: visible{until: endOfTime()}, all: true}
	if err := c.open(s, export.Span{}, false); err != nil {
		return false, err
	}
	found := c.Next()
	return found, errors.Join(c.Err(), c.Close())
}

var _ export.Ingester = (*ingester)(nil)

// ingester stages what is loaded until Commit.
type ingester struct {
	store   *Store
	name    string
	dir     string
	spans   []export.Span
	replace bool
	lineage string

	entries *staging.Area
	tables  *staging.Area // nil: whole tables are not taken

	mu        sync.Mutex // one Commit, Abort or Publish at a time
	over      bool
	published []export.Object
}

// Load implements [export.Ingester].
func (in *ingester) Load(ctx context.Context, span export.Span) (export.Loader, error) {
	if err := in.usable(ctx); err != nil {
		return nil, fmt.Errorf("load %s: %w", span, err)
	}
	to, err := in.entries.Load(ctx, physicalSpan(span))
	if err != nil {
		return nil, err
	}
	return &loader{to: to}, nil
}

func (in *ingester) usable(ctx context.Context) error {
	if err := in.store.begin(ctx); err != nil {
		return err
	}
	in.store.mu.Unlock()
	return nil
}

// loader turns keys into bare physical ones, for their timestamp is not known yet.
type loader struct {
	to    export.Loader
	entry export.Entry
}

// Add implements [export.Loader].
func (l *loader) Add(e *export.Entry) error {
	if e.Kind != export.Set {
		return fmt.Errorf("load key %q: %s: %w", e.Key, e.Kind, errors.ErrUnsupported)
	}
	l.entry = export.Entry{Kind: e.Kind, Key: versionKey(l.entry.Key, e.Key, export.Timestamp{}), Value: e.Value}
	return l.to.Add(&l.entry)
}

// Finish implements [export.Loader].
func (l *loader) Finish() error { return l.to.Finish() }

// Abort implements [export.Ingester]. Once the store was closed it leaves what is
// staged to whoever opens it next, and may resume.
func (in *ingester) Abort() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return nil
	}
	in.over = true
	if err := errors.Join(in.abandon(), in.remove()); err != nil {
		return fmt.Errorf("abort: %w", err)
	}
	return nil
}

func (in *ingester) abandon() error {
	err := in.entries.Abandon()
	if in.tables != nil {
		err = errors.Join(err, in.tables.Abandon())
	}
	return err
}

// remove deletes the staging area.
func (in *ingester) remove() error {
	s := in.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	delete(s.loads, in.name)
	return s.opts.Pebble.FS.RemoveAll(in.dir)
}

// linker is an ingester that takes whole tables, too.
type linker struct{ *ingester }

var _ export.TableLoader = (*linker)(nil)

// TableSupport implements [export.TableLoader].
func (l *linker) TableSupport() export.TableSupport { return l.tables.TableSupport() }

// LoadTable implements [export.TableLoader]. That a table holds versions and nothing
// else is seen at Commit.
func (l *linker) LoadTable(ctx context.Context, t export.TableInfo) (export.TableWriter, error) {
	if err := l.usable(ctx); err != nil {
		return nil, fmt.Errorf("load table %s: %w", t.Span, err)
	}
	t.Span = physicalSpan(t.Span)
	return l.tables.LoadTable(ctx, t)
}
