// Package boltstore keeps the registry of one daemon in one bbolt file.
//
// Commits that arrive together share one transaction and one sync: a single
// goroutine, started by [Open] and ended by [Store.Close], writes. The file is
// opened by one process at a time, is created whole or not at all, and is
// verified when it is opened: each record carries a checksum, and the header
// counts and sums them, so that a damaged file is refused and never read as one
// with fewer records. A write that fails closes the store (see [ErrFailed]).
package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/ownedfile"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrLocked: another process, named in the error, has the file open.
	ErrLocked = errors.New("in use by another process")
	// ErrCorrupt: the file is damaged or is not one of ours. It is left as it is.
	ErrCorrupt = errors.New("store file is damaged")
	// ErrNewerSchema: a later release wrote the file.
	ErrNewerSchema = errors.New("store file was written by a later release")
	// ErrInsecure: somebody else could read or change the file.
	ErrInsecure = ownedfile.ErrInsecure
	// ErrFailed: a write or sync failed, so what the disk holds is not known any
	// more. The store has closed itself; nothing of it is used again. Open reads
	// what the disk does hold: all that was acknowledged, and of the batches that
	// failed each one as a whole or not at all.
	ErrFailed = errors.New("store closed itself after a failed write")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
)

// Options of [Open]. The zero value works.
type Options struct {
	LockWait time.Duration // how long to wait for another process; 0: 5 s
	Logger   *slog.Logger  // is warned of what is odd about the file or its place; nil: silent
}

const defaultLockWait = 5 * time.Second

func (o Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

// Store is an [appregistry.Store] over one file. Make one with [Open].
type Store struct {
	db     *bbolt.DB
	path   string
	id     string
	commit func(*bbolt.Tx) error // (*bbolt.Tx).Commit; tests make it fail

	requests  chan *request
	stop      chan struct{} // closed by Close: the writer ends
	closeOnce sync.Once
	done      chan struct{} // closed by the writer, after err was set and db closed
	err       error         // why the store is closed; read after done
	closeErr  error         // what closing the file said; read after done
}

var _ appregistry.Store = (*Store)(nil)

// Open opens the store at path, or creates it there. The directory must exist,
// belong to this process's user or root, and be writable by the owner alone; an
// existing file must belong to this process's user with mode 0600. A file of which
// less than half is used is compacted first.
func Open(path string, o Options) (*Store, error) {
	return open(path, o, thisSystem)
}

// system is what a store asks the system for; tests have their own.
type system struct {
	openFile func(string, int, os.FileMode) (*os.File, error)
	// place tells the number of the file system a directory is on, and the
	// kernel's release; zero where it is not known.
	place func(dir string) (fs int64, kernel string)
}

var thisSystem = system{os.OpenFile, placeOf}

func open(path string, o Options, sys system) (_ *Store, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open store %s: %w", path, withBackup(path, err))
		}
	}()
	if err := ownedfile.CheckDirectory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, err
	}
	db, pages, err := acquire(path, o, sys)
	if err != nil {
		return nil, err
	}
	sweep(path)
	warn(path, pages, sys, o.logger())
	if pages.wasteful(db.Info().PageSize) {
		if db, err = compactAtStart(path, db, o, sys); err != nil {
			return nil, err
		}
	}
	s := &Store{
		db: db, path: path, id: idOf(db), commit: (*bbolt.Tx).Commit,
		requests: make(chan *request, maxBatches),
		stop:     make(chan struct{}), done: make(chan struct{}),
	}
	go s.write()
	return s, nil
}

// ID tells this store from every other one, its own backups among them: who finds
// another id than last time works on what was restored. It is "" for a file that
// was made before there were ids.
func (s *Store) ID() string { return s.id }

// Close waits for the commits that are being written and closes the file.
// Commits that no transaction has taken yet fail with [ErrClosed] and change
// nothing. A second Close does nothing.
func (s *Store) Close() error {
	first := false
	s.closeOnce.Do(func() { first = true; close(s.stop) })
	<-s.done
	if !first || errors.Is(s.err, ErrFailed) {
		return nil
	}
	return s.closeErr
}

// Get implements [appregistry.Store].
func (s *Store) Get(ctx context.Context, key []byte) (value []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("get %q from %s: %w", key, s.path, err)
	}
	err = s.view(func(records *bbolt.Bucket) error {
		stored := records.Get(key)
		if stored == nil {
			return appregistry.ErrNoRecord
		}
		payload, err := unseal(key, stored)
		value = bytes.Clone(payload)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get %q from %s: %w", key, s.path, err)
	}
	return value, nil
}

// A part of a Load is what is copied in one read transaction.
const (
	partRecords = 512
	partBytes   = 1 << 20
)

// Load implements [appregistry.Store]. It copies a part of the records at a time
// and calls each outside of any transaction, so that a slow caller neither stops
// the writer nor makes the file grow, and each may use the store. The next parts are
// read meanwhile. A batch that is committed meanwhile may be seen in part.
func (s *Store) Load(ctx context.Context, each func(key, value []byte) error) error {
	parts, stop := s.parts()
	defer stop()
	for p := range parts {
		if err := errors.Join(ctx.Err(), p.err); err != nil {
			return fmt.Errorf("load from %s: %w", s.path, err)
		}
		for _, r := range p.records {
			if err := each(r.Key, r.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// part is some records that follow each other, or why there are none.
type part struct {
	records []appregistry.Record
	err     error
}

// parts reads all records in a goroutine of its own, which stop ends and waits for.
func (s *Store) parts() (_ <-chan part, stop func()) {
	parts, enough := make(chan part, 2), make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(parts)
		var after []byte
		for {
			records, err := s.part(after)
			if len(records) > 0 {
				after = bytes.Clone(records[len(records)-1].Key) // each may scribble on the part
			}
			select {
			case parts <- part{records, err}:
			case <-enough:
				return
			}
			if len(records) == 0 || err != nil {
				return
			}
		}
	})
	return parts, func() { close(enough); reading.Wait() }
}

// part copies the records behind a key, nil for the first ones.
func (s *Store) part(after []byte) (part []appregistry.Record, err error) {
	part = make([]appregistry.Record, 0, partRecords)
	err = s.view(func(records *bbolt.Bucket) error {
		c := records.Cursor()
		key, stored := c.Seek(after)
		if after != nil && bytes.Equal(key, after) {
			key, stored = c.Next()
		}
		all := make([]byte, 0, partRecords*256)
		size := 0
		for ; key != nil && len(part) < partRecords && size < partBytes; key, stored = c.Next() {
			value, err := unseal(key, stored)
			if err != nil {
				return err
			}
			size += len(key) + len(value)
			if len(all)+len(key)+len(value) > cap(all) {
				all = make([]byte, 0, max(partRecords*256, len(key)+len(value)))
			}
			at := len(all)
			all = append(append(all, key...), value...)
			split := at + len(key)
			part = append(part, appregistry.Record{Key: all[at:split:split], Value: all[split:len(all):len(all)]})
		}
		return nil
	})
	return part, err
}

// view reads in one transaction. After the store has closed it says why.
func (s *Store) view(read func(records *bbolt.Bucket) error) error {
	err := s.db.View(func(tx *bbolt.Tx) error { return read(tx.Bucket(recordsBucket)) })
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		<-s.done // the file is closed first
		return s.err
	}
	return err
}
