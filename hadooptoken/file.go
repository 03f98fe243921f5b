package hadooptoken

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// ErrTooWide: others than its owner may read or write a token file.
var ErrTooWide = errors.New("open to others than its owner")

// ReadOptions says how [ReadFile] reads. The zero value takes any mode and the
// default limits.
type ReadOptions struct {
	Limits Limits
	// Private refuses a file whose mode lets group or others read or write it,
	// with an error that wraps [ErrTooWide].
	Private bool
}

// ReadFile reads a token file of either format.
func ReadFile(path string, o ReadOptions) (plugins.Credentials, error) {
	b, err := readBytes(path, o)
	if err != nil {
		return plugins.Credentials{}, fmt.Errorf("read token file: %w", err)
	}
	c, err := Unmarshal(b, o.Limits)
	if err != nil {
		return plugins.Credentials{}, fmt.Errorf("read token file %s: %w", path, err)
	}
	return c, nil
}

func readBytes(path string, o ReadOptions) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()            // of what was opened, not of what the path is now
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); o.Private && mode&0o066 != 0 {
		return nil, fmt.Errorf("%s: mode %04o: %w", path, mode, ErrTooWide)
	}
	limit := int64(o.Limits.withDefaults().Bytes)
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: %d bytes, the limit is %d", path, info.Size(), limit)
	}
	// A file may grow, and a pipe has no size: one byte over the limit shows
	// Unmarshal that there is more.
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// WriteFile writes a token file of mode 0600 in one step: readers find the old
// file or the new one, whole, and after a crash too. It writes a temporary file
// in the same directory, which it removes when it fails.
func WriteFile(path string, c plugins.Credentials, f Format) error {
	b, err := Marshal(c, f)
	if err == nil {
		err = replaceFile(path, b)
	}
	if err != nil {
		return fmt.Errorf("write token file %s: %w", path, err)
	}
	return nil
}

func replaceFile(path string, b []byte) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes the rename itself durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
