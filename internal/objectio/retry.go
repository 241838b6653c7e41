package objectio

import (
	"context"
	"time"
)

// A request that fails is repeated tries-1 times, after 100 ms and then twice as
// long each time: 3.1 s together. Drivers repeat below, too, each in its own way and
// most of them for seconds; this catches what they leave.
const (
	tries      = 6
	firstDelay = 100 * time.Millisecond
)

// retry does what do does until it succeeds or there is no point in going on. Each
// time has a minute.
func (b *Bucket) retry(ctx context.Context, do func(ctx context.Context) error) error {
	for n := 0; ; n++ {
		err := once(ctx, do)
		if err == nil || !transient(err) || !b.again(ctx, n) {
			return err
		}
	}
}

// again waits before the repetition that follows n earlier ones. It is false when
// there were enough or ctx ends.
func (b *Bucket) again(ctx context.Context, n int) bool {
	if n >= tries-1 {
		return false
	}
	timer := time.NewTimer(firstDelay << n)
	defer timer.Stop()
	select {
	case <-timer.C:
		b.meter.retries.Add(1)
		return true
	case <-ctx.Done():
		return false
	}
}
