//go:build !unix

package boltstore

import "os"

// abandon gives up a file that bbolt has opened.
func abandon(f *os.File) error { return f.Close() }

// tryLockShared does without a lock: a store that is in use cannot be opened here.
func tryLockShared(*os.File) (locked bool, err error) { return true, nil }
