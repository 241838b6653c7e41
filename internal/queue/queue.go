// Package queue hands tasks out to workers, each to one of them. A task that cannot be
// done yet goes back to the tail, and is not handed out again before its time, while
// others are.
package queue

import (
	"context"
	"sync"
	"time"
)

// Queue is safe for concurrent use. Whoever takes a task ends with one call of Done or
// Retry.
type Queue[T any] struct {
	mu      sync.Mutex
	waiting []item[T] // the head first
	out     int       // taken, and neither done nor back
	changed chan struct{}
}

type item[T any] struct {
	task T
	due  time.Time
}

// New is a queue of tasks that are due, the first at its head.
func New[T any](tasks []T) *Queue[T] {
	q := &Queue[T]{changed: make(chan struct{})}
	for _, t := range tasks {
		q.waiting = append(q.waiting, item[T]{task: t})
	}
	return q
}

// Next takes the first task that is due, and waits for one if there is none. It is false
// when all are done, and none can come back.
func (q *Queue[T]) Next(ctx context.Context) (task T, ok bool, err error) {
	for {
		task, ok, wait, changed := q.take()
		if ok || wait == nil && changed == nil {
			return task, ok, nil
		}
		if err := pause(ctx, wait, changed); err != nil {
			return task, false, err
		}
	}
}

// take is the first task that is due. If there is none it is how long until one is, nil if
// none waits, and what tells of a change, nil if there will be none.
func (q *Queue[T]) take() (task T, ok bool, wait *time.Duration, changed chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, it := range q.waiting {
		left := time.Until(it.due)
		if left <= 0 {
			copy(q.waiting[1:i+1], q.waiting[:i]) // nothing, for most are due
			q.waiting = q.waiting[1:]
			q.out++
			return it.task, true, nil, nil
		}
		if wait == nil || left < *wait {
			wait = &left
		}
	}
	if q.out > 0 {
		changed = q.changed
	}
	return task, false, wait, changed
}

func pause(ctx context.Context, wait *time.Duration, changed chan struct{}) error {
	var due <-chan time.Time
	if wait != nil {
		timer := time.NewTimer(*wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
	case <-changed:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Done says that a task that was taken will not come back.
func (q *Queue[T]) Done() { q.back(nil) }

// Retry puts a task that was taken, or what is left of it, at the tail, for a time to come.
func (q *Queue[T]) Retry(task T, due time.Time) { q.back(&item[T]{task: task, due: due}) }

func (q *Queue[T]) back(it *item[T]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.out--
	if it != nil {
		q.waiting = append(q.waiting, *it)
	}
	close(q.changed)
	q.changed = make(chan struct{})
}
