// Package ownedfile is for files that nobody but this process's user may read or
// change, such as a store and the keys it is sealed with: it says whether that is
// so, and replaces such a file so that there is always the whole old one or the
// whole new one. Its functions keep no state and may be called concurrently.
package ownedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrInsecure: somebody else could read or change the file.
var ErrInsecure = errors.New("file is not protected")

// CheckDirectory refuses a directory that does not exist, or in which others
// could swap a file: it must belong to this process's user or root and be
// writable by its owner alone.
func CheckDirectory(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if m := info.Mode().Perm(); m&0o022 != 0 {
		return fmt.Errorf("%w: directory %s has mode %#o; chmod go-w it", ErrInsecure, dir, m)
	}
	if uid, ok := owner(info); ok && uid != os.Geteuid() && uid != 0 {
		return fmt.Errorf("%w: directory %s belongs to uid %d", ErrInsecure, dir, uid)
	}
	return nil
}

// Check refuses what is no regular file, has another mode than 0600 or 0400, or
// belongs to another user. info is of the file itself and not of what a link
// points to.
func Check(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: not a regular file", ErrInsecure)
	}
	if m := info.Mode().Perm(); m&0o177 != 0 {
		return fmt.Errorf("%w: it has mode %#o; chmod 0600 it", ErrInsecure, m)
	}
	if uid, ok := owner(info); ok && uid != os.Geteuid() {
		return fmt.Errorf("%w: it belongs to uid %d", ErrInsecure, uid)
	}
	return nil
}

// Read returns the content of a file that passes [Check], in a directory that
// passes [CheckDirectory]. A file of more than limit bytes is refused.
func Read(path string, limit int64) ([]byte, error) {
	if err := CheckDirectory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of what was opened, whatever the path leads to by now
	if err != nil {
		return nil, err
	}
	if err := Check(info); err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("it has %d bytes; the limit is %d", info.Size(), limit)
	}
	content := make([]byte, info.Size())
	if _, err := f.ReadAt(content, 0); err != nil {
		return nil, err
	}
	return content, nil
}

// Write makes content durable under path, whole or not at all, with mode 0600.
// Where there is a file it keeps that one's mode and owner.
func Write(path string, content []byte) (err error) {
	f, err := Temporary(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return Replace(f.Name(), path)
}

// Temporary creates a file of mode 0600 beside path, for [Replace]. Its name
// begins with a dot, the name of path and ".new-".
func Temporary(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), Pattern(path))
}

// Pattern is what names of [Temporary] match.
func Pattern(path string) string { return "." + filepath.Base(path) + ".new-*" }

// Replace syncs the file made, gives it mode and owner of the one at path, if
// there is one, and puts it in its place. After an error made is still there.
func Replace(made, path string) error {
	if err := asBefore(made, path); err != nil {
		return err
	}
	if err := Sync(made); err != nil {
		return err
	}
	if err := os.Rename(made, path); err != nil {
		return err
	}
	return SyncDirectory(filepath.Dir(path))
}

func asBefore(made, path string) error {
	before, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !before.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a regular file", ErrInsecure, path)
	}
	if err := os.Chmod(made, before.Mode().Perm()); err != nil {
		return err
	}
	return sameOwner(made, before)
}

// Sync makes the content of a file durable.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// SyncDirectory makes the names in a directory durable.
func SyncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
