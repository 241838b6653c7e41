package varve

import (
	"errors"
	"fmt"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/internal/objectio"
	"github.com/varvekv/varve/sink"
)

// ErrNoLayer is returned where no backup is found under the given path, ID or
// time: list the layers and choose another.
var ErrNoLayer = errors.New("no such backup")

// ErrNoFull is returned where there is no full backup that an incremental could
// extend: take a full.
var ErrNoFull = errors.New("no full backup to extend")

// ErrConflict is returned where another process finished what this one had begun, or
// declared it dead, or is expiring the layer that was to be extended: call again.
var ErrConflict = errors.New("another writer committed first")

// ErrNoKey is returned where something is sealed and no key was given that could open it:
// give one in CollectionOptions.Encryption.
var ErrNoKey = errors.New("the collection is sealed, and no key was given that opens it")

// ErrWrongKey is returned where none of the given keys opens what is sealed: give another.
var ErrWrongKey = errors.New("no given key opens it")

// OptionError names an option or argument that cannot be: fix the call.
type OptionError struct{ Field, Reason string }

func (e *OptionError) Error() string { return "option " + e.Field + ": " + e.Reason }

// TargetError names a target that cannot be backed up or restored: fix the call.
type TargetError struct{ Name, Reason string }

func (e *TargetError) Error() string { return "target " + e.Name + ": " + e.Reason }

// DependencyError says that an object cannot be restored without another, which is not
// among the targets: add it, or go on without by BackupOptions.AllowMissing and
// RestoreOptions.SkipMissing.
type DependencyError struct{ Object, Needs, Kind string }

func (e *DependencyError) Error() string {
	return fmt.Sprintf("%s needs %s, which is no target: dependency %s", e.Object, e.Needs, e.Kind)
}

// OrderError says that a layer's keys are ordered otherwise than a store's, or by
// an order that nobody has given: restore into a store of the order Want.
type OrderError struct{ Want, Got string }

func (e *OrderError) Error() string { return fmt.Sprintf("key order: want %q, got %q", e.Want, e.Got) }

// NoRestorePointError says that nothing was backed up at AsOf, and names the
// nearest points: choose one. A zero Before or After means that there is none.
type NoRestorePointError struct{ AsOf, Before, After Timestamp }

func (e *NoRestorePointError) Error() string {
	msg := "no restore point at " + e.AsOf.String()
	if !e.Before.IsZero() {
		msg += ", the one before is " + e.Before.String()
	}
	if !e.After.IsZero() {
		msg += ", the one after is " + e.After.String()
	}
	return msg
}

// ChainGapError says that the layers of a chain do not follow one another: take a
// full backup.
type ChainGapError struct{ Layer, Want, Got string }

func (e *ChainGapError) Error() string {
	return fmt.Sprintf("layer %s: want parent %s, got %s", e.Layer, e.Want, e.Got)
}

// LineageError says that a store has another history than the one that the layer to
// extend was taken of, or a layer than its parent: take a full backup, or let the
// store go on with the chain by BackupOptions.Adopt.
type LineageError struct{ Want, Got string }

func (e *LineageError) Error() string {
	return fmt.Sprintf("lineage: want %q, got %q", e.Want, e.Got)
}

// FormatError says that an object needs a newer reader: upgrade varve.
type FormatError struct{ Object, Feature string }

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: this version of varve does not know %s", e.Object, e.Feature)
}

// AccessError says which right is missing on storage.
type AccessError struct {
	Right, Object string
	Err           error
}

func (e *AccessError) Error() string {
	return fmt.Sprintf("no right to %s %s: %v", e.Right, e.Object, e.Err)
}

// Unwrap is the storage's own error.
func (e *AccessError) Unwrap() error { return e.Err }

type (
	// CorruptError says that an object of a collection is damaged, missing, or not
	// what its record describes. Verify lists all such objects of a layer; another
	// layer may be whole.
	CorruptError = sink.CorruptError

	// NotEmptyError says that a restore would overwrite data. Nothing was written:
	// choose an empty destination, or RestoreOptions.Replace.
	NotEmptyError = export.NotEmptyError

	// LockedError says that an export met a write not yet committed: call again.
	LockedError = export.LockedError

	// BeforeGCError says that the store no longer has the history at AsOf: choose a
	// moment from Threshold on.
	BeforeGCError = export.BeforeGCError
)

// storageError gives an error of the bucket its meaning for the caller, and a name.
func storageError(right, object string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, objectio.ErrDenied):
		return denied(right, object, err)
	case errors.Is(err, objectio.ErrNotExist), errors.Is(err, objectio.ErrSize):
		return &CorruptError{Object: object, Want: "the object as it was written", Got: err.Error()}
	}
	return fmt.Errorf("%s %s: %w", right, object, err)
}

// denied makes an *AccessError of an error that says so, and leaves others alone.
func denied(right, object string, err error) error {
	var access *AccessError
	if errors.Is(err, objectio.ErrDenied) && !errors.As(err, &access) {
		return &AccessError{Right: right, Object: object, Err: err}
	}
	return err
}
