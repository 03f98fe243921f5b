package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The layout of a bbolt file, version 2: pages of one size; two meta pages first,
// of which the valid one with the higher transaction is in force. Numbers are in
// the byte order of the machine.
const (
	pageHeaderSize = 16 // id 8, flags 2, count 2, overflow 4
	elementSize    = 16
	metaSize       = 64
	firstPage      = 2 // behind the meta pages

	bucketHeaderSize = 16 // root page 8, sequence 8

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketLeaf   = 0x01 // flag of a leaf element whose value is a bucket
	noFreelist   = ^uint64(0)
)

var native = binary.NativeEndian

// pageWalk follows the pages of a file without trusting them. bbolt does trust
// them: a page that is its own child is an endless loop there, and one that is
// both used and free is overwritten later.
type pageWalk struct {
	file     io.ReaderAt
	pageSize int
	end      uint64 // no page has this number or a higher one
	used     map[uint64]struct{}
}

func checkPages(file io.ReaderAt, size int64, pageSize int) error {
	root, freelist, end, err := meta(file, pageSize)
	if err != nil {
		return err
	}
	if end > uint64(size)/uint64(pageSize) {
		return fmt.Errorf("%w: %d bytes, and it needs %d pages of %d", ErrCorrupt, size, end, pageSize)
	}
	w := &pageWalk{file: file, pageSize: pageSize, end: end, used: map[uint64]struct{}{}}
	if err := w.tree(root); err != nil {
		return err
	}
	if freelist == noFreelist {
		return nil
	}
	return w.free(freelist)
}

// meta reads the meta page in force.
func meta(file io.ReaderAt, pageSize int) (root, freelist, end uint64, err error) {
	found, newest := false, uint64(0)
	for i := range 2 {
		b := make([]byte, metaSize)
		if _, err := file.ReadAt(b, int64(i*pageSize+pageHeaderSize)); err != nil {
			continue // the other one may do
		}
		sum := fnv.New64a()
		_, _ = sum.Write(b[:56])
		txid := native.Uint64(b[48:])
		if native.Uint64(b[56:]) != sum.Sum64() || found && txid < newest {
			continue
		}
		found, newest = true, txid
		root, freelist, end = native.Uint64(b[16:]), native.Uint64(b[32:]), native.Uint64(b[40:])
	}
	if !found {
		return 0, 0, 0, fmt.Errorf("%w: both meta pages", ErrCorrupt)
	}
	return root, freelist, end, nil
}

// tree checks the page and all below it.
func (w *pageWalk) tree(id uint64) error {
	p, flags, count, err := w.read(id)
	if err != nil {
		return err
	}
	if flags != branchPage && flags != leafPage {
		return damaged(id, "unexpected kind of page")
	}
	if pageHeaderSize+count*elementSize > len(p) {
		return damaged(id, "too many elements")
	}
	for i := range count {
		at := pageHeaderSize + i*elementSize
		child, err := element(p, at, flags)
		if err != nil {
			return damaged(id, err.Error())
		}
		if child == 0 {
			continue
		}
		if err := w.tree(child); err != nil {
			return err
		}
	}
	return nil
}

// element checks that what an element points to is in its page, and returns the
// page it leads to, 0 for none.
func element(p []byte, at int, flags uint16) (child uint64, err error) {
	e := p[at : at+elementSize]
	if flags == branchPage {
		if start, size := native.Uint32(e), native.Uint32(e[4:]); uint64(at)+uint64(start)+uint64(size) > uint64(len(p)) {
			return 0, fmt.Errorf("key of element at %d is outside", at)
		}
		return native.Uint64(e[8:]), nil
	}
	start := uint64(at) + uint64(native.Uint32(e[4:])) + uint64(native.Uint32(e[8:]))
	end := start + uint64(native.Uint32(e[12:]))
	if end > uint64(len(p)) {
		return 0, fmt.Errorf("record of element at %d is outside", at)
	}
	if native.Uint32(e)&bucketLeaf == 0 {
		return 0, nil
	}
	if end-start < bucketHeaderSize {
		return 0, fmt.Errorf("bucket of element at %d is too short", at)
	}
	if child = native.Uint64(p[start:]); child == 0 {
		err = inline(p[start+bucketHeaderSize : end])
	}
	return child, err
}

// inline checks a small bucket, whose one page lies in the element itself.
func inline(p []byte) error {
	if len(p) < pageHeaderSize || native.Uint16(p[8:]) != leafPage {
		return errors.New("inline bucket is no page of records")
	}
	count := int(native.Uint16(p[10:]))
	if pageHeaderSize+count*elementSize > len(p) {
		return errors.New("inline bucket has too many elements")
	}
	for i := range count {
		at := pageHeaderSize + i*elementSize
		if native.Uint32(p[at:])&bucketLeaf != 0 {
			return errors.New("inline bucket has a bucket in it")
		}
		if _, err := element(p, at, leafPage); err != nil {
			return fmt.Errorf("inline bucket: %w", err)
		}
	}
	return nil
}

func (w *pageWalk) free(id uint64) error {
	p, flags, count, err := w.read(id)
	if err != nil {
		return err
	}
	if flags != freelistPage {
		return damaged(id, "not a free list")
	}
	ids := p[pageHeaderSize:]
	if count == 0xffff { // too many for the header: the first one is the count
		total := native.Uint64(ids)
		if ids = ids[8:]; total > uint64(len(ids)/8) {
			return damaged(id, "too many free pages")
		}
		count = int(total)
	}
	if count > len(ids)/8 {
		return damaged(id, "too many free pages")
	}
	for i := range count {
		if err := w.use(native.Uint64(ids[8*i:])); err != nil {
			return err
		}
	}
	return nil
}

// read returns a page with those that continue it, and marks them used.
func (w *pageWalk) read(id uint64) (p []byte, flags uint16, count int, err error) {
	if err := w.use(id); err != nil {
		return nil, 0, 0, err
	}
	head := make([]byte, pageHeaderSize)
	offset := int64(id) * int64(w.pageSize)
	if _, err := w.file.ReadAt(head, offset); err != nil {
		return nil, 0, 0, fmt.Errorf("page %d: %w", id, err)
	}
	more := uint64(native.Uint32(head[12:]))
	if native.Uint64(head) != id || more >= w.end-id {
		return nil, 0, 0, damaged(id, "its header is not its own")
	}
	for next := id + 1; next <= id+more; next++ {
		if err := w.use(next); err != nil {
			return nil, 0, 0, err
		}
	}
	p = make([]byte, (1+int(more))*w.pageSize)
	if _, err := w.file.ReadAt(p, offset); err != nil {
		return nil, 0, 0, fmt.Errorf("page %d: %w", id, err)
	}
	return p, native.Uint16(head[8:]), int(native.Uint16(head[10:])), nil
}

func (w *pageWalk) use(id uint64) error {
	if id < firstPage || id >= w.end {
		return damaged(id, "no such page")
	}
	if _, twice := w.used[id]; twice {
		return damaged(id, "used twice")
	}
	w.used[id] = struct{}{}
	return nil
}

func damaged(id uint64, how string) error {
	return fmt.Errorf("%w: page %d: %s", ErrCorrupt, id, how)
}
