package boltstore

import (
	"os"

	"go.etcd.io/bbolt"
)

// OpenThrough opens a store through another os.OpenFile.
func OpenThrough(path string, openFile func(string, int, os.FileMode) (*os.File, error)) (*Store, error) {
	return open(path, Options{}, openFile)
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
