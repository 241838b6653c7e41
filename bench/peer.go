package main

import (
	"context"
	"iter"
	"os/exec"
	"runtime"
)

// engine is a kind of database.
type engine interface {
	name() string
	// compacts says whether a compacted database lies otherwise than a settled one.
	compacts() bool
	// build makes the database of d in dir and says how it lies there.
	build(ctx context.Context, d dataset, dir string) (note string, err error)
	// open opens the database of d, which compacts if it is told to.
	open(ctx context.Context, d dataset, dir string, compacts bool) (database, error)
	// scan reads every row.
	scan(ctx context.Context, dir string, add func(key, value []byte)) error
}

// database is one that is open.
type database interface {
	// write sets rows, and flushes them to where backups find them.
	write(ctx context.Context, rows iter.Seq2[[]byte, []byte]) error
	// settle waits until there is nothing to compact.
	settle(ctx context.Context) error
	Close() error
}

// tool is a way to back up a database and to get it back. A method returns when what
// it wrote is synced.
type tool interface {
	name() string
	engine() engine
	// full takes the first backup into a folder.
	full(ctx context.Context, j *job) error
	// incremental adds another to it; errors.ErrUnsupported of a tool that has none.
	incremental(ctx context.Context, j *job) error
	// restore makes a database of the newest backup; errors.ErrUnsupported of one
	// that keeps nothing.
	restore(ctx context.Context, j *job) error
}

// job is one operation of a tool.
type job struct {
	meter   *meter   // of what is measured; it runs programs, so that they count
	db      database // of the tool's engine, open; nil in a restore
	dir     string   // where db is
	backups string   // the folder of backups
	scratch string   // an empty folder
	to      string   // what a restore creates
	kept    string   // a folder for what all turns share

	requests int64  // to storage, as far as the tool counts them
	synced   string // by whom; "": the tool
}

// byBench says that the bench synced what the tool had left unsynced.
const byBench = "bench"

// preparer is a tool that has something to do before its first backup.
type preparer interface {
	prepare(ctx context.Context, j *job) error
}

// program is a tool that needs one that Go cannot fetch.
type program interface {
	// needs is the program and the Debian package it is in.
	needs() (executable, pkg string)
}

// missing says what to install so that t can run; "" if it can.
func missing(t tool) string {
	p, ok := t.(program)
	if !ok {
		return ""
	}
	executable, pkg := p.needs()
	if _, err := exec.LookPath(executable); err != nil {
		return "missing: apt-get install " + pkg
	}
	return ""
}

// tools are all there are, those to compare with before those that bound them.
func tools() []tool {
	cores := runtime.GOMAXPROCS(0)
	list := varves()
	list = append(list, restics()...)
	list = append(list, rocksdbs(cores)...)
	return append(list,
		badgerBackup{}, bboltWriteTo{}, archive{},
		copying{workers: 1}, copying{workers: cores}, scanning{})
}

func toolNamed(name string) tool {
	for _, t := range tools() {
		if t.name() == name {
			return t
		}
	}
	return nil
}
