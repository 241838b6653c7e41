package varve

import (
	"sync"
	"time"

	"github.com/varvekv/varve/internal/objectio"
)

// Events tell a program what a run does. Calls come one at a time and must return
// soon; nil funcs are skipped. They may ask for the status of the job, and must not wait
// for it to pause or to end.
type Events struct {
	Progress func(ProgressInfo) // at most once a second, and at the end of each phase
	File     func(FileInfo)     // each file that was stored, loaded or verified
	Layer    func(LayerInfo)    // the layer that was committed, restored or verified
	Retry    func(RetryInfo)    // each failure after which the same is tried again
	Locked   func(LockedInfo)   // each time that an export meets a lock
	// LongChain is told that BackupOptions.MaxChain is reached, before anything is done about it.
	LongChain func(LongChainInfo)
}

// LongChainInfo is a chain that is as long as it may become.
type LongChainInfo struct {
	Tip    LayerInfo // that was to be extended
	Layers int       // that a restore of it needs
}

// Phase is what a run is doing.
type Phase string

const (
	PhaseExport  Phase = "export"  // writing files of a layer
	PhaseDigest  Phase = "digest"  // reading what the digest of an incremental lacks
	PhaseAudit   Phase = "audit"   // scanning the snapshot a second time
	PhaseVerify  Phase = "verify"  // reading a layer
	PhaseLoad    Phase = "load"    // loading files into the destination
	PhaseCompact Phase = "compact" // merging layers into files of another
)

// ProgressInfo says how far a phase is. Done and Total are bytes, logical ones in
// the export, digest and audit phases and stored ones in the others; Total is an
// estimate that may grow.
type ProgressInfo struct {
	Phase       Phase
	Done, Total int64
	Elapsed     time.Duration // since the phase began
}

// FileInfo is a file of a layer that a run is done with.
type FileInfo struct {
	Path                      string
	Span                      Span
	StoredBytes, LogicalBytes int64
}

// RetryInfo is a request to storage that failed, or the export of a span during which one
// did for good, and that is made again.
type RetryInfo struct {
	Op     string        // "get", "peek", "read", "put", "create", "size", "list", "delete"; "export" of a span
	Object string        // key in the collection; of a listing, what keys begin with; "" of an export
	Span   Span          // what is left of the export; of a request, none
	Failed int           // times in a row
	After  time.Duration // until it is made again
	Err    error         // what went wrong
}

// LockedInfo is a lock that an export has met: a write that is not committed, as of the
// moment that is backed up. What is left of the span is exported again later.
type LockedInfo struct {
	Span   Span // what is left
	Key    []byte
	Holder string
	// Age is how long ago the moment that is backed up was.
	Age time.Duration
	// Pushes is set where the next attempt makes the store resolve the lock.
	Pushes bool
}

// progressInterval is how often Events.Progress is called.
const progressInterval = time.Second

// reporter serialises the calls of Events, and knows how far a run is. No call is made
// while that is locked, so that whoever is told may ask.
type reporter struct {
	events Events
	now    func() time.Time
	turn   sync.Mutex // calls come one at a time

	mu       sync.Mutex
	info     ProgressInfo
	begun    time.Time
	told     time.Time
	first    time.Time // when the first phase began
	past     int64     // bytes of phases that are over
	fraction float64   // the most that was ever said
	stats    Stats     // what is stored, or loaded
}

// newReporter makes a reporter, and a meter whose failures it tells of.
func newReporter(events *Events, now func() time.Time, bytesPerSecond int64) (*reporter, *objectio.Meter) {
	r, meter := &reporter{events: valueOf(events), now: now}, objectio.NewMeter(bytesPerSecond)
	meter.Tell(func(f objectio.Failure) {
		r.retry(RetryInfo{Op: f.Op, Object: f.Key, Failed: f.Times, After: f.Rest, Err: f.Err})
	})
	return r, meter
}

// begin starts a phase of about total bytes.
func (r *reporter) begin(p Phase, total int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past += r.info.Done
	r.begun = r.now()
	r.told = r.begun
	if r.first.IsZero() {
		r.first = r.begun
	}
	r.info = ProgressInfo{Phase: p, Total: total}
}

// add reports bytes done.
func (r *reporter) add(n int64) {
	if r.count(n) {
		r.tell()
	}
}

// count adds bytes done, and reports whether to say so.
func (r *reporter) count(n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.info.Done += n
	r.info.Total = max(r.info.Total, r.info.Done)
	now := r.now()
	if now.Sub(r.told) < progressInterval {
		return false
	}
	r.told = now
	return true
}

// end reports the phase as done, which makes its total exact.
func (r *reporter) end() {
	r.mu.Lock()
	r.info.Total = r.info.Done
	r.mu.Unlock()
	r.tell()
}

func (r *reporter) tell() {
	r.turn.Lock()
	defer r.turn.Unlock()
	if r.events.Progress != nil {
		r.events.Progress(r.progress())
	}
}

func (r *reporter) progress() ProgressInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = r.now()
	r.info.Elapsed = r.told.Sub(r.begun)
	return r.info
}

// forget begins to count anew what is stored.
func (r *reporter) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats = Stats{}
}

// stored adds to what Status says of a run that goes on.
func (r *reporter) stored(s Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats = r.stats.plus(s)
}

// fill says how far the run is.
func (r *reporter) fill(s *JobStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if total := r.past + r.info.Total; total > 0 {
		r.fraction = max(r.fraction, float64(r.past+r.info.Done)/float64(total))
	}
	s.Phase, s.Fraction, s.Stats = string(r.info.Phase), r.fraction, r.stats
	s.ETA = 0
	if elapsed := r.now().Sub(r.first); r.fraction > 0 && elapsed > 0 {
		s.ETA = time.Duration(float64(elapsed) * (1 - r.fraction) / r.fraction)
	}
}

func (r *reporter) file(f FileInfo) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if r.events.File != nil {
		r.events.File(f)
	}
}

func (r *reporter) layer(l LayerInfo) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if r.events.Layer != nil {
		r.events.Layer(l)
	}
}

func (r *reporter) longChain(l LongChainInfo) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if r.events.LongChain != nil {
		r.events.LongChain(l)
	}
}

func (r *reporter) retry(i RetryInfo) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if r.events.Retry != nil {
		r.events.Retry(i)
	}
}

func (r *reporter) locked(l LockedInfo) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if r.events.Locked != nil {
		r.events.Locked(l)
	}
}
