package boltstore_test

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
)

// TestB60_FullDisk writes to a device that is full. Nothing is acknowledged, and
// what was there before is still there.
func TestB60_FullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no /dev/full on this system")
	}
	defer full.Close()
	path := filled(t, 60)
	var file *os.File
	s, err := boltstore.OpenThrough(path, func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, mode)
		file = f
		return f, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := syscall.Dup3(int(full.Fd()), int(file.Fd()), syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	// Small enough for pages that the file has already.
	err = s.Commit(t.Context(), appregistry.Batch{Put: pair(0)})
	if !errors.Is(err, boltstore.ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("commit: %v, want ErrFailed and ENOSPC", err)
	}
	want := map[int]bool{}
	for i := range 60 {
		want[i] = true
	}
	checkPairs(t, path, want)
}
