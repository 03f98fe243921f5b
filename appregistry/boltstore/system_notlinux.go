//go:build !linux

package boltstore

// placeOf is not known here.
func placeOf(string) (fs int64, kernel string) { return 0, "" }
