package varve

import (
	"sync"
	"time"

	"github.com/varvekv/varve/internal/objectio"
)

// RetryOptions say how a request to storage is repeated, above what its driver does by
// itself. They hold for objects of up to 4 MiB, and for all that is read. A larger
// object is streamed while the store is read: if its driver gives up, the backup fails.
type RetryOptions struct {
	// Attempts is how often a request is made. 0: 6. 1: never again.
	Attempts int
	// MinBackoff is the rest before the first repetition. Each further one is twice as
	// long, up to MaxBackoff. 0: 100 ms.
	MinBackoff time.Duration
	// MaxBackoff is the longest rest. 0: 10 s.
	MaxBackoff time.Duration
	// AttemptTimeout is how long one attempt may take to be answered, or to bring the next
	// bytes; an object that is sent has a second more for each 64 KiB. A stream may stand
	// still five times as long. 0: 1 min.
	AttemptTimeout time.Duration
}

func (o RetryOptions) check() error {
	if o.MaxBackoff > 0 && o.MaxBackoff < o.MinBackoff {
		return &OptionError{Field: "Retry.MaxBackoff", Reason: "is less than MinBackoff"}
	}
	return notNegative(
		amount{"Retry.Attempts", int64(o.Attempts)}, amount{"Retry.MinBackoff", int64(o.MinBackoff)}, amount{"Retry.MaxBackoff", int64(o.MaxBackoff)},
		amount{"Retry.AttemptTimeout", int64(o.AttemptTimeout)},
	)
}

func (o RetryOptions) retry() objectio.Retry {
	return objectio.Retry{Attempts: o.Attempts, First: o.MinBackoff, Most: o.MaxBackoff, Patience: o.AttemptTimeout}
}

// patience is for work that storage fails half way: the driver of a bucket repeats what
// fails of a stream, and when it gives up, what is left of the work is begun again. Whatever
// is done meanwhile makes it forget what failed.
type patience struct {
	opts RetryOptions

	mu     sync.Mutex
	failed int // times in a row
}

const (
	defaultAttempts   = 6
	defaultMinBackoff = 100 * time.Millisecond
	defaultMaxBackoff = 10 * time.Second
)

func newPatience(o RetryOptions) *patience {
	if o.Attempts == 0 {
		o.Attempts = defaultAttempts
	}
	if o.MinBackoff == 0 {
		o.MinBackoff = defaultMinBackoff
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = max(defaultMaxBackoff, o.MinBackoff)
	}
	return &patience{opts: o}
}

// next is how often in a row something failed, and how long to rest before it is tried
// again; 0, if there is no point.
func (p *patience) next() (failed int, rest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed++
	if p.failed >= p.opts.Attempts {
		return 0, 0
	}
	rest = p.opts.MinBackoff
	for range p.failed - 1 {
		rest = min(2*rest, p.opts.MaxBackoff)
	}
	return p.failed, rest
}

// progress says that something was done.
func (p *patience) progress() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = 0
}
