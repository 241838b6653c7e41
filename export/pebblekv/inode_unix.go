//go:build unix

package pebblekv

import (
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// inode is the number of a file on its device, and whether it has one.
func inode(info vfs.FileInfo) (uint64, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return stat.Ino, true
}
