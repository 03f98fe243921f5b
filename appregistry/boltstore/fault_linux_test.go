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

// TestB61_EachCommitSyncsTwice puts a device that cannot sync in place of the file,
// once while a commit writes its pages and once right after it wrote the meta page
// that puts them in force. The first time no meta page is written, so that it never
// gets to the disk before what it leads to; neither time is the commit acknowledged.
func TestB61_EachCommitSyncsTwice(t *testing.T) {
	for _, atMeta := range []bool{false, true} {
		null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		var file *os.File
		s, err := boltstore.OpenThrough(filled(t, 60), func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode)
			file = f
			return f, err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		pages, metas := 0, 0
		boltstore.HookWrites(s, func(write func([]byte, int64) (int, error), b []byte, at int64) (int, error) {
			n, err := write(b, at)
			isMeta := at < 2*int64(os.Getpagesize())
			if isMeta {
				metas++
			} else {
				pages++
			}
			if isMeta == atMeta {
				err = errors.Join(err, syscall.Dup3(int(null.Fd()), int(file.Fd()), syscall.O_CLOEXEC))
			}
			return n, err
		})
		err = s.Commit(t.Context(), appregistry.Batch{Put: pair(0)})
		if !errors.Is(err, boltstore.ErrFailed) || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("at the meta page %v: commit: %v, want ErrFailed and EINVAL", atMeta, err)
		}
		if want := map[bool]int{true: 1}[atMeta]; metas != want || pages == 0 {
			t.Errorf("at the meta page %v: %d pages and %d meta pages were written, want %d of these", atMeta, pages, metas, want)
		}
	}
}
