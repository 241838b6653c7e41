package varve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varvekv/varve/export"
)

// LockOptions say what a backup does about locks: writes that are not committed, and
// may turn out to be part of the moment that is backed up. It never skips one, and
// never waits for ever. The zero value is the defaults.
type LockOptions struct {
	// PushAfter is how long after the moment that is backed up the holders of locks are
	// left alone. After it the store is asked to resolve their locks, which may make them
	// fail. 0: a minute.
	PushAfter time.Duration
	// RetryDelay is how long what is behind a lock is left alone, while the rest is
	// exported. 0: 5 s.
	RetryDelay time.Duration
	// AttemptTimeout is how long the store may take for one attempt, which reads a few
	// megabytes; also how long pushing is tried. 0: 5 min.
	AttemptTimeout time.Duration
}

func (o *LockOptions) complete() error {
	err := notNegative(
		amount{"Locks.PushAfter", int64(o.PushAfter)}, amount{"Locks.RetryDelay", int64(o.RetryDelay)}, amount{"Locks.AttemptTimeout", int64(o.AttemptTimeout)},
	)
	o.PushAfter = cmp.Or(o.PushAfter, time.Minute)
	o.RetryDelay = cmp.Or(o.RetryDelay, 5*time.Second)
	o.AttemptTimeout = cmp.Or(o.AttemptTimeout, 5*time.Minute)
	return err
}

// schedulePush sees to it that locks are pushed in time. The moment that is backed up may
// lie in the past; should the clock say that it lies in the future, it is now.
func (r *run) schedulePush() {
	age := min(max(r.age(), 0), r.opts.Locks.PushAfter)
	if age == r.opts.Locks.PushAfter {
		r.pushes.Store(true)
		return
	}
	r.pushTimer = time.AfterFunc(r.opts.Locks.PushAfter-age, func() { r.pushes.Store(true) })
}

// age is how long ago the moment was that is backed up.
func (r *run) age() time.Duration { return r.c.opts.Now().Sub(r.layer.End.Time()) }

// locked is the lock that an export has met, nil if err is about anything else.
func locked(err error) *export.LockedError {
	var l *export.LockedError
	if errors.As(err, &l) {
		return l
	}
	return nil
}

// errPushed marks a lock that was met although the store was asked to resolve it.
var errPushed = errors.New("pushed")

// postpone leaves what is left of a task behind a lock for later, unless the store has
// been asked for long to resolve the lock and cannot.
func (r *run) postpone(t *task, err error) error {
	l, delay := locked(err), r.opts.Locks.RetryDelay
	if errors.Is(err, errPushed) {
		if t.pushing >= r.opts.Locks.AttemptTimeout {
			return err
		}
		t.pushing += delay
	}
	age := r.age()
	t.pushes = r.pushes.Load() || age+delay >= r.opts.Locks.PushAfter
	r.c.opts.Logger.Debug("export meets a lock", "collection", r.c.name, "layer", r.layer.ID, "span", t.span.String(), "holder", l.Holder)
	r.report.locked(LockedInfo{Span: t.span, Key: l.Key, Holder: l.Holder, Age: age, Pushes: t.pushes})
	return nil
}

// policy is what the store is asked to do about locks in the span of a task.
func (t *task) policy() export.LockPolicy {
	if t.pushes {
		return export.PushLocks
	}
	return export.SkipLocks
}

// look finds out how much of its history the store has lost by now.
func (r *run) look(ctx context.Context) error {
	if !r.opts.RevisionHistory {
		return nil
	}
	now, err := r.targets.store.Info(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	r.gone = now.Oldest
	return nil
}

// oldest is the oldest moment that can be restored from the layer. Where it was exported
// from the beginning, that is as far as the store had not forgotten when all was done;
// it forgets no more than it says beforehand. What was found by comparing is only known
// at the end.
func (r *run) oldest() Timestamp {
	switch {
	case !r.opts.RevisionHistory, r.changes == FromChain:
		return r.layer.End
	case len(r.introduced) == 0 && r.parent != nil:
		return r.layer.Start
	}
	oldest := r.layer.Start
	if oldest.Compare(r.gone) < 0 {
		oldest = r.gone
	}
	if r.layer.End.Compare(oldest) < 0 {
		return r.layer.End
	}
	return oldest
}
