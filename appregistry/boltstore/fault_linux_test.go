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
func TestB60_FullDisk(t *testing.T) { commitTo(t, "/dev/full", syscall.ENOSPC) }

// TestB61_NothingIsAcknowledgedBeforeTheSync writes to a device that takes
// everything and cannot sync.
func TestB61_NothingIsAcknowledgedBeforeTheSync(t *testing.T) {
	commitTo(t, "/dev/null", syscall.EINVAL)
}

// commitTo puts a device in place of the file of an open store and commits.
func commitTo(t *testing.T, device string, want error) {
	t.Helper()
	dev, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
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
	if err := syscall.Dup3(int(dev.Fd()), int(file.Fd()), syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	// Small enough for pages that the file has already.
	err = s.Commit(t.Context(), appregistry.Batch{Put: pair(0)})
	if !errors.Is(err, boltstore.ErrFailed) || !errors.Is(err, want) {
		t.Errorf("commit: %v, want ErrFailed and %v", err, want)
	}
	all := map[int]bool{}
	for i := range 60 {
		all[i] = true
	}
	checkPairs(t, path, all)
}
