//go:build unix

package boltstore

import (
	"errors"
	"io/fs"
	"os"
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

// abandon gives up a file that bbolt has locked and mapped. Closing it alone would
// not do: the lock lasts as long as the mapping, which is lost to us.
func abandon(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}
