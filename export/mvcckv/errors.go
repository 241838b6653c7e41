package mvcckv

import (
	"errors"
	"fmt"
)

// Conflict says what ended a transaction.
type Conflict int

const (
	// Locked: another open transaction has written to the key.
	Locked Conflict = iota
	// WrittenSince: the key was written after the transaction began.
	WrittenSince
	// Pushed: somebody with a higher priority wanted a key that the transaction had
	// locked.
	Pushed
)

var conflictNames = [...]string{"is locked by", "was written after this transaction began", "was wanted by"}

// RetryError ends a transaction that cannot go on: roll it back, and begin anew. What
// [Store.Update] is for.
type RetryError struct {
	Conflict Conflict
	Key      []byte
	Holder   string // the other transaction; "" where it is not known

	over <-chan struct{} // closed when the other one has ended; nil: at once
}

func (e *RetryError) Error() string {
	text := fmt.Sprintf("transaction: retry: key %q %s", e.Key, conflictNames[e.Conflict])
	if e.Holder != "" {
		text += " " + e.Holder
	}
	return text
}

var (
	errReadOnly = errors.New("a transaction as of the past does not write")
	errEnded    = errors.New("the transaction has ended")
)
