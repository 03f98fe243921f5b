//go:build unix

package ownedfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tokenwheel/tokenwheel/internal/ownedfile"
)

func privateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWrite_KeepsTheModeAndLeavesNothing(t *testing.T) {
	path := filepath.Join(privateDir(t), "f")
	for _, c := range []struct {
		content      string
		before, want os.FileMode
	}{{"new", 0, 0o600}, {"over", 0o400, 0o400}} {
		if c.before != 0 {
			if err := os.Chmod(path, c.before); err != nil {
				t.Fatal(err)
			}
		}
		if err := ownedfile.Write(path, []byte(c.content)); err != nil {
			t.Fatal(err)
		}
		if got, err := ownedfile.Read(path, 10); err != nil || string(got) != c.content {
			t.Errorf("read %q, %v; want %q", got, err, c.content)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != c.want {
			t.Errorf("mode %v, %v; want %v", info.Mode(), err, c.want)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
	if _, err := ownedfile.Read(path, 3); err == nil {
		t.Error("a file over the limit is read")
	}
}

// TestRead_RefusesOthers: what is no regular file is neither read nor waited for,
// and nothing is written over it.
func TestRead_RefusesOthers(t *testing.T) {
	dir := privateDir(t)
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	link, pipe := filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.Symlink(target, link), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, pipe, dir} {
		if _, err := ownedfile.Read(path, 10); err == nil {
			t.Errorf("%s is read", path)
		}
		if err := ownedfile.Write(path, []byte("y")); err == nil {
			t.Errorf("%s is written over", path)
		}
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "x" {
		t.Errorf("the target of the link has %q, %v", got, err)
	}
}
