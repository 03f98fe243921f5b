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
	case mode&0o002 != 0:
		return nil, plugins.Refused("world-writable", fmt.Errorf("anybody may change it (mode %s): chmod 755", mode))
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
