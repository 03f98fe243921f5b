package pluginhost_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/pluginhost"
)

// TestB56_OnlyRootAndWeMayTouchTheProgram: who else could put another file in the
// program's place, or other bytes into it.
// Shows: T-47.
func TestB56_OnlyRootAndWeMayTouchTheProgram(t *testing.T) {
	const (
		open   = 0o755 // others may look in
		closed = 0o700
		loose  = 0o775 // the group may write
		sticky = os.ModeSticky | 0o777
	)
	const nobody = 65534
	tests := []struct {
		name            string
		outer, inner    os.FileMode // of two folders, the inner one holds the program
		fileOf, innerOf int
		linked          bool // named by a link in another folder
		code            string
	}{
		{name: "open to look", outer: open, inner: open},
		{name: "loose", outer: open, inner: loose, code: "loose-folder"},
		{name: "loose above", outer: loose, inner: open, code: "loose-folder"},
		{name: "loose, but out of reach", outer: closed, inner: loose},
		{name: "closed, but replaced as a whole", outer: loose, inner: closed, code: "loose-folder"},
		{name: "sticky", outer: open, inner: sticky},
		{name: "linked from a good folder", outer: open, inner: loose, linked: true, code: "loose-folder"},
		{name: "file of another user", outer: open, inner: open, fileOf: nobody, code: "foreign-owner"},
		{name: "folder of another user", outer: open, inner: sticky, innerOf: nobody, code: "loose-folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.fileOf+tt.innerOf != 0 && os.Geteuid() != 0 {
				t.Skip("only root can give files away")
			}
			// Not t.TempDir, which lies below a folder that is closed to others: nothing
			// would be loose there.
			top, err := os.MkdirTemp("", "folders")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(top) })
			outer := filepath.Join(top, "outer")
			inner := filepath.Join(outer, "inner")
			program := filepath.Join(inner, "provider")
			must(t, os.MkdirAll(inner, 0o700))
			must(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700))
			if tt.fileOf != 0 {
				must(t, os.Chown(program, tt.fileOf, -1))
			}
			if tt.innerOf != 0 {
				must(t, os.Chown(inner, tt.innerOf, -1))
			}
			must(t, os.Chmod(inner, tt.inner))
			must(t, os.Chmod(outer, tt.outer))
			must(t, os.Chmod(top, open))
			sum, err := pluginhost.Sum(program)
			must(t, err)
			if tt.linked {
				link := filepath.Join(top, "link")
				must(t, os.Symlink(program, link))
				program = link
			}
			err = pluginhost.Check(pluginhost.Command{Path: program, SHA256: sum})
			if tt.code == "" {
				must(t, err)
				return
			}
			if plugins.CodeOf(err) != tt.code || plugins.KindOf(err) != plugins.KindRefused {
				t.Errorf("want it refused as %s, got %v", tt.code, err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
