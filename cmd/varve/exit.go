package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
)

// Exit statuses, which scripts rely on.
const (
	exitDone        = 0
	exitFailed      = 1 // storage, network, or the database
	exitUsage       = 2
	exitNothing     = 3 // no such backup, moment or key
	exitDamaged     = 4
	exitKey         = 5
	exitDestination = 6 // it is not empty, or a right is missing
	exitAgain       = 7
	exitDiffers     = 8 // diff --exit-code
	exitNewer       = 9
	exitInterrupted = 130
)

// usageError is a call that cannot be.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{cmd.CommandPath(), fmt.Errorf(format, args...)}
}

var (
	// errDiffers ends diff --exit-code, and is no failure.
	errDiffers = errors.New("the backups differ")
	// errNoEntry is of a key that was not there.
	errNoEntry = errors.New("no such key")
	// errBusy is of a database that another process has open.
	errBusy = errors.New("another process has the database open")
)

// is reports whether an error of type E is in err.
func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// exitCode is the status of an error. Of several, what is damaged counts first.
func exitCode(err error) int {
	switch {
	case is[*varve.CorruptError](err), is[*varve.ChainGapError](err):
		return exitDamaged
	case is[*usageError](err), is[*varve.OptionError](err), is[*varve.OrderError](err):
		return exitUsage
	case errors.Is(err, varve.ErrNoKey), errors.Is(err, varve.ErrWrongKey):
		return exitKey
	case errors.Is(err, varve.ErrNoLayer), errors.Is(err, varve.ErrNoFull), errors.Is(err, errNoEntry),
		is[*varve.NoRestorePointError](err), is[*varve.TargetError](err):
		return exitNothing
	case is[*varve.NotEmptyError](err), is[*varve.AccessError](err), is[*varve.LineageError](err):
		return exitDestination
	case errors.Is(err, varve.ErrConflict), errors.Is(err, errBusy), is[*varve.LockedError](err):
		return exitAgain
	case is[*varve.FormatError](err):
		return exitNewer
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// advice is what to do next, which err does not say.
func (a *app) advice(cmd *cobra.Command, err error) string {
	here := " -c " + a.shown()
	var miss *varve.NoRestorePointError
	var order *varve.OrderError
	var option *varve.OptionError
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		return "See: " + usage.command + " --help"
	case is[*varve.CorruptError](err) && cmd.Name() != "verify":
		return "See what else is damaged: varve verify" + here + "\nThen restore an older backup: varve list" + here
	case is[*varve.CorruptError](err):
		return "Restore another backup, and take a full one: varve list" + here
	case errors.As(err, &option) && option.Field == "collectionURL":
		return "A collection is a directory, or a URL as s3://bucket/path, gs://bucket/path or azblob://container/path."
	case errors.As(err, &order):
		return "Say in which order the keys are: --comparer bytewise or --comparer cockroachdb"
	case errors.Is(err, varve.ErrNoKey):
		return "Give a key: --passphrase-file, --identity-file or --kms\nSee which ones open it: varve keys list" + here
	case errors.Is(err, varve.ErrWrongKey):
		return "See which keys open it: varve keys list" + here
	case errors.Is(err, varve.ErrNoFull):
		return "Take a full backup: leave --into out, or add --full-every 168h"
	case errors.As(err, &miss):
		return missAdvice(miss) + "See what there is: varve list" + here
	case errors.Is(err, varve.ErrNoLayer):
		return "See what there is: varve list" + here
	case errors.Is(err, errNoEntry) && cmd.Flag("history").Value.String() == "false":
		return "See what it was before: add --history"
	case is[*varve.TargetError](err):
		return "See what the backup holds: varve show" + here
	case is[*varve.NotEmptyError](err):
		return "Give a directory that does not exist yet."
	case is[*varve.LineageError](err):
		return "If this store is to go on with the chain, add --adopt; else take a full backup."
	case is[*varve.AccessError](err):
		return "See which rights are missing: varve check" + here
	case errors.Is(err, errBusy):
		return "Stop that process, or let it take the backup itself with the library."
	case errors.Is(err, varve.ErrConflict), is[*varve.LockedError](err):
		return "Run it again."
	case is[*varve.FormatError](err):
		return "Use a newer varve."
	}
	return ""
}

func missAdvice(miss *varve.NoRestorePointError) string {
	var out strings.Builder
	for _, t := range []varve.Timestamp{miss.Before, miss.After} {
		if !t.IsZero() {
			fmt.Fprintf(&out, "Nearest: --as-of %s\n", t)
		}
	}
	return out.String()
}

// shown is the collection as it may be shown: what a URL has behind its path may be secret.
func (a *app) shown() string {
	place := a.place()
	if place == "" {
		return "COLLECTION"
	}
	place, _, _ = strings.Cut(place, "?")
	if scheme, rest, ok := strings.Cut(place, "://"); ok {
		if _, host, ok := strings.Cut(rest, "@"); ok {
			rest = host
		}
		return scheme + "://" + rest
	}
	return place
}

// readable says why a file cannot be read, in few words.
func readable(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	return b, nil
}
