package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// writeMachine writes what the numbers depend on: machine, versions and command.
func writeMachine(ctx context.Context, w io.Writer, dir string, command []string) {
	fmt.Fprintf(w, "Command: `go run . %s`\n\n", strings.Join(command, " "))
	fmt.Fprintf(w, "- machine: %s, %d cores, %s of memory, %s, data on %s\n", procLine("/proc/cpuinfo", "model name"), runtime.NumCPU(),
		procLine("/proc/meminfo", "MemTotal"), kernel(), fileSystem(dir))
	fmt.Fprintf(w, "- Go: %s %s/%s, GOMAXPROCS %d\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	for _, module := range []string{"github.com/cockroachdb/pebble/v2", "github.com/dgraph-io/badger/v4", "go.etcd.io/bbolt", "github.com/klauspost/compress"} {
		fmt.Fprintf(w, "- %s %s\n", module, moduleVersion(module))
	}
	fmt.Fprintf(w, "- %s\n- %s\n", programVersion(ctx, "restic", "version"), programVersion(ctx, "ldb", "--version"))
}

// procLine is the value behind the first line of a file in /proc that has a name.
func procLine(file, name string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(content)) {
		if left, right, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(left) == name {
			return strings.TrimSpace(right)
		}
	}
	return "unknown"
}

func kernel() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown kernel"
	}
	field := func(b []byte) string { return string(b[:bytes.IndexByte(b, 0)]) }
	return field(name.Sysname[:]) + " " + field(name.Release[:])
}

// fileSystem is the type of the one that dir is on.
func fileSystem(dir string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "unknown"
	}
	switch s.Type {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	}
	return fmt.Sprintf("file system %#x", s.Type)
}

func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return "unknown"
}

func programVersion(ctx context.Context, name, flag string) string {
	out, err := exec.CommandContext(ctx, name, flag).Output()
	if err != nil {
		return name + ": missing"
	}
	return strings.TrimSpace(string(out))
}
