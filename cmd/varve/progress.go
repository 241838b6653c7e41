package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/varvekv/varve"
)

// progress shows how far a run is: as a bar on a terminal, else as a line now and then and
// one at the end of each phase. It goes to the standard error.
type progress struct {
	a        *app
	terminal bool

	mu    sync.Mutex
	phase varve.Phase
	bar   *progressbar.ProgressBar
	last  varve.ProgressInfo
	told  time.Duration
}

// lineInterval is how often a line is written where there is no terminal.
const lineInterval = 10 * time.Second

// events are nil where nothing is to be shown.
func (a *app) progress() *progress {
	return &progress{a: a, terminal: isTerminal(a.errs)}
}

func (p *progress) events() *varve.Events {
	if p.a.quiet {
		return nil
	}
	return &varve.Events{Progress: p.show, Locked: p.locked}
}

func (p *progress) show(i varve.ProgressInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i.Phase != p.phase {
		p.finish()
		p.phase, p.told = i.Phase, 0
	}
	p.last = i
	if p.terminal {
		p.draw(i)
		return
	}
	if i.Elapsed-p.told >= lineInterval {
		p.told = i.Elapsed
		p.line(i)
	}
}

func (p *progress) draw(i varve.ProgressInfo) {
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(max(i.Total, 1),
			progressbar.OptionSetWriter(p.a.errs), progressbar.OptionSetDescription(fmt.Sprintf("%-6s", i.Phase)),
			progressbar.OptionShowBytes(true), progressbar.OptionFullWidth(), progressbar.OptionSetPredictTime(true),
			progressbar.OptionUseANSICodes(true))
	}
	p.bar.ChangeMax64(max(i.Total, 1))
	// What a bar cannot draw is no reason to end the run.
	_ = p.bar.Set64(i.Done)
}

func (p *progress) line(i varve.ProgressInfo) {
	percent := int64(100)
	if i.Total > 0 {
		percent = i.Done * 100 / i.Total
	}
	fmt.Fprintf(p.a.errs, "%s: %s of %s, %d %% in %s\n", i.Phase, size(i.Done), size(i.Total), percent, duration(i.Elapsed))
}

func (p *progress) locked(l varve.LockedInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.a.errs, "%s is locked by %s since %s\n", p.a.text(l.Key), l.Holder, duration(l.Age))
}

// finish ends the phase that was shown last.
func (p *progress) finish() {
	switch {
	case p.bar != nil:
		_ = p.bar.Finish() // as in draw
		fmt.Fprintln(p.a.errs)
		p.bar = nil
	case p.phase != "" && !p.terminal:
		p.line(p.last)
	}
	p.phase = ""
}

// end is called when the run has ended.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
}
