package merge

import (
	"container/heap"

	"github.com/varvekv/varve/export"
)

// input is a level's points at their next entry.
type input struct {
	cursor export.Cursor
	level  int
	entry  *export.Entry
}

// next moves to the next entry, and is false at the end.
func (in *input) next() (bool, error) {
	if !in.cursor.Next() {
		return false, in.cursor.Err()
	}
	in.entry = in.cursor.Entry()
	return true, nil
}

// queue holds the inputs that have not ended, by key and then from the youngest
// to the oldest entry.
type queue struct {
	inputs  []*input
	compare func(a, b []byte) int
}

func (q *queue) Len() int      { return len(q.inputs) }
func (q *queue) Swap(i, j int) { q.inputs[i], q.inputs[j] = q.inputs[j], q.inputs[i] }
func (q *queue) Push(any)      {}

func (q *queue) Less(i, j int) bool {
	a, b := q.inputs[i], q.inputs[j]
	if c := q.compare(a.entry.Key, b.entry.Key); c != 0 {
		return c < 0
	}
	return age{a.entry.Timestamp, a.level}.compare(age{b.entry.Timestamp, b.level}) > 0
}

func (q *queue) Pop() any {
	n := len(q.inputs) - 1
	q.inputs = q.inputs[:n]
	return nil
}

// open moves every input to its first entry.
func (q *queue) open() error {
	live := q.inputs[:0]
	for _, in := range q.inputs {
		ok, err := in.next()
		if err != nil {
			return err
		}
		if ok {
			live = append(live, in)
		}
	}
	q.inputs = live
	heap.Init(q)
	return nil
}

// first is the input with the next entry, nil at the end.
func (q *queue) first() *input {
	if len(q.inputs) == 0 {
		return nil
	}
	return q.inputs[0]
}

// advance moves the first input on.
func (q *queue) advance() error {
	ok, err := q.inputs[0].next()
	switch {
	case err != nil:
		return err
	case !ok:
		heap.Pop(q)
	case len(q.inputs) > 1:
		heap.Fix(q, 0)
	}
	return nil
}
