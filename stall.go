package varve

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// defaultStall is how long nothing at all may come of a run.
const defaultStall = 15 * time.Minute

// StallError says that nothing came of a run for too long, and what it was at: the store
// gave nothing of Span, or storage took nothing of Object. Call again, or resume the job.
type StallError struct {
	Phase  Phase
	Span   Span
	Object string // "": none was being stored
	For    time.Duration
}

func (e *StallError) Error() string {
	text := fmt.Sprintf("%s of %s stands still for %s", e.Phase, e.Span, e.For)
	if e.Object != "" {
		text += ", at the object " + e.Object
	}
	return text
}

// vigil watches over what a run works on. Whatever passes, of any of it, resets it. It asks
// when half of the time is over, so that single entries are noticed at the price of a look.
type vigil struct {
	limit time.Duration
	asks  atomic.Bool // whether anything passes
	stop  context.CancelCauseFunc

	mu     sync.Mutex
	timer  *time.Timer
	busy   []*effort // that which has been at it the longest first
	paused int       // callers that were asked to go on, and have not answered
	phase  Phase
}

// effort is one piece of work.
type effort struct {
	span   Span
	object string // that it stores
}

// watch ends ctx, with a *StallError for its cause, when nothing comes of what is being
// worked on.
func (v *vigil) watch(ctx context.Context) (_ context.Context, end func()) {
	ctx, stop := context.WithCancelCause(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stop = stop
	v.timer = time.AfterFunc(v.limit/2, v.expire)
	v.timer.Stop()
	return ctx, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.timer.Stop()
		v.timer = nil
		stop(nil)
	}
}

// cause is why a run has ended its own context, if that is what err is the consequence of.
func cause(ctx context.Context, err error) error {
	why := context.Cause(ctx)
	var stall *StallError
	if err != nil && (errors.As(why, &stall) || errors.Is(why, errLost)) {
		return why
	}
	return err
}

func (v *vigil) expire() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.timer == nil || len(v.busy) == 0 || v.paused > 0 {
		return
	}
	if !v.asks.Swap(true) {
		v.timer.Reset(v.limit - v.limit/2)
		return
	}
	v.stop(&StallError{Phase: v.phase, Span: v.busy[0].span, Object: v.busy[0].object, For: v.limit})
}

// progress says that something has come.
func (v *vigil) progress() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reset()
}

// passed says that an entry has come.
func (v *vigil) passed() {
	if v.asks.Load() {
		v.progress()
	}
}

func (v *vigil) reset() {
	v.asks.Store(false)
	switch {
	case v.timer == nil:
	case len(v.busy) == 0 || v.paused > 0:
		v.timer.Stop()
	default:
		v.timer.Reset(v.limit / 2)
	}
}

// working watches over a piece of work until done is called.
func (v *vigil) working(phase Phase, span Span) (_ *effort, done func()) {
	e := &effort{span: span}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.phase, v.busy = phase, append(v.busy, e)
	v.reset()
	return e, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		for i := range v.busy {
			if v.busy[i] == e {
				v.busy = append(v.busy[:i:i], v.busy[i+1:]...)
				break
			}
		}
		v.reset()
	}
}

// storing names the object that a piece of work stores, "" for none.
func (v *vigil) storing(e *effort, object string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e.object = object
	v.reset()
}

// asking lets somebody else take his time until answered is called.
func (v *vigil) asking() (answered func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.paused++
	v.reset()
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.paused--
		v.reset()
	}
}
