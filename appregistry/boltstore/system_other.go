//go:build !unix

package boltstore

import "os"

// abandon gives up a file that bbolt has opened.
func abandon(f *os.File) error { return f.Close() }
