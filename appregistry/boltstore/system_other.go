//go:build !unix

package boltstore

import (
	"io/fs"
	"os"
)

// owner is not known: these systems protect files by other means.
func owner(fs.FileInfo) (uid int, ok bool) { return 0, false }

// abandon gives up a file that bbolt has opened.
func abandon(f *os.File) error { return f.Close() }
