package pebblekv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/wal"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/durable"
	"github.com/varvekv/varve/export/internal/staging"
	"github.com/varvekv/varve/export/internal/tables"
)

// dirLevels is how many overlapping levels of tables a Directory links. Each costs one
// ingest; the database sorts them out when it is opened.
const dirLevels = 1024

var _ export.Store = (*Directory)(nil)

// Directory is one that a restore creates: a store that can only be loaded. It
// is safe for concurrent use and holds nothing open between calls.
type Directory struct {
	config
	dir string
}

// Dir stands for the directory of a database that does not exist yet. dir must be
// absent or empty until Commit, which makes it appear whole or not at all. It is
// built in a folder beside it, so that its parent must be writable. Of opts Pebble is
// used, with which the database is created, Objects and Regions.
func Dir(dir string, opts *Options) *Directory {
	c := opts.config()
	return &Directory{config: c, dir: c.fs.PathJoin(dir)} // PathJoin cleans
}

// Info describes the database that will be there. It has no lineage yet.
func (d *Directory) Info(ctx context.Context) (export.Info, error) {
	if err := errors.Join(ctx.Err(), d.checkObjects()); err != nil {
		return export.Info{}, fmt.Errorf("info: %w", err)
	}
	return d.info(), nil
}

// Snapshot returns an error that wraps errors.ErrUnsupported.
func (d *Directory) Snapshot(context.Context, export.SnapshotOptions) (export.Snapshot, error) {
	return nil, fmt.Errorf("snapshot %s: a directory to restore to: %w", d.dir, errors.ErrUnsupported)
}

// Ingest begins to build the database in the folder <dir>.varve-<name>. What
// loaders and tables have finished there under the same name is taken up, and may
// be loaded again; what dead processes left under other names is cleared. An empty
// Lineage begins a new one. Folders that the options keep logs in must have none,
// or Pebble would replay those of another life into the database.
//
// The ingester is a TableLoader of many levels. What loaders write belongs to
// the lowest and overlaps no table of any.
func (d *Directory) Ingest(ctx context.Context, opts export.IngestOptions) (export.Ingester, error) {
	in, err := d.ingest(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("ingest %s: %w", d.dir, err)
	}
	return in, nil
}

func (d *Directory) ingest(ctx context.Context, opts export.IngestOptions) (*dirIngester, error) {
	if err := errors.Join(ctx.Err(), d.checkObjects()); err != nil {
		return nil, err
	}
	if err := errors.Join(checkOptionalName(opts.Name), staging.CheckSpans(d.order, opts.Spans)); err != nil {
		return nil, err
	}
	if err := d.checkPlace(); err != nil {
		return nil, err
	}
	in := &dirIngester{target: d, path: d.dir + stagingInfix + opts.Name, lineage: opts.Lineage}
	if err := d.sweepOthers(opts.Name); err != nil {
		return nil, err
	}
	if in.lineage == "" {
		in.lineage = randomHex(16)
	}
	if err := in.open(opts.Spans); err != nil {
		return nil, err
	}
	return in, nil
}

// stagingInfix stands between the directory's name and that of an ingest.
const stagingInfix = ".varve-"

// checkPlace says why no database can be put there.
func (d *Directory) checkPlace() error {
	switch d.fs.PathBase(d.dir) {
	case ".", "..", "/", "":
		return errors.New("a directory needs a name: the database is built beside it and renamed")
	}
	return errors.Join(d.checkAbsent(), d.checkLogs())
}

// sweepOthers clears the staging folders of other names that nobody holds.
func (d *Directory) sweepOthers(name string) error {
	parent, prefix := d.fs.PathDir(d.dir), d.fs.PathBase(d.dir)+stagingInfix
	err := sweep(d.fs, parent, func(folder string) bool {
		other, ok := strings.CutPrefix(folder, prefix)
		return ok && other != name && checkOptionalName(other) == nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the parent will be made
	}
	return err
}

// checkLogs is a *NotEmptyError if there is a log in a folder that the options
// keep logs in. It is of a database that was there before.
func (d *Directory) checkLogs() error {
	for _, dir := range d.logDirs() {
		logs, err := wal.Scan(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("log directory: %w", err)
		}
		if len(logs) > 0 {
			return &export.NotEmptyError{Name: dir.Dirname}
		}
	}
	return nil
}

func (d *Directory) logDirs() []wal.Dir {
	dirs := slices.Clone(d.pebble.WALRecoveryDirs)
	if d.pebble.WALDir != "" {
		dirs = append(dirs, wal.Dir{FS: d.fs, Dirname: d.pebble.WALDir})
	}
	if d.pebble.WALFailover != nil {
		dirs = append(dirs, d.pebble.WALFailover.Secondary)
	}
	return dirs
}

// checkAbsent is a *NotEmptyError if dir holds anything.
func (d *Directory) checkAbsent() error {
	names, err := d.fs.List(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(names) > 0 {
		return &export.NotEmptyError{Name: d.dir}
	}
	return err
}

// dirIngester builds a database aside:
//
//	<dir>.varve-<name>/
//	    LOCK         held while the ingester is open
//	    load/        the staged tables
//	    db/          the database, built by Commit and renamed to dir
type dirIngester struct {
	*staging.Area
	target  *Directory
	path    string
	lineage string

	mu    sync.Mutex // one Commit or Abort at a time
	lock  *pebble.Lock
	state dirState
}

type dirState int

const (
	loading  dirState = iota
	renamed           // dir is in place, but its name may not be durable
	finished          // committed or aborted
)

func (in *dirIngester) open(spans []export.Span) error {
	d := in.target
	load := d.fs.PathJoin(in.path, "load")
	if err := durable.MakeDir(d.fs, load); err != nil {
		return err
	}
	lock, err := pebble.LockDirectory(in.path, d.fs)
	if err != nil {
		return fmt.Errorf("%s is in use: %w", in.path, err)
	}
	most := d.pebble.FormatMajorVersion.MaxTableFormat()
	format := most
	if format.BlockColumnar() && !d.pebble.Experimental.EnableColumnarBlocks() {
		format = sstable.TableFormatPebblev4
	}
	in.Area, err = staging.New(load, staging.Options{
		Pebble: d.pebble, Order: d.order, Format: format, Support: tables.Support(d.pebble, most, dirLevels), Spans: spans,
	})
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	in.lock = lock
	return nil
}

// buildOptions are the user's with the log inside the directory, whose place is
// another until Commit, and without compactions that would compete with the load.
func (d *Directory) buildOptions() *pebble.Options {
	o := d.pebble.Clone()
	o.ReadOnly, o.ErrorIfNotExists = false, false // ErrorIfExists and ErrorIfNotPristine hold
	o.Lock, o.Experimental.CompactionScheduler = nil, nil
	o.WALDir, o.WALFailover, o.WALRecoveryDirs = "", nil, nil
	o.DisableAutomaticCompactions = true
	o.Logger, o.LoggerAndTracer = quietLogger{o.Logger}, nil
	return o
}

// Commit ingests the tables level by level into a new database, closes it and
// moves it to its place, durably. Where an error says that the directory is in
// place, a second Commit makes its name durable.
func (in *dirIngester) Commit(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.state == finished {
		return fmt.Errorf("commit: %w", export.ErrClosed)
	}
	if err := in.commit(ctx); err != nil {
		return fmt.Errorf("commit %s: %w", in.target.dir, err)
	}
	in.state = finished
	// The database is in place. What this leaves behind holds links to its tables
	// and can be deleted.
	_ = in.remove()
	return nil
}

func (in *dirIngester) commit(ctx context.Context) error {
	d := in.target
	if in.state == loading {
		built, err := in.build(ctx)
		if err != nil {
			return err
		}
		if err := d.place(built); err != nil {
			return err
		}
		in.state = renamed
	}
	if err := durable.SyncDir(d.fs, d.fs.PathDir(d.dir)); err != nil {
		return fmt.Errorf("the directory is in place, its name may not be durable: %w: %w", export.ErrCommitAgain, err)
	}
	return nil
}

// build makes a complete and durable database of the tables, always from the
// beginning: half of a former try is thrown away.
func (in *dirIngester) build(ctx context.Context) (path string, err error) {
	d := in.target
	path = d.fs.PathJoin(in.path, "db")
	levels, err := in.Seal()
	if err != nil {
		return "", err
	}
	if err := d.fs.RemoveAll(path); err != nil {
		return "", err
	}
	if err := d.link(ctx, path, levels); err != nil {
		return "", err
	}
	if err := d.forgetLogDir(path); err != nil {
		return "", err
	}
	if err := writeLineage(d.fs, path, in.lineage, ""); err != nil { // syncs path
		return "", err
	}
	return path, ctx.Err()
}

// link creates the database at path and ingests levels, the bottom one first.
func (d *Directory) link(ctx context.Context, path string, levels [][]string) (err error) {
	db, err := pebble.Open(path, d.buildOptions())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, level := range levels {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := db.Ingest(ctx, level); err != nil {
			return err
		}
	}
	return nil
}

// forgetLogDir removes the OPTIONS file where the user keeps the log elsewhere:
// it says that the log is inside, and Pebble would refuse to open the database
// with the user's options. The manifest still knows the comparer.
func (d *Directory) forgetLogDir(path string) error {
	if d.pebble.WALDir == "" {
		return nil
	}
	desc, err := pebble.Peek(path, d.fs)
	if err != nil || desc.OptionsFilename == "" {
		return err
	}
	return d.fs.Remove(desc.OptionsFilename)
}

// place renames the database to dir, which is absent, or empty and is removed
// first: not every system renames over a directory. A crash in between leaves dir
// absent.
func (d *Directory) place(built string) error {
	if err := d.checkPlace(); err != nil {
		return err
	}
	if _, err := d.fs.Stat(d.dir); err == nil {
		if err := d.fs.Remove(d.dir); err != nil {
			return err
		}
	}
	return d.fs.Rename(built, d.dir)
}

// remove deletes the folder.
func (in *dirIngester) remove() error {
	return errors.Join(in.target.fs.RemoveAll(in.path), in.lock.Close())
}

// Abort removes the folder.
func (in *dirIngester) Abort() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.state == finished {
		return nil
	}
	in.state = finished
	if err := errors.Join(in.Abandon(), in.remove()); err != nil {
		return fmt.Errorf("abort: %w", err)
	}
	return nil
}
