package pluginhost

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// Sum is the checksum of the program at path in the form that [Command] wants.
func Sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	return sumOf(f)
}

func sumOf(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Check says whether [Launch] would start the program of c, as far as its file
// tells: nothing is executed. The error is of [plugins.KindRefused] with a code for
// each reason; "wrong-checksum" is the one that is about c.SHA256.
func Check(c Command) error {
	f, err := openProgram(c.Path, c.SHA256)
	if err != nil {
		return fmt.Errorf("provider program %s: %w", c.Path, err)
	}
	return f.Close()
}

// openProgram opens the program and checks that file, not its name: what is
// executed later is the open file.
func openProgram(path, sum string) (_ *os.File, err error) {
	if !filepath.IsAbs(path) {
		return nil, plugins.Refused("relative-path", errors.New("the path of a provider program must be absolute"))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plugins.Refused("program-not-readable", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, plugins.Refused("not-a-program", fmt.Errorf("it is no regular file (mode %s)", mode))
	case mode&0o111 == 0:
		return nil, plugins.Refused("not-executable", fmt.Errorf("it is not executable (mode %s): chmod 755", mode))
	case mode&writableByOthers != 0:
		// They could write into the very file that is open here, after its checksum.
		return nil, plugins.Refused("writable-by-others", fmt.Errorf("others may change it (mode %s): chmod 755", mode))
	case !trustedOwner(info):
		return nil, plugins.Refused("foreign-owner", fmt.Errorf("its owner may change it, who is neither root nor user %d: chown it", os.Geteuid()))
	}
	if err := checkFolders(path); err != nil {
		return nil, err
	}
	got, err := sumOf(f)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(got, sum) {
		return nil, plugins.Refused("wrong-checksum", fmt.Errorf("its SHA-256 is %s, the configuration says %q", got, sum))
	}
	return f, nil
}

const writableByOthers = 0o022

func trustedOwner(info os.FileInfo) bool {
	owner := info.Sys().(*syscall.Stat_t).Uid
	return owner == 0 || owner == uint32(os.Geteuid())
}

// checkFolders refuses a program whose name others could give to another file, by
// its own folder or by one above. In a sticky folder, such as /tmp, they cannot; and
// what lies below a folder that is closed to them is out of their reach.
func checkFolders(path string) error {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return plugins.Refused("program-not-readable", err)
	}
	var loose error
	for folder := filepath.Dir(resolved); ; folder = filepath.Dir(folder) {
		info, err := os.Stat(folder)
		if err != nil {
			return plugins.Refused("program-not-readable", err)
		}
		mode := info.Mode()
		switch {
		case !trustedOwner(info), mode&writableByOthers != 0 && mode&os.ModeSticky == 0:
			loose = plugins.Refused("loose-folder", fmt.Errorf("others may replace what is in %s (mode %s): it must be root's or ours, chmod go-w", folder, mode))
		case mode.Perm()&0o077 == 0:
			loose = nil
		}
		if folder == filepath.Dir(folder) {
			return loose
		}
	}
}
