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
	due     []T // the head first
	out     int // taken and not done, or not due
	timers  []*time.Timer
	changed chan struct{} // closed at the next change
}

// New is a queue of tasks that are due, the first at its head.
func New[T any](tasks []T) *Queue[T] {
	return &Queue[T]{due: tasks, changed: make(chan struct{})}
}

// Next takes the first task that is due, and waits for one if there is none. It is false
// when all are done, and none can come back.
func (q *Queue[T]) Next(ctx context.Context) (task T, ok bool, err error) {
	for {
		task, ok, changed := q.take()
		if ok || changed == nil {
			return task, ok, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return task, false, ctx.Err()
		}
	}
}

// take is the first task that is due. If there is none it is what tells of a change, nil if
// there will be none.
func (q *Queue[T]) take() (task T, ok bool, changed chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.due) > 0:
		task, q.due = q.due[0], q.due[1:]
		q.out++
		return task, true, nil
	case q.out > 0:
		return task, false, q.changed
	}
	return task, false, nil
}

// Done says that a task that was taken will not come back.
func (q *Queue[T]) Done() { q.back() }

// Retry puts a task that was taken, or what is left of it, at the tail when the time has
// passed.
func (q *Queue[T]) Retry(task T, after time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.timers = append(q.timers, time.AfterFunc(after, func() { q.back(task) }))
}

func (q *Queue[T]) back(tasks ...T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.out--
	q.due = append(q.due, tasks...)
	close(q.changed)
	q.changed = make(chan struct{})
}

// Close forgets the tasks that are not due. It is called when nobody takes any more.
func (q *Queue[T]) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.timers {
		t.Stop() // one that is running finds a queue that nobody uses
	}
}
