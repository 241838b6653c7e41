package dirblob

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"syscall"

	"gocloud.dev/gcerrors"
)

// codedError is an error whose code its cause does not tell.
type codedError struct {
	code gcerrors.ErrorCode
	error
}

func (e *codedError) Unwrap() error { return e.error }

func coded(code gcerrors.ErrorCode, format string, args ...any) error {
	return &codedError{code, fmt.Errorf(format, args...)}
}

// windowsDiskFull is ERROR_DISK_FULL, which package syscall does not name.
const windowsDiskFull = syscall.Errno(112)

// ErrorCode says what an error of this driver means.
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode {
	if e, ok := errors.AsType[*codedError](err); ok {
		return e.code
	}
	is := func(targets ...error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
	switch {
	case gone(err):
		return gcerrors.NotFound
	case is(fs.ErrPermission, syscall.EROFS):
		return gcerrors.PermissionDenied
	case is(syscall.ENOSPC, syscall.EDQUOT), runtime.GOOS == "windows" && is(windowsDiskFull):
		return gcerrors.ResourceExhausted
	case is(syscall.ENAMETOOLONG):
		return gcerrors.InvalidArgument
	case is(errors.ErrUnsupported):
		return gcerrors.Unimplemented
	}
	return gcerrors.Unknown
}

// gone tells that a file or folder is not there, or below an object, where there
// is nothing.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// ErrorAs finds a *fs.PathError.
func (b *bucket) ErrorAs(err error, target any) bool {
	path, ok := target.(**fs.PathError)
	return ok && errors.As(err, path)
}
