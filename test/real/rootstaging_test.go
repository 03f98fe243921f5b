package real_test

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/fsstaging/stagetest"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// What root stages for a user is the user's, however odd the umask and the parent are.
func TestS22_RootGivesFilesAway(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("real tier needs root to give files to another user of this machine")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	parent := filepath.Join(t.TempDir(), "parent")
	if err := errors.Join(os.Mkdir(parent, 0o755), os.Chmod(parent, 0o777|fs.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	defer syscall.Umask(syscall.Umask(0o277))
	dir := filepath.Join(parent, "stage")
	if _, err := fsstaging.NewStager(fsstaging.Local{}).Stage(t.Context(), stagetest.Set("nobody", dir, 1, 1)); err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = filepath.Walk(dir, func(path string, fi fs.FileInfo, err error) error {
		if err != nil {
			return err
		}
		seen++
		want := fs.FileMode(0o600)
		if fi.IsDir() {
			want = fs.ModeDir | 0o700
		}
		st := fi.Sys().(*syscall.Stat_t)
		if fi.Mode() != want || strconv.Itoa(int(st.Uid)) != nobody.Uid {
			t.Errorf("%s: mode %v of uid %d, want %v of %s", path, fi.Mode(), st.Uid, want, nobody.Uid)
		}
		return nil
	})
	if err != nil || seen != 2 {
		t.Errorf("found %d things, %v; want the directory and one file", seen, err)
	}

	_, err = fsstaging.NewPickup(fsstaging.Local{}, dir).Next(t.Context())
	if plugins.CodeOf(err) != fsstaging.CodeUnsafePath || !strings.Contains(err.Error(), "belongs to") {
		t.Errorf("read as one's own: %v, want it refused as another's", err)
	}
	p := fsstaging.NewPickup(fsstaging.Local{}, dir)
	p.Owner = "nobody"
	if _, err := p.Next(t.Context()); err != nil {
		t.Errorf("read as nobody's: %v", err)
	}
}
