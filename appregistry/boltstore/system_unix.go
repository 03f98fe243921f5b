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

// tryLockShared takes the lock that bbolt takes, for reading.
func tryLockShared(f *os.File) (locked bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
