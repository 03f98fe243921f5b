package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/ownedfile"
)

// Backup writes a copy of the store at path to a new file, with mode 0600, and
// verifies it. The file to must not be there yet; it appears whole, and durable,
// or not at all. The copy holds the live records and nothing of what was deleted,
// and is sealed where the store is. It waits for who has the store open as [Open]
// does. The store remembers the path, so that an error about a damaged file can
// name it: see [LastBackup].
func Backup(path, to string, o Options) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("back up store %s to %s: %w", path, to, err)
		}
	}()
	if to, err = filepath.Abs(to); err != nil {
		return err
	}
	if err := ownedfile.CheckDirectory(filepath.Dir(to)); err != nil {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return os.ErrExist
	}
	db, _, err := acquire(path, o, thisSystem)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, letGo(path, db)) }()
	made, err := copyOf(to, db, newID())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(made)) }()
	if err := ownedfile.Sync(made); err != nil {
		return err
	}
	if err := os.Link(made, to); err != nil { // and not a rename: that would write over a file
		return err
	}
	if err := ownedfile.SyncDirectory(filepath.Dir(to)); err != nil {
		return err
	}
	return ownedfile.Write(backupNote(path), []byte(time.Now().UTC().Format(time.RFC3339)+" "+to+"\n"))
}

// backupNote is where the last backup is written down.
func backupNote(path string) string { return path + ".backup" }

// LastBackup is the last backup of the store at path that was verified; "" if none
// is known, or it is not there any more.
func LastBackup(path string) (to string, at time.Time) {
	text, err := ownedfile.Read(backupNote(path), 64<<10)
	if err != nil {
		return "", at
	}
	when, to, ok := strings.Cut(strings.TrimSuffix(string(text), "\n"), " ")
	if at, err = time.Parse(time.RFC3339, when); !ok || err != nil {
		return "", time.Time{}
	}
	if _, err := os.Stat(to); err != nil {
		return "", time.Time{}
	}
	return to, at
}

// withBackup adds to the error about a damaged store which backup there is.
func withBackup(path string, err error) error {
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	if to, at := LastBackup(path); to != "" {
		return fmt.Errorf("%w; its last verified backup is %s of %s", err, to, at.Format(time.RFC3339))
	}
	return fmt.Errorf("%w; no backup of it is known", err)
}
