package faultblob

import (
	"context"
	"fmt"
	"strings"
)

// Kind is what an operation does.
type Kind int

// A put is one operation, at the moment of its commit: what is cancelled before is
// none. So is a get, however much of it is read.
const (
	Put Kind = iota
	Get
	Head
	List // of one page; Key is the prefix
	Delete
	Copy // Key is the destination
)

var kinds = [...]string{"put", "get", "head", "list", "delete", "copy"}

func (k Kind) String() string { return kinds[k] }

// Op is one operation.
type Op struct {
	N     int // from 1; 0 while parked
	Kind  Kind
	Key   string
	Fault Fault // what went wrong with it
}

func (o Op) String() string {
	text := fmt.Sprintf("%d %s %s", o.N, o.Kind, o.Key)
	if o.Fault.Kind != None {
		text += " " + o.Fault.String()
	}
	return text
}

// begin parks the operation, gives it a number and a place in the trace, judges its
// key and decides what is to go wrong with it.
func (b *Bucket) begin(ctx context.Context, op Op) Op {
	if park := b.parking(); park != nil {
		park(ctx, op)
	}
	b.mu.Lock()
	op.N = len(b.trace) + 1
	if b.inject != nil {
		op.Fault = b.inject(op)
	}
	b.trace = append(b.trace, op)
	b.mu.Unlock()
	b.judgeKey(op)
	return op
}

func (b *Bucket) parking() func(context.Context, Op) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.park
}

// Trace is every operation since the last Reset, in order.
func (b *Bucket) Trace() []Op {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Op(nil), b.trace...)
}

// String is the trace, an operation a line.
func (b *Bucket) String() string {
	var text strings.Builder
	for _, op := range b.Trace() {
		fmt.Fprintln(&text, op)
	}
	return text.String()
}

// Count is the number of operations of a kind since the last Reset.
func (b *Bucket) Count(kind Kind) int {
	n := 0
	for _, op := range b.Trace() {
		if op.Kind == kind {
			n++
		}
	}
	return n
}

// Counts is the number of operations of each kind that occurred: "put 4, head 2".
func (b *Bucket) Counts() string {
	var parts []string
	for kind, name := range kinds {
		if n := b.Count(Kind(kind)); n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, n))
		}
	}
	return strings.Join(parts, ", ")
}

// Reset empties the trace; the next operation is number 1. Objects and hooks stay.
func (b *Bucket) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trace, b.puts = nil, nil
}
