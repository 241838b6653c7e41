package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/durable"
	"github.com/varvekv/varve/export/internal/staging"
	"github.com/varvekv/varve/export/internal/tables"
)

var (
	_ export.Ingester    = (*ingester)(nil)
	_ export.TableLoader = (*ingester)(nil)
)

// Ingest stages a load beside the snapshots. With a name, what loaders and tables
// have finished under it is taken up, and may be loaded again; what is staged
// under other names is cleared unless it is in use. Without one the load ends with
// the process. Replace of a span without end takes a database with virtual tables (format
// major version 16).
//
// The ingester is a TableLoader of one level. It takes no tables where several spans are
// replaced, or the database has no virtual tables.
func (s *Store) Ingest(ctx context.Context, opts export.IngestOptions) (export.Ingester, error) {
	in, err := s.ingest(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("ingest %s: %w", opts.Name, err)
	}
	return in, nil
}

func (s *Store) ingest(ctx context.Context, opts export.IngestOptions) (*ingester, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(checkOptionalName(opts.Name), staging.CheckSpans(s.order, opts.Spans)); err != nil {
		return nil, err
	}
	how, err := s.replacementOf(opts)
	if err != nil {
		return nil, err
	}
	if !opts.Replace {
		if err := s.checkEmpty(ctx, opts.Spans); err != nil {
			return nil, err
		}
	}
	in := &ingester{store: s, name: opts.Name, replace: opts.Replace, how: how, lineage: opts.Lineage}
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	if err := in.open(opts.Spans); err != nil {
		return nil, err
	}
	return in, nil
}

// open finds or makes the staging folder. The caller holds the store's turn.
func (in *ingester) open(spans []export.Span) error {
	s := in.store
	if in.name == "" {
		home, err := s.newHome()
		if err != nil {
			return err
		}
		in.home = home
		if in.Area, err = in.stage(home.path, spans); err != nil {
			return errors.Join(err, home.remove())
		}
		return nil
	}
	dir, err := s.loadDir(in.name)
	if err != nil {
		return err
	}
	if in.Area, err = in.stage(dir, spans); err != nil {
		return err
	}
	s.loading[in.name] = true
	return nil
}

func (in *ingester) stage(dir string, spans []export.Span) (*staging.Area, error) {
	s := in.store
	in.dir = dir
	for _, span := range spans {
		in.spans = append(in.spans, span.Clone())
	}
	support := tables.Support(s.pebble, s.db.FormatMajorVersion().MaxTableFormat(), 1)
	if len(in.how.cleared) > 0 {
		support = export.TableSupport{Levels: 1} // nobody can put deletions into a table that is there
	}
	return staging.New(dir, staging.Options{
		Pebble: s.pebble, Order: s.order, Format: s.db.TableFormat(), Support: support, Spans: spans, Clear: in.how.cleared,
	})
}

const loadPrefix = "load-"

// loadDir makes the staging folder for name and clears those of other names. It
// needs no lock against other processes: the database has one.
func (s *Store) loadDir(name string) (string, error) {
	if s.loading[name] {
		return "", errors.New("another ingester of that name is open")
	}
	if err := s.prepare(); err != nil {
		return "", err
	}
	names, err := s.fs.List(s.snapDir)
	if err != nil {
		return "", err
	}
	for _, other := range names {
		staged, ok := strings.CutPrefix(other, loadPrefix)
		if !ok || staged == name || s.loading[staged] {
			continue
		}
		if err := s.fs.RemoveAll(s.fs.PathJoin(s.snapDir, other)); err != nil {
			return "", fmt.Errorf("clear leftover %s: %w", other, err)
		}
	}
	dir := s.fs.PathJoin(s.snapDir, loadPrefix+name)
	return dir, durable.MakeDir(s.fs, dir)
}

// checkEmpty is a *NotEmptyError if a reader sees a point or a range key in one
// of the spans.
func (s *Store) checkEmpty(ctx context.Context, spans []export.Span) error {
	for _, span := range spans {
		err := guard(func() error { return s.checkEmptySpan(ctx, span) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) checkEmptySpan(ctx context.Context, span export.Span) (err error) {
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: bound(span.Start),
		UpperBound: bound(span.End),
		KeyTypes:   pebble.IterKeyTypePointsAndRanges,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if it.First() {
		return &export.NotEmptyError{Span: span.Clone()}
	}
	return nil
}

// ingester loads into an open database.
type ingester struct {
	*staging.Area
	store   *Store
	dir     string // of the staging area
	spans   []export.Span
	name    string
	home    *scratch // of one without a name
	replace bool
	how     replacement
	lineage string

	mu   sync.Mutex // one Commit or Abort at a time
	over bool
}

// Commit publishes all tables with one ingest, which is durable when it returns.
// The memtable is flushed before: with nothing of the spans in it, the tables go
// straight into the manifest and do not hang on the write-ahead log.
func (in *ingester) Commit(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return fmt.Errorf("commit: %w", export.ErrClosed)
	}
	if err := in.commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	in.over = true
	// The load is in the database. What this leaves behind the next ingest clears.
	_ = in.remove()
	return nil
}

// remove deletes the staging folder.
func (in *ingester) remove() error {
	if in.home != nil {
		return in.home.remove()
	}
	s := in.store
	s.turn <- struct{}{}
	defer s.unlock()
	delete(s.loading, in.name)
	return s.fs.RemoveAll(in.dir)
}

func (in *ingester) commit(ctx context.Context) error {
	s := in.store
	if err := s.ready(ctx); err != nil {
		return err
	}
	levels, err := in.Seal()
	if err != nil {
		return err
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	if !in.replace {
		if err := s.checkEmpty(ctx, in.spans); err != nil {
			return err
		}
	}
	var paths []string
	for _, level := range levels {
		paths = append(paths, level...)
	}
	return s.withLineage(in.lineage, func() error { return in.publish(ctx, paths) })
}

// withLineage changes the lineage around publish. The new one is written first:
// a crash in between leaves the former data under a new lineage, of which nobody
// has a base or a chain, and never new data under the former one. Where publish
// fails the former lineage is put back, by a rename, which works on a full disk
// too.
func (s *Store) withLineage(lineage string, publish func() error) error {
	if lineage == "" {
		return publish()
	}
	s.lineage.Lock()
	defer s.lineage.Unlock()
	path := s.fs.PathJoin(s.dir, lineageName)
	former := path + ".former"
	was, err := readLineage(s.fs, s.dir)
	if err != nil {
		return err
	}
	data, err := durable.ReadFile(s.fs, path)
	if err == nil {
		err = durable.WriteSynced(s.fs, former, data)
	}
	if err != nil {
		return fmt.Errorf("keep lineage: %w", err)
	}
	err = writeLineage(s.fs, s.dir, lineage, was)
	if err == nil {
		err = publish()
	}
	if err != nil {
		return errors.Join(err, s.fs.Rename(former, path), durable.SyncDir(s.fs, s.dir))
	}
	_ = s.fs.Remove(former) // nobody reads it, the next change replaces it
	return nil
}

// Abort removes the staging folder. Once the database was closed it leaves the
// folder to whoever opens it next, and may resume.
func (in *ingester) Abort() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return nil
	}
	in.over = true
	err := in.Abandon()
	if in.home != nil || in.store.alive() == nil {
		err = errors.Join(err, in.remove())
	}
	if err != nil {
		return fmt.Errorf("abort: %w", err)
	}
	return nil
}
