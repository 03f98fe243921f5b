//go:build unix

package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// abandon gives up a file that bbolt has locked and mapped. Closing it alone would
// not do: the lock lasts as long as the mapping, which is lost to us.
func abandon(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}
