package varve

import (
	"sync"
	"time"
)

// Events tell a program what a run does. Calls come one at a time and must return
// soon; nil funcs are skipped.
type Events struct {
	Progress func(ProgressInfo) // at most once a second, and at the end of each phase
	File     func(FileInfo)     // each file that was stored, loaded or verified
	Layer    func(LayerInfo)    // the layer that was committed, restored or verified
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

// reporter serialises the calls of Events.
type reporter struct {
	events Events
	now    func() time.Time

	mu    sync.Mutex
	info  ProgressInfo
	begun time.Time
	told  time.Time
}

func newReporter(events *Events, now func() time.Time) *reporter {
	return &reporter{events: valueOf(events), now: now}
}

// begin starts a phase of about total bytes.
func (r *reporter) begin(p Phase, total int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = r.now()
	r.told = r.begun
	r.info = ProgressInfo{Phase: p, Total: total}
}

// add reports bytes done.
func (r *reporter) add(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.info.Done += n
	r.info.Total = max(r.info.Total, r.info.Done)
	if now := r.now(); now.Sub(r.told) >= progressInterval {
		r.tell(now)
	}
}

// end reports the phase as done, which makes its total exact.
func (r *reporter) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.info.Total = r.info.Done
	r.tell(r.now())
}

func (r *reporter) tell(now time.Time) {
	r.told, r.info.Elapsed = now, now.Sub(r.begun)
	if r.events.Progress != nil {
		r.events.Progress(r.info)
	}
}

func (r *reporter) file(f FileInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events.File != nil {
		r.events.File(f)
	}
}

func (r *reporter) layer(l LayerInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events.Layer != nil {
		r.events.Layer(l)
	}
}

func (r *reporter) longChain(l LongChainInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events.LongChain != nil {
		r.events.LongChain(l)
	}
}

func (r *reporter) locked(l LockedInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events.Locked != nil {
		r.events.Locked(l)
	}
}
