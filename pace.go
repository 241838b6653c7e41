package varve

import (
	"context"
	"runtime"

	"github.com/varvekv/varve/export"
)

// progressBytes is how many bytes pass between two reports of a task, and two calls of
// BackupOptions.Pace.
const progressBytes = 1 << 20

// yieldBytes is how many bytes a task reads until it lets others run. Go lets a goroutine
// compute for 10 ms before another has its turn, and requests of the application would
// wait that long for each task.
const yieldBytes = 64 << 10

// paced is what a task reads: it reports what has passed, and lets the application say
// when the next bytes may.
type paced struct {
	export.Cursor
	pass   func(n int64) error // may be nil
	passed int64               // since the last call of pass
	spell  int64               // since others could run
	err    error
	vigil  *vigil // of the run; may be nil
}

func (r *run) paced(ctx context.Context, c export.Cursor) export.Cursor {
	return &paced{Cursor: c, pass: r.pass(ctx), vigil: r.vigil}
}

func (r *run) pass(ctx context.Context) func(n int64) error {
	return func(n int64) error {
		r.report.add(n)
		r.vigil.progress()
		if r.opts.Pace == nil {
			return nil
		}
		defer r.vigil.asking()()
		return r.opts.Pace(ctx, n)
	}
}

func (p *paced) Next() bool {
	if p.err != nil {
		return false
	}
	more := p.Cursor.Next()
	if more {
		if p.vigil != nil {
			p.vigil.passed()
		}
		n := p.Entry().Size()
		p.passed, p.spell = p.passed+n, p.spell+n
	}
	if p.spell >= yieldBytes {
		p.spell = 0
		runtime.Gosched()
	}
	if p.pass != nil && (p.passed >= progressBytes || !more && p.passed > 0) {
		p.err = p.pass(p.passed)
		p.passed = 0
	}
	return more && p.err == nil
}

func (p *paced) Err() error {
	if p.err != nil {
		return p.err
	}
	return p.Cursor.Err()
}
