package objectio

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"

	"gocloud.dev/gcerrors"
)

var (
	// ErrExist says that another object has the key.
	ErrExist = errors.New("object exists")
	// ErrNotExist says that there is no such object.
	ErrNotExist = errors.New("object does not exist")
	// ErrDenied says that storage refuses the right to do this.
	ErrDenied = errors.New("access denied")
	// ErrSize says that an object is larger than allowed, or not as large as it was.
	ErrSize = errors.New("object has the wrong size")
)

// opError is what went wrong with one object. Its cause is found by errors.Is and
// errors.As; Unwrap is left out on purpose, so that nothing that prints a chain of
// errors prints what Error cuts out of it.
type opError struct {
	op, key string
	kind    error // one of the above or the context's; nil: none of them
	cause   error
}

func (e *opError) Error() string {
	return fmt.Sprintf("%s %q: %s", e.op, e.key, redact(e.cause.Error()))
}

func (e *opError) Is(target error) bool {
	return e.kind != nil && errors.Is(e.kind, target) || errors.Is(e.cause, target)
}

func (e *opError) As(target any) bool { return errors.As(e.cause, target) }

// fail says what was done when err happened. While ctx is over its error is the
// kind, whatever a driver made of it.
func fail(ctx context.Context, op, key string, err error) error {
	kind := ctx.Err()
	if kind == nil {
		kind = kindOf(err)
	}
	return &opError{op: op, key: key, kind: kind, cause: err}
}

func kindOf(err error) error {
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return ErrNotExist
	case denied(err):
		return ErrDenied
	}
	return nil
}

// denied reports whether storage refuses somebody. Drivers know a single code of the
// many that say so; what carries the status of the answer is asked for that.
func denied(err error) bool {
	if gcerrors.Code(err) == gcerrors.PermissionDenied || errors.Is(err, fs.ErrPermission) {
		return true
	}
	var answer interface{ HTTPStatusCode() int }
	if !errors.As(err, &answer) {
		return false
	}
	status := answer.HTTPStatusCode()
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// Transient reports whether err is of a request that may well succeed when it is made
// again: storage failed, or did not answer. Errors that are no request's are not.
func Transient(err error) bool {
	var e *opError
	return errors.As(err, &e) && e.kind == nil && transient(e.cause)
}

// transient reports whether the same request may well succeed when it is repeated,
// provided that the caller's context goes on: a driver's own may have ended.
func transient(err error) bool {
	if errors.Is(err, ErrSize) || denied(err) {
		return false
	}
	switch gcerrors.Code(err) {
	case gcerrors.Unknown, gcerrors.Internal, gcerrors.ResourceExhausted, gcerrors.Canceled, gcerrors.DeadlineExceeded:
		return true
	}
	return false
}

var (
	urlQuery = regexp.MustCompile(`\?[^\s"'<>]*=[^\s"'<>]*`)
	urlUser  = regexp.MustCompile(`://[^\s"'<>/?#]*@`)
)

// redact cuts queries, where signatures and tokens stand, and passwords out of URLs.
func redact(text string) string {
	return urlUser.ReplaceAllString(urlQuery.ReplaceAllString(text, ""), "://")
}
