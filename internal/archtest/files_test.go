package archtest_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tracked lists the files of the repository: those under version control and new
// ones that are not ignored.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return strings.Fields(string(out))
}

// TestFilesStayShort: a file has one topic. Generated code is not written by hand.
func TestFilesStayShort(t *testing.T) {
	const most = 500
	for _, name := range tracked(t) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".pb.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join("../..", name))
		if os.IsNotExist(err) {
			continue // deleted, not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n > most {
			t.Errorf("%s has %d lines; a file has one topic and at most %d lines", name, n, most)
		}
	}
}

// TestRepositorySpeaksOfItselfAlone: no path of some machine and no unfinished
// business in what is shipped.
func TestRepositorySpeaksOfItselfAlone(t *testing.T) {
	banned := regexp.MustCompile(`/work/|[\s"=]/root/|/home/[a-z]|\bTO` + `DO\b|\bFIX` + `ME\b|\bX` + `XX\b`)
	for _, name := range tracked(t) {
		if strings.HasPrefix(name, "testdata/") || strings.HasSuffix(name, ".sum") || name == "LICENSE" || strings.HasPrefix(name, "internal/archtest/") || strings.Contains(name, "/testdata/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			continue
		}
		if at := banned.FindIndex(text); at != nil {
			t.Errorf("%s:%d says %q", name, 1+bytes.Count(text[:at[0]], []byte("\n")), text[at[0]:at[1]])
		}
	}
}
