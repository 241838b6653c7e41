package export

import (
	"errors"
	"fmt"
)

// ErrNoBase is returned where a store cannot tell exactly what changed after a
// timestamp.
var ErrNoBase = errors.New("store: changes since that timestamp are not known")

// ErrClosed is returned by calls on a store whose database was closed, and on
// snapshots and ingesters that were.
var ErrClosed = errors.New("store: closed")

// ErrCommitAgain is returned by Ingester.Commit where the load is visible and its
// durability is not certain: Commit must be called again.
var ErrCommitAgain = errors.New("store: commit again")

// ErrUnsound is returned where a table that was to be copied as it is holds anything
// but keys that are set once.
var ErrUnsound = errors.New("store: table cannot be copied as it is")

// BeforeGCError is returned where a moment is asked for whose history a store with
// revisions keeps no longer: the oldest that it can show is Threshold.
type BeforeGCError struct{ AsOf, Threshold Timestamp }

func (e *BeforeGCError) Error() string {
	return fmt.Sprintf("store: history at %s is gone, the oldest is %s", e.AsOf, e.Threshold)
}

// LockedError is returned where an export meets a write that is not committed.
type LockedError struct {
	Span   Span
	Key    []byte
	Holder string
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("store: key %q is locked by %s", e.Key, e.Holder)
}

// NotEmptyError is returned by Ingest and Commit where a span that must be empty
// holds data, or an object that is published bears the name of another.
type NotEmptyError struct {
	Name string // of the directory, or the path of the object that is there
	Span Span   // as given; zero where Name is all there is to say
}

func (e *NotEmptyError) Error() string {
	switch {
	case e.Name == "":
		return fmt.Sprintf("store: span %s is not empty", e.Span)
	case len(e.Span.Start)+len(e.Span.End) == 0:
		return fmt.Sprintf("store: %s is there already", e.Name)
	}
	return fmt.Sprintf("store: %s: span %s is not empty", e.Name, e.Span)
}
