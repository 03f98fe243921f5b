package boltstore

import "golang.org/x/sys/unix"

// placeOf tells the number of the file system that a directory is on, and the
// kernel's release.
func placeOf(dir string) (fs int64, kernel string) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) == nil {
		fs = int64(uint32(s.Type)) // the field is wider, or signed, on some architectures
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	return fs, kernel
}
