package boltstore

import (
	"os"
	"reflect"
	"unsafe"

	"github.com/tokenwheel/tokenwheel/internal/ownedfile"
	"go.etcd.io/bbolt"
)

// OpenAt opens a store that is told to be on another file system and kernel.
func OpenAt(path string, o Options, fs int64, kernel string) (*Store, error) {
	return open(path, o, system{os.OpenFile, func(string) (int64, string) { return fs, kernel }})
}

// HookWrites has each write of s to its file done by hook. bbolt keeps that
// function for its own tests, out of reach of ours but for this.
func HookWrites(s *Store, hook func(write func([]byte, int64) (int, error), b []byte, at int64) (int, error)) {
	field := reflect.ValueOf(s.db).Elem().FieldByName("ops").FieldByName("writeAt")
	writeAt := (*func([]byte, int64) (int, error))(unsafe.Pointer(field.UnsafeAddr()))
	write := *writeAt
	*writeAt = func(b []byte, at int64) (int, error) { return hook(write, b, at) }
}

// OpenReads is the number of read transactions that are open.
func OpenReads(s *Store) int { return s.db.Stats().OpenTxN }

// Pattern is what names of unfinished files match.
var Pattern = ownedfile.Pattern

// OpenThrough opens a store through another os.OpenFile.
func OpenThrough(path string, openFile func(string, int, os.FileMode) (*os.File, error)) (*Store, error) {
	return open(path, Options{}, system{openFile, placeOf})
}

// FailSync makes the next sync of s fail after everything was written: the batch
// may be on the disk or not.
func FailSync(s *Store, err error) {
	s.commit = func(tx *bbolt.Tx) error {
		if e := tx.Commit(); e != nil {
			return e
		}
		return err
	}
}

// SetSchema rewrites the header's schema.
func SetSchema(path string, schema uint32) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(headerBucket).Put(formatKey, header{schema: schema}.encode())
	})
}

// DropRecord deletes a record behind the back of the header.
func DropRecord(path string, key []byte) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(recordsBucket).Delete(key) })
}

// HolderPath is where the pid stands.
var HolderPath = holderPath

// Kept is the store that a keeper has open.
func Kept(k *Keeper) *Store { return k.store }
