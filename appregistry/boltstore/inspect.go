package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/ownedfile"
)

// Report is what [Inspect] found.
type Report struct {
	Size     int64  // of the file
	Used     int64  // bytes of the pages that hold something
	PageSize int    // 0: it cannot be told
	Schema   uint32 // 0: it cannot be told
	Records  uint64 // that can be read and have their checksum
	Expected uint64 // records there should be; Known says whether that can be told
	Known    bool
	// BadMeta: one of the two meta pages is damaged. Either a commit was cut short
	// by a loss of power, and nothing that was acknowledged is missing, or the page
	// went bad afterwards, and then the last commit is missing. The file does not
	// tell which.
	BadMeta bool
	// Damage is all else that is wrong, the first hundred things by their text.
	// A store with any of it does not open.
	Damage []error
}

// maxDamage is how much of it is told.
const maxDamage = 100

// Inspect reads the whole file at path without changing it, and calls each with
// every record that can be read, in no particular order where pages are damaged.
// The slices are valid during the call only. It waits for who has the store open as
// [Open] does. The error tells that the file cannot be read at all; what is wrong
// in it is in the report.
func Inspect(path string, o Options, each func(key, value []byte) error) (_ Report, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("inspect store %s: %w", path, err)
		}
	}()
	if err := ownedfile.CheckDirectory(filepath.Dir(path)); err != nil {
		return Report{}, err
	}
	if err := checkFile(path); err != nil {
		return Report{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := lockShared(f, path, o); err != nil {
		return Report{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return Report{}, err
	}
	i := &inspection{report: Report{Size: info.Size()}, each: each}
	if i.report.PageSize = pageSizeOf(f); i.report.PageSize == 0 {
		i.damage(fmt.Errorf("%w: both meta pages", ErrCorrupt))
		return i.report, nil
	}
	i.walk(f)
	return i.report, i.err
}

// lockShared keeps writers away until the file is closed.
func lockShared(f *os.File, path string, o Options) error {
	wait := o.LockWait
	if wait == 0 {
		wait = defaultLockWait
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(50 * time.Millisecond) {
		switch locked, err := tryLockShared(f); {
		case err != nil:
			return err
		case locked:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%w (%s), waited %v", ErrLocked, holder(path), wait)
		}
	}
}

// inspection gathers what is found.
type inspection struct {
	report Report
	each   func(key, value []byte) error
	err    error // of each
	sum    uint64
}

func (i *inspection) damage(err error) {
	if len(i.report.Damage) < maxDamage {
		i.report.Damage = append(i.report.Damage, err)
	}
}

func (i *inspection) walk(f *os.File) {
	var head []byte
	w := &pageWalk{file: f, size: i.report.Size, pageSize: i.report.PageSize, damage: i.damage, record: func(bucket, key, value []byte) {
		switch {
		case string(bucket) == string(recordsBucket):
			i.record(key, value)
		case string(bucket) == string(headerBucket) && string(key) == string(formatKey):
			head = slices.Clone(value)
		}
	}}
	_ = w.walk() // it goes on over damage
	r := &i.report
	r.Used, r.BadMeta = w.pages.used(r.PageSize), w.pages.badMeta >= 0
	h, err := parseHeader(head)
	if r.Schema = h.schema; err != nil {
		i.damage(err)
		return
	}
	r.Expected, r.Known = h.count, true
	if r.Records != h.count || i.sum != h.sum {
		i.damage(fmt.Errorf("%w: %d records can be read, the header counts %d", ErrCorrupt, r.Records, h.count))
	}
}

func (i *inspection) record(key, stored []byte) {
	value, err := unseal(key, stored)
	if err != nil {
		i.damage(err)
		return
	}
	i.report.Records++
	i.sum += binary.BigEndian.Uint64(stored)
	if i.each != nil && i.err == nil {
		i.err = i.each(key, value)
	}
}
