package objectio

import (
	"context"
	"errors"
	"time"
)

// uploadPatience times that with a request is how long storage may take no bytes of a
// stream. Drivers hold several parts in memory, all of which may have to leave before the
// next is taken.
const uploadPatience = 5

// ErrStalled says that storage took no bytes, or sent none, for too long.
var ErrStalled = errors.New("storage made no progress in time")

// watch ends a context when something takes too long. It is used by one goroutine
// at a time.
type watch struct {
	ctx      context.Context // what is watched: the request's
	patience time.Duration
	cancel   context.CancelCauseFunc
	timer    *time.Timer
}

// newWatch watches nothing until begin is called. It must be closed.
func newWatch(parent context.Context, patience time.Duration) *watch {
	ctx, cancel := context.WithCancelCause(parent)
	timer := time.AfterFunc(patience, func() { cancel(ErrStalled) })
	timer.Stop()
	return &watch{ctx: ctx, patience: patience, cancel: cancel, timer: timer}
}

func (w *watch) begin() { w.timer.Reset(w.patience) }
func (w *watch) end()   { w.timer.Stop() }

// why is err, or what made the watch cause it.
func (w *watch) why(err error) error {
	if err != nil && errors.Is(context.Cause(w.ctx), ErrStalled) {
		return ErrStalled
	}
	return err
}

// close frees the watch and ends its context.
func (w *watch) close() {
	w.timer.Stop()
	w.cancel(nil)
}

// once does something that may take so long at most.
func once(ctx context.Context, patience time.Duration, do func(ctx context.Context) error) error {
	w := newWatch(ctx, patience)
	defer w.close()
	w.begin()
	return w.why(do(w.ctx))
}
