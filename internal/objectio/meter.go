package objectio

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// maxBurst bounds the bytes that pass unpaced after a rest.
const maxBurst = 1 << 20

// Meter counts requests and paces the bytes of their bodies, in both directions
// together. Its zero value counts and does not pace. It is safe for concurrent use
// and may serve many buckets.
type Meter struct {
	puts, gets, lists, heads, deletes, retries atomic.Int64

	limiter *rate.Limiter // nil: unlimited
	tell    func(Failure) // nil: nobody asked
}

// Failure is a request that failed and is about to be made again.
type Failure struct {
	Op, Key string        // the key without the bucket's prefix; of a listing, what keys begin with
	Times   int           // in a row
	Rest    time.Duration // until it is made again
	Err     error
}

// Tell has f told of failures, by those who make the requests, several at once. To be
// called before the meter is used.
func (m *Meter) Tell(f func(Failure)) { m.tell = f }

// NewMeter paces to bytesPerSecond; 0 is unlimited.
func NewMeter(bytesPerSecond int64) *Meter {
	m := new(Meter)
	if bytesPerSecond > 0 {
		m.limiter = rate.NewLimiter(rate.Limit(bytesPerSecond), int(min(bytesPerSecond, maxBurst)))
	}
	return m
}

// Requests is the number of requests, repeated ones included. A driver that splits
// or repeats a request below counts once.
func (m *Meter) Requests() int64 {
	return m.Puts() + m.Gets() + m.Lists() + m.Heads() + m.Deletes()
}

// Retries is how many of the requests repeated a failed one.
func (m *Meter) Retries() int64 { return m.retries.Load() }

// Puts is the number of uploads begun.
func (m *Meter) Puts() int64 { return m.puts.Load() }

// Gets is the number of reads begun, of whole objects or ranges.
func (m *Meter) Gets() int64 { return m.gets.Load() }

// Lists is the number of pages asked for.
func (m *Meter) Lists() int64 { return m.lists.Load() }

// Heads is the number of questions for an object's size.
func (m *Meter) Heads() int64 { return m.heads.Load() }

// Deletes is the number of deletions asked for.
func (m *Meter) Deletes() int64 { return m.deletes.Load() }

// pace waits until n more bytes may pass. It fails when ctx is over.
func (m *Meter) pace(ctx context.Context, n int) error {
	for m.limiter != nil && n > 0 {
		step := min(n, m.limiter.Burst())
		if m.limiter.WaitN(ctx, step) != nil {
			return overdue(ctx)
		}
		n -= step
	}
	return ctx.Err()
}

// overdue is the error of a wait that ctx ends. The limiter does not wait where
// the deadline would come first, so it may still be ahead.
func overdue(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return context.DeadlineExceeded
}
