package boltstore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/appregistry/storetest"
)

func TestKeeper_IsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		path := filepath.Join(privateDir(t), "apps.db")
		return func() (appregistry.Store, error) { return boltstore.Keep(path, boltstore.Options{}) }
	})
}

// A disk that was full for a while costs the commits of that time, and no more.
func TestB60_StoreGoesOnOnceTheDiskHasRoom(t *testing.T) {
	path := filepath.Join(privateDir(t), "apps.db")
	k, err := boltstore.Keep(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	commit := func(i int) error { return k.Commit(t.Context(), appregistry.Batch{Put: pair(i)}) }
	if err := commit(1); err != nil {
		t.Fatal(err)
	}
	boltstore.FailSync(boltstore.Kept(k), syscall.ENOSPC)
	if err := commit(2); !errors.Is(err, boltstore.ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("commit: %v, want ErrFailed and ENOSPC", err)
	}
	if _, err := k.Get(t.Context(), pair(1)[0].Key); err != nil {
		t.Errorf("get: %v", err)
	}
	if err := commit(3); err != nil {
		t.Errorf("next commit: %v", err)
	}
	if err := k.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := commit(4); !errors.Is(err, boltstore.ErrClosed) {
		t.Errorf("commit after the end: %v, want ErrClosed", err)
	}
	checkPairs(t, path, map[int]bool{1: true, 3: true})
}

// What cannot be opened again, or is another store by now, is told with the failure
// that began it, and is not written to.
func TestKeeper_OpensNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		swap func(path string) error
		want error
	}{
		"it is gone for a link": {func(path string) error {
			return errors.Join(os.Rename(path, path+".1"), os.Symlink(path+".1", path))
		}, boltstore.ErrInsecure},
		"it is gone": {os.Remove, fs.ErrNotExist},
		"a backup has its place": {func(path string) error {
			return errors.Join(boltstore.Backup(path, path+".1", boltstore.Options{}), os.Rename(path+".1", path))
		}, boltstore.ErrFailed},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(privateDir(t), "apps.db")
			k, err := boltstore.Keep(path, boltstore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			boltstore.FailSync(boltstore.Kept(k), syscall.EIO)
			if err := k.Commit(t.Context(), appregistry.Batch{Put: pair(1)}); !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			if err := c.swap(path); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := k.Commit(t.Context(), appregistry.Batch{Put: pair(2)}); !errors.Is(err, c.want) || !errors.Is(err, boltstore.ErrFailed) {
					t.Errorf("commit: %v, want ErrFailed and %v", err, c.want)
				}
			}
		})
	}
}
