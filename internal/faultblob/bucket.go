package faultblob

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// Options of a Bucket; the zero value is right for most tests.
type Options struct {
	Over  *blob.Bucket // keeps the objects; nil: a new one in memory
	Allow Rule         // rules that are not judged
	// Now is the bucket's clock, by which objects are dated. nil: that of Over.
	Now func() time.Time
}

// Bucket is the test's side of the bucket: it sets faults, reads the trace and
// damages objects. The code under test gets [Bucket.Open]. It is safe for
// concurrent use.
type Bucket struct {
	tb    testing.TB
	under *blob.Bucket
	allow Rule
	now   func() time.Time

	commit sync.Mutex // held while a write is judged and applied

	mu     sync.Mutex // guards the rest
	trace  []Op
	inject func(Op) Fault
	park   func(context.Context, Op)

	readers atomic.Int64 // that are open

	written sync.Mutex           // guards what follows, which hooks change while they hold mu
	wrote   []string             // keys, in the order of their writes
	dates   map[string]time.Time // of objects, by the bucket's clock
}

// New is a bucket that reports to tb whoever breaks a rule.
func New(tb testing.TB, opts *Options) *Bucket {
	if opts == nil {
		opts = new(Options)
	}
	b := &Bucket{tb: tb, under: opts.Over, allow: opts.Allow, now: opts.Now}
	if b.under == nil {
		b.under = memblob.OpenBucket(nil)
	}
	return b
}

// Open is a handle as one process has it. Closing it leaves the objects and the
// other handles alone.
func (b *Bucket) Open() *blob.Bucket { return blob.NewBucket(driver{b}) }

// Readers is how many readers were opened and not closed.
func (b *Bucket) Readers() int { return int(b.readers.Load()) }

// Date sets when an object was written, as far as the bucket says.
func (b *Bucket) Date(key string, at time.Time) {
	b.written.Lock()
	defer b.written.Unlock()
	if b.dates == nil {
		b.dates = map[string]time.Time{}
	}
	b.dates[key] = at
}

// dated is when an object was written.
func (b *Bucket) dated(key string, under time.Time) time.Time {
	b.written.Lock()
	defer b.written.Unlock()
	if at, ok := b.dates[key]; ok {
		return at
	}
	return under
}

// Inject lets hook decide what goes wrong with each operation from now on; nil:
// nothing. Hook is called for one operation at a time and must not call the bucket.
func (b *Bucket) Inject(hook func(Op) Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inject = hook
}

// Park calls hook before each operation, which does not begin before hook returns
// and is numbered then: whoever releases calls one by one chooses their order. Hook
// is called concurrently. nil: no waiting.
func (b *Bucket) Park(hook func(context.Context, Op)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.park = hook
}

// note says that an object was written, now.
func (b *Bucket) note(key string) {
	if b.now != nil {
		b.Date(key, b.now())
	}
	b.written.Lock()
	defer b.written.Unlock()
	b.wrote = append(b.wrote, key)
}

// unlisted are the keys that a listing with this fault does not show.
func (b *Bucket) unlisted(f Fault) []string {
	if f.Kind != Stale {
		return nil
	}
	b.written.Lock()
	defer b.written.Unlock()
	return slices.Clone(b.wrote[max(0, len(b.wrote)-int(f.At)):])
}
