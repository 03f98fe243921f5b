package boltstore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/ownedfile"
	"go.etcd.io/bbolt"
)

// Compact writes what the store at path holds into a new file and puts that in
// its place, with mode and owner of the old one: afterwards the file has no free
// pages, and nothing of what was deleted or written over. Cut short at any point
// it leaves the one file or the other, whole. It waits for who has the store open
// as [Open] does, and returns the file's size before and after.
func Compact(path string, o Options) (before, after int64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("compact store %s: %w", path, withBackup(path, err))
		}
	}()
	db, _, err := acquire(path, o, thisSystem)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, letGo(path, db)) }()
	if before, err = sizeOf(path); err != nil {
		return 0, 0, err
	}
	if err := rewrite(path, db); err != nil {
		return before, 0, err
	}
	after, err = sizeOf(path)
	return before, after, err
}

// compactAtStart compacts an open file and opens what came of it. A failure, such
// as a full disk, is no reason not to start.
func compactAtStart(path string, db *bbolt.DB, o Options, sys system) (*bbolt.DB, error) {
	begin := time.Now()
	if err := rewrite(path, db); err != nil {
		o.logger().Warn("store not compacted", "store", path, "error", err)
		return db, nil
	}
	if err := letGo(path, db); err != nil {
		return nil, err
	}
	o.logger().Info("store compacted", "store", path, "took", time.Since(begin))
	db, _, err := acquire(path, o, sys)
	return db, err
}

// rewrite puts a copy of an open store in its place. The lock is that of the old
// file; see openInPlace.
func rewrite(path string, db *bbolt.DB) error {
	made, err := copyOf(path, db, nil)
	if err != nil {
		return err
	}
	if err := ownedfile.Replace(made, path); err != nil {
		return errors.Join(err, os.Remove(made))
	}
	return nil
}

// sweep removes what a rewriting that was cut short left behind: it holds secrets.
// The lock is held.
func sweep(path string) {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ownedfile.Pattern(path)))
	for _, name := range left {
		_ = os.Remove(name)
	}
}

// copyOf writes what db holds to a new file beside path, which is verified, and
// durable once ownedfile.Replace or a sync made it so. The copy gets the id; nil
// leaves it that of db.
func copyOf(path string, db *bbolt.DB, id []byte) (made string, err error) {
	f, err := ownedfile.Temporary(path)
	if err != nil {
		return "", err
	}
	made = f.Name()
	defer func(name string) {
		if err != nil {
			err = errors.Join(err, os.Remove(name))
		}
	}(made)
	if err := f.Close(); err != nil {
		return "", err
	}
	// The file is synced as a whole, before it is anybody's store.
	to, err := bbolt.Open(made, 0o600, &bbolt.Options{NoSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return "", err
	}
	err = bbolt.Compact(to, db, copyBytes)
	if err == nil && id != nil {
		err = to.Update(func(tx *bbolt.Tx) error { return tx.Bucket(headerBucket).Put(idKey, id) })
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return "", err
	}
	copied, pages, err := openVerified(made, &bbolt.Options{ReadOnly: true, OpenFile: os.OpenFile})
	if err != nil {
		return "", fmt.Errorf("verify the copy: %w", err)
	}
	pageSize := copied.Info().PageSize
	var want, got header
	err = errors.Join(db.View(func(tx *bbolt.Tx) (err error) { want, err = readHeader(tx); return err }),
		copied.View(func(tx *bbolt.Tx) (err error) { got, err = readHeader(tx); return err }), copied.Close())
	if err == nil && want != got {
		err = errors.New("verify the copy: it has other records")
	}
	if err != nil {
		return "", err
	}
	// bbolt makes a file up to twice as long as it needs.
	return made, os.Truncate(made, int64(pages.end)*int64(pageSize))
}

// copyBytes is how much of a copy is written in one transaction.
const copyBytes = 4 << 20

func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// warn says what is odd about a file that opens nevertheless.
func warn(path string, pages pageCount, sys system, log *slog.Logger) {
	if pages.badMeta >= 0 {
		log.Warn("store has a damaged meta page: if the power went during a commit nothing acknowledged is missing; else the last commit is, and the one before it was read",
			"store", path, "page", pages.badMeta)
	}
	if risk := fastCommitRisk(sys.place(filepath.Dir(path))); risk != "" {
		log.Warn("store is in a risky place", "store", path, "risk", risk)
	}
}
