package hadooptoken_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

func TestWriteFileReplacesInOneStep(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tokens")
	if err := os.WriteFile(path, []byte("what was there"), 0o644); err != nil {
		t.Fatal(err)
	}
	before, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = before.Close() }()

	want := javaCredentials(t)["multi"]
	if err := hadooptoken.WriteFile(path, want, hadooptoken.FormatJava); err != nil {
		t.Fatal(err)
	}
	got, err := hadooptoken.ReadFile(path, hadooptoken.ReadOptions{Private: true})
	if err != nil {
		t.Fatal(err)
	}
	diffCredentials(t, want, got)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, error %v, want 0600", info.Mode(), err)
	}
	// Who had the old file open still reads it whole: it was not written over.
	var old bytes.Buffer
	if _, err := old.ReadFrom(before); err != nil || old.String() != "what was there" {
		t.Errorf("an open reader got %q, error %v", old.String(), err)
	}
	if diff := cmp.Diff([]string{"tokens"}, names(t, dir)); diff != "" {
		t.Errorf("left behind: %s", diff)
	}
}

func TestWriteFileCleansUp(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tokens")
	if err := os.Mkdir(path, 0o700); err != nil { // a rename onto a directory fails
		t.Fatal(err)
	}
	err := hadooptoken.WriteFile(path, javaCredentials(t)["one"], hadooptoken.FormatJava)
	if err == nil || !strings.HasPrefix(err.Error(), "write token file "+path+": ") {
		t.Errorf("got error %v", err)
	}
	if diff := cmp.Diff([]string{"tokens"}, names(t, dir)); diff != "" {
		t.Errorf("left behind: %s", diff)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestReadFileTellsWideModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if err := hadooptoken.WriteFile(path, plugins.Credentials{}, hadooptoken.FormatProtobuf); err != nil {
		t.Fatal(err)
	}
	for mode, wide := range map[fs.FileMode]bool{0o600: false, 0o400: false, 0o711: false, 0o640: true, 0o620: true, 0o604: true, 0o602: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := hadooptoken.ReadFile(path, hadooptoken.ReadOptions{Private: true}); errors.Is(err, hadooptoken.ErrTooWide) != wide || (err != nil) != wide {
			t.Errorf("mode %04o: error %v", mode, err)
		}
		if _, err := hadooptoken.ReadFile(path, hadooptoken.ReadOptions{}); err != nil {
			t.Errorf("mode %04o, when modes do not count: error %v", mode, err)
		}
	}
}

func TestReadFileNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if _, err := hadooptoken.ReadFile(path, hadooptoken.ReadOptions{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: error %v", err)
	}
	if err := os.WriteFile(path, append([]byte("HDTS\x00\x00\x00"), make([]byte, 100)...), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := hadooptoken.ReadFile(path, hadooptoken.ReadOptions{Limits: hadooptoken.Limits{Bytes: 106}})
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "the limit is 106") {
		t.Errorf("a file over the limit: error %v", err)
	}
	if _, err := hadooptoken.ReadFile(path, hadooptoken.ReadOptions{Limits: hadooptoken.Limits{Bytes: 107}}); err != nil {
		t.Errorf("a file at the limit: error %v", err)
	}
}
