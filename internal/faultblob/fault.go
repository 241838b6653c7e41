package faultblob

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// FaultKind is a way to go wrong.
type FaultKind int

const (
	None      FaultKind = iota
	Lost                // not applied, reported as failed
	Applied             // applied, reported as failed
	Repeated            // applied, then refused because the object exists: a client repeated a put whose reply was lost
	Denied              // refused for want of a right
	Delayed             // not applied; answers when the context ends
	Truncated           // a read that ends after Fault.At bytes as if that were all
	Reset               // a read that fails after Fault.At bytes
	Stale               // a listing without what was put after operation Fault.At
)

var faults = [...]string{"none", "lost", "applied", "repeated", "denied", "delayed", "truncated", "reset", "stale"}

// Fault is what goes wrong with one operation. Zero: nothing.
type Fault struct {
	Kind FaultKind
	At   int64 // bytes delivered by Truncated and Reset; the last operation that Stale shows
}

func (f Fault) String() string { return faults[f.Kind] }

// Nth makes f happen to operation n.
func Nth(n int, f Fault) func(Op) Fault {
	return func(op Op) Fault {
		if op.N == n {
			return f
		}
		return Fault{}
	}
}

// From makes f happen to operation n and all that follow: with Lost, the process
// dies before n, as far as storage can tell.
func From(n int, f Fault) func(Op) Fault {
	return func(op Op) Fault {
		if op.N >= n {
			return f
		}
		return Fault{}
	}
}

// ErrInjected is in the chain of every injected error, as far as drivers keep one.
var ErrInjected = errors.New("injected fault")

var (
	errDenied   = fmt.Errorf("%w: access denied", ErrInjected)
	errRepeated = fmt.Errorf("%w: object exists", ErrInjected)
	errReset    = fmt.Errorf("%w: %w", ErrInjected, io.ErrUnexpectedEOF)
)

// do runs one operation. What apply does is its effect.
func (b *Bucket) do(ctx context.Context, op Op, apply func(Op) error) error {
	op = b.begin(ctx, op)
	switch op.Fault.Kind {
	case Lost:
		return ErrInjected
	case Applied:
		return after(apply(op), ErrInjected)
	case Repeated:
		return after(apply(op), errRepeated)
	case Denied:
		return errDenied
	case Delayed:
		<-ctx.Done()
		return ctx.Err()
	case Truncated, Reset:
		if op.Kind != Get {
			b.tb.Errorf("faultblob: %s: the fault is for reads", op)
		}
	case Stale:
		if op.Kind != List {
			b.tb.Errorf("faultblob: %s: the fault is for listings", op)
		}
	}
	return apply(op)
}

// after is what is reported of an operation with that outcome.
func after(outcome, report error) error {
	if outcome != nil {
		return outcome
	}
	return report
}
