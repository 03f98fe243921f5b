package boltstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
)

// filled makes a closed store with n pairs and returns its path.
func filled(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(privateDir(t), "apps.db")
	s := mustOpen(t, path)
	for i := range n {
		mustCommit(t, s, pair(i)...)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t *testing.T, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustCommit(t *testing.T, s *boltstore.Store, put ...appregistry.Record) {
	t.Helper()
	if err := s.Commit(t.Context(), appregistry.Batch{Put: put}); err != nil {
		t.Fatal(err)
	}
}

// TestB62_FailedSync: a commit whose sync failed is not acknowledged, the store
// refuses everything from then on, and what was acknowledged before is there when
// it is opened again.
func TestB62_FailedSync(t *testing.T) {
	path := filepath.Join(privateDir(t), "apps.db")
	s := mustOpen(t, path)
	mustCommit(t, s, pair(1)...)
	boltstore.FailSync(s, syscall.EIO)
	err := s.Commit(t.Context(), appregistry.Batch{Put: pair(2)})
	if !errors.Is(err, boltstore.ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("commit: %v, want ErrFailed and EIO", err)
	}
	_, get := s.Get(t.Context(), pair(1)[0].Key)
	for what, err := range map[string]error{
		"next commit": s.Commit(t.Context(), appregistry.Batch{Put: pair(3)}),
		"get":         get,
		"load":        s.Load(t.Context(), func(_, _ []byte) error { return nil }),
	} {
		if !errors.Is(err, boltstore.ErrFailed) {
			t.Errorf("%s: %v, want ErrFailed", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	checkPairs(t, path, map[int]bool{1: true})
}

// TestB64_SecondProcess: who comes second waits, and is told who is there.
func TestB64_SecondProcess(t *testing.T) {
	path := filled(t, 1)
	s := mustOpen(t, path)
	_, err := boltstore.Open(path, boltstore.Options{LockWait: 60 * time.Millisecond})
	if !errors.Is(err, boltstore.ErrLocked) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("second open: %v, want ErrLocked and our pid", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(boltstore.HolderPath(path)); !os.IsNotExist(err) {
		t.Errorf("pid file after close: %v", err)
	}
	if err := mustOpen(t, path).Close(); err != nil {
		t.Error(err)
	}
}

// TestB65_NewerSchema: a later release's file is refused, and left as it is.
func TestB65_NewerSchema(t *testing.T) {
	path := filled(t, 1)
	if err := boltstore.SetSchema(path, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := boltstore.Open(path, boltstore.Options{}); !errors.Is(err, boltstore.ErrNewerSchema) {
		t.Errorf("open: %v, want ErrNewerSchema", err)
	}
}

// TestB68_Modes: a store that others could read or swap is refused.
func TestB68_Modes(t *testing.T) {
	tests := map[string]struct {
		dir, file os.FileMode
		want      error
	}{
		"private":                  {0o700, 0o600, nil},
		"directory can be read":    {0o755, 0o600, nil},
		"group writes directory":   {0o770, 0o600, boltstore.ErrInsecure},
		"all write directory":      {0o1777, 0o600, boltstore.ErrInsecure},
		"group reads file":         {0o700, 0o640, boltstore.ErrInsecure},
		"others write file":        {0o700, 0o602, boltstore.ErrInsecure},
		"file has an execute mode": {0o700, 0o700, boltstore.ErrInsecure},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filled(t, 1)
			for of, mode := range map[string]os.FileMode{filepath.Dir(path): tt.dir, path: tt.file} {
				if err := os.Chmod(of, mode); err != nil {
					t.Fatal(err)
				}
			}
			s, err := boltstore.Open(path, boltstore.Options{})
			if !errors.Is(err, tt.want) {
				t.Errorf("open: %v, want %v", err, tt.want)
			}
			if err == nil {
				_ = s.Close()
			}
		})
	}
}

func TestB68_LinkIsRefused(t *testing.T) {
	path := filled(t, 1)
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := boltstore.Open(link, boltstore.Options{}); !errors.Is(err, boltstore.ErrInsecure) {
		t.Errorf("open: %v, want ErrInsecure", err)
	}
}

// TestNewFileIsPrivate: 0600 whatever the umask, and nothing else is left behind.
func TestNewFileIsPrivate(t *testing.T) {
	path := filled(t, 0)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Fatalf("directory has %v, %v", entries, err)
	}
	info, err := entries[0].Info()
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

// TestClosed: after Close everything says so, and Close again is harmless.
func TestClosed(t *testing.T) {
	s := mustOpen(t, filled(t, 1))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, get := s.Get(t.Context(), []byte("a"))
	for what, err := range map[string]error{
		"commit": s.Commit(t.Context(), appregistry.Batch{Put: pair(1)}),
		"get":    get,
		"load":   s.Load(t.Context(), func(_, _ []byte) error { return nil }),
	} {
		if !errors.Is(err, boltstore.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
}

// TestUnwritableBatch: a batch that no transaction could take is refused before
// it shares one with others.
func TestUnwritableBatch(t *testing.T) {
	s := mustOpen(t, filled(t, 0))
	defer s.Close()
	for name, put := range map[string][]appregistry.Record{
		"empty key":   {{Value: []byte("v")}},
		"empty value": {{Key: []byte("k")}},
		"twice":       {{Key: []byte("k"), Value: []byte("v")}, {Key: []byte("k"), Value: []byte("w")}},
		"long key":    {{Key: fmt.Appendf(nil, "%032769d", 1), Value: []byte("v")}},
	} {
		err := s.Commit(t.Context(), appregistry.Batch{Put: put})
		if err == nil || errors.Is(err, boltstore.ErrFailed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustCommit(t, s, pair(1)...)
}

// A disk without room for a few bytes beside the store keeps nobody from it.
func TestB60_OpensWithoutRoomForItsProcess(t *testing.T) {
	path := filled(t, 3)
	if err := os.Mkdir(boltstore.HolderPath(path), 0o700); err != nil { // as impossible to write
		t.Fatal(err)
	}
	s := mustOpen(t, path)
	if _, err := boltstore.Open(path, boltstore.Options{LockWait: time.Millisecond}); !errors.Is(err, boltstore.ErrLocked) {
		t.Errorf("a second one: %v, want ErrLocked", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := boltstore.Backup(path, filepath.Join(privateDir(t), "copy"), boltstore.Options{}); err != nil {
		t.Error(err)
	}
}
