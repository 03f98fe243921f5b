//go:build unix

package boltstore

import (
	"io/fs"
	"syscall"
)

// owner is the user a file belongs to, where the system tells.
func owner(info fs.FileInfo) (uid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
