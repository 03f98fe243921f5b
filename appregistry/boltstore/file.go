package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/tokenwheel/tokenwheel/internal/ownedfile"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

func checkFile(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	return ownedfile.Check(info)
}

// create makes an empty store where there is no file: complete under another
// name first, so that a file that is there and empty is always a damaged one.
func create(path string) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := ownedfile.Temporary(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	if err := f.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(f.Name(), 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucket(recordsBucket); err != nil {
			return err
		}
		head, err := tx.CreateBucket(headerBucket)
		if err != nil {
			return err
		}
		return head.Put(formatKey, header{schema: schema}.encode())
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	// Link and not rename: of two processes one creates it, and the other one
	// opens what is there.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return ownedfile.SyncDirectory(filepath.Dir(path))
}

// openVerified opens the file and reads all of it twice: first its pages, which
// bbolt trusts, then its records.
func openVerified(path string, o *bbolt.Options) (db *bbolt.DB, err error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.Size() == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrCorrupt)
	}
	if db, err = openUntrusted(path, *o); err != nil {
		return nil, err
	}
	if err = verifyPages(path, db); err == nil {
		err = guarded(func() error { return verifyRecords(db) }) // on pages that are sound, or it might not end
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// openUntrusted opens a file that may be damaged: where it is, bbolt reads beyond
// it, or panics. One damaged meta page of the two is not told from one that was
// being written when the power went: the transaction before it is read.
func openUntrusted(path string, o bbolt.Options) (db *bbolt.DB, err error) {
	var file *os.File
	openFile := o.OpenFile
	o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		// Without O_CREATE: a file that vanished since is not made anew, empty.
		f, err := openFile(name, flag&^os.O_CREATE, mode)
		file = f
		return f, err
	}
	returned := false
	err = guarded(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &o)
		returned = true
		return err
	})
	if !returned {
		return nil, errors.Join(err, abandon(file))
	}
	// What is not the system's word, nor that of the lock, is about the content;
	// bbolt has no value for each of these errors.
	if errno := syscall.Errno(0); err != nil && !errors.As(err, &errno) && !errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return db, err
}

// guarded turns a panic of f, or its reading beyond a file, into an error.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, r)
		}
	}()
	return f()
}

// verifyPages runs under the lock that db holds.
func verifyPages(path string, db *bbolt.DB) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return checkPages(f, info.Size(), db.Info().PageSize)
}

// verifyRecords compares all records with their checksums and the header.
func verifyRecords(db *bbolt.DB) error {
	return db.View(func(tx *bbolt.Tx) error {
		want, err := readHeader(tx)
		if err != nil {
			return err
		}
		got := header{schema: want.schema}
		err = tx.Bucket(recordsBucket).ForEach(func(key, stored []byte) error {
			value, err := unseal(key, stored)
			if err != nil {
				return err
			}
			got.count++
			got.sum += checksum(key, value)
			return nil
		})
		if err == nil && got != want {
			err = fmt.Errorf("%w: %d records, the header counts %d", ErrCorrupt, got.count, want.count)
		}
		return err
	})
}

// holderPath is where the process that has the store open writes its id, for the
// error of the next one.
func holderPath(path string) string { return path + ".pid" }

func writeHolder(path string) error {
	return os.WriteFile(holderPath(path), fmt.Appendln(nil, os.Getpid()), 0o600)
}

func holder(path string) string {
	text, err := os.ReadFile(holderPath(path))
	pid, bad := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || bad != nil {
		return "process unknown"
	}
	return fmt.Sprintf("process %d", pid)
}
