package boltstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/tokenwheel/tokenwheel/appregistry"
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
	defer func() {
		if e := os.Remove(f.Name()); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
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
		if err := head.Put(idKey, newID()); err != nil {
			return err
		}
		return head.Put(formatKey, header{schema: schema}.encode())
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	// Link and not rename: of two processes one creates it, and the other one
	// opens what is there. The first one may sweep the other's away by then.
	if err := os.Link(f.Name(), path); err != nil {
		if _, missing := os.Lstat(path); missing != nil {
			return err
		}
	}
	return ownedfile.SyncDirectory(filepath.Dir(path))
}

// acquire opens a store that is there, verified and locked. It writes down that
// this process has it.
func acquire(path string, o Options, sys system) (db *bbolt.DB, pages pageCount, err error) {
	if err := ownedfile.CheckDirectory(filepath.Dir(path)); err != nil {
		return nil, pages, err
	}
	if err := checkFile(path); err != nil {
		return nil, pages, err
	}
	fs, _ := sys.place(filepath.Dir(path))
	if name := networkFiles[fs]; name != "" {
		return nil, pages, fmt.Errorf("%w: it is on %s, where a lock or a sync may not hold; keep it on a disk of this machine", ErrInsecure, name)
	}
	wait := cmp.Or(o.LockWait, defaultLockWait)
	db, pages, err = openVerified(path, &bbolt.Options{Timeout: wait, FreelistType: bbolt.FreelistMapType, OpenFile: sys.openFile})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, pages, fmt.Errorf("%w (%s), waited %v", ErrLocked, holder(path), wait)
	}
	if err != nil {
		return nil, pages, err
	}
	writeHolder(path)
	return db, pages, nil
}

// letGo closes what acquire opened.
func letGo(path string, db *bbolt.DB) error {
	// Removed first: without the lock it could be the next holder's.
	_ = os.Remove(holderPath(path))
	return db.Close()
}

// openVerified opens the file and reads all of it: its pages, which bbolt trusts,
// and the records in them.
func openVerified(path string, o *bbolt.Options) (db *bbolt.DB, pages pageCount, err error) {
	if info, err := os.Stat(path); err != nil {
		return nil, pages, err
	} else if info.Size() == 0 {
		return nil, pages, fmt.Errorf("%w: it is empty", ErrCorrupt)
	}
	if db, err = openInPlace(path, *o); err != nil {
		return nil, pages, err
	}
	var records header
	if pages, records, err = verify(path, db); err == nil {
		err = guarded(func() error { return compareHeader(db, records) }) // on pages that are sound, or it might not end
	}
	if err != nil {
		return nil, pages, errors.Join(err, db.Close())
	}
	return db, pages, nil
}

// openInPlace opens the file that has the name once the lock is held: who held it
// may have put a new file in its place, and what is written to the old one then
// is lost.
func openInPlace(path string, o bbolt.Options) (*bbolt.DB, error) {
	for {
		db, file, err := openUntrusted(path, o)
		if err != nil {
			return nil, err
		}
		held, err1 := file.Stat()
		named, err2 := os.Stat(path)
		if err := errors.Join(err1, err2); err != nil {
			return nil, errors.Join(err, db.Close())
		}
		if os.SameFile(held, named) {
			return db, nil
		}
		if err := db.Close(); err != nil {
			return nil, err
		}
	}
}

// openUntrusted opens a file that may be damaged: where it is, bbolt reads beyond
// it, or panics. One damaged meta page of the two is not told from one that was
// being written when the power went: the transaction before it is read.
func openUntrusted(path string, o bbolt.Options) (db *bbolt.DB, file *os.File, err error) {
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
		return nil, nil, errors.Join(err, abandon(file))
	}
	// What is not the system's word, nor that of the lock, is about the content;
	// bbolt has no value for each of these errors.
	if errno := syscall.Errno(0); err != nil && !errors.As(err, &errno) && !errors.Is(err, bolterrors.ErrTimeout) {
		return nil, nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return db, file, err
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

// verify runs under the lock that db holds. It tells what the records are that it
// found. Their checksums are looked at in another goroutine.
func verify(path string, db *bbolt.DB) (pages pageCount, got header, err error) {
	f, err := os.Open(path)
	if err != nil {
		return pages, got, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return pages, got, err
	}
	found := make(chan []appregistry.Record, 4)
	var summing sync.WaitGroup
	var damage error
	summing.Go(func() { got, damage = sumUp(found) })
	var some []appregistry.Record
	w := &pageWalk{file: f, size: info.Size(), pageSize: db.Info().PageSize}
	w.record = func(bucket, key, stored []byte) {
		if !bytes.Equal(bucket, recordsBucket) {
			return
		}
		if some = append(some, appregistry.Record{Key: key, Value: stored}); len(some) == partRecords {
			found <- some
			some = make([]appregistry.Record, 0, partRecords)
		}
	}
	err = w.walk()
	found <- some
	close(found)
	summing.Wait()
	return w.pages, got, cmp.Or(err, damage)
}

// sumUp counts and sums stored records, and says which one is damaged.
func sumUp(found <-chan []appregistry.Record) (got header, err error) {
	got.schema = schema
	for some := range found {
		for _, r := range some {
			if _, e := unseal(r.Key, r.Value); e != nil {
				err = cmp.Or(err, e)
				continue
			}
			got.count++
			got.sum += binary.BigEndian.Uint64(r.Value)
		}
	}
	return got, err
}

// compareHeader compares the records that were found with what the header says.
func compareHeader(db *bbolt.DB, got header) error {
	return db.View(func(tx *bbolt.Tx) error {
		want, err := readHeader(tx)
		if err == nil && got != want {
			err = fmt.Errorf("%w: %d records, the header counts %d", ErrCorrupt, got.count, want.count)
		}
		return err
	})
}

// idOf reads a store's id.
func idOf(db *bbolt.DB) (id string) {
	_ = db.View(func(tx *bbolt.Tx) error {
		id = string(tx.Bucket(headerBucket).Get(idKey))
		return nil
	})
	return id
}

// holderPath is where the process that has the store open writes its id, for the
// error of the next one.
func holderPath(path string) string { return path + ".pid" }

// writeHolder leaves the id out where there is no room for it: a full disk must keep
// nobody from what is stored.
func writeHolder(path string) {
	_ = os.WriteFile(holderPath(path), fmt.Appendln(nil, os.Getpid()), 0o600)
}

func holder(path string) string {
	text, err := os.ReadFile(holderPath(path))
	pid, bad := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || bad != nil {
		return "process unknown"
	}
	return fmt.Sprintf("process %d", pid)
}
