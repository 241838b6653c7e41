package objectio

import (
	"context"
	"errors"
	"time"
)

// Retry says how a request that fails is repeated. A zero field has its default.
// Drivers repeat below, too, each in its own way; this catches what they leave.
type Retry struct {
	Attempts int           // 0: 6
	First    time.Duration // the rest before the first repetition, each further one is twice as long; 0: 100 ms
	Most     time.Duration // the longest rest; 0: 10 s
	Patience time.Duration // how long an answer, or the next bytes of one, may take; 0: a minute
}

// normal is r with its defaults.
func (r Retry) normal() Retry {
	if r.Attempts == 0 {
		r.Attempts = 6
	}
	if r.First == 0 {
		r.First = 100 * time.Millisecond
	}
	if r.Most == 0 {
		r.Most = 10 * time.Second
	}
	if r.Patience == 0 {
		r.Patience = time.Minute
	}
	return r
}

// rest is how long to wait before the repetition that follows n earlier ones.
func (r Retry) rest(n int) time.Duration {
	for rest := r.First; ; rest *= 2 {
		if n == 0 || rest >= r.Most {
			return min(rest, r.Most)
		}
		n--
	}
}

// slowest is how many bytes a second an object must be taken in, beside the patience
// there is with every request.
const slowest = 64 << 10

// deadline is how long one attempt to send that many bytes may take.
func (r Retry) deadline(bytes int) time.Duration {
	return r.Patience + time.Duration(bytes)*time.Second/slowest
}

// retry does what do does until it succeeds or there is no point in going on.
func (b *Bucket) retry(ctx context.Context, op, key string, do func(ctx context.Context) error) error {
	for n := 0; ; n++ {
		err := once(ctx, b.retries.Patience, do)
		if err == nil || !transient(err) || !b.again(ctx, op, key, n, err) {
			return err
		}
	}
}

// again waits before the repetition, after err, that follows n earlier ones. It is false
// when there were enough or ctx ends.
func (b *Bucket) again(ctx context.Context, op, key string, n int, err error) bool {
	if n >= b.retries.Attempts-1 || ctx.Err() != nil {
		return false
	}
	rest := b.retries.rest(n)
	if b.meter.tell != nil {
		b.meter.tell(Failure{Op: op, Key: key, Times: n + 1, Rest: rest, Err: fail(ctx, op, key, err)})
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
		b.meter.retries.Add(1)
		return true
	case <-ctx.Done():
		return false
	}
}

// resend reports whether to send an object again that was not taken, by err, and of
// which storage then said missing.
func (b *Bucket) resend(ctx context.Context, key string, n int, err, missing error) bool {
	return errors.Is(missing, ErrNotExist) && absentTransient(err) && b.again(ctx, "put", key, n, err)
}
