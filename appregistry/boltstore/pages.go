package boltstore

import (
	"bytes"
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
	size     int64
	pageSize int
	end      uint64 // no page has this number or a higher one
	used     map[uint64]struct{}
	least    []byte // the next key of the bucket is at least this
	taken    bool   // and not this itself

	pages pageCount
	// record is called with each record of a bucket; nil: not at all. The slices
	// are valid during the call only.
	record func(bucket, key, value []byte)
	// damage takes note of what is wrong, and the walk goes on with what can be
	// read beside it; nil: the walk ends there.
	damage func(error)
}

// pageCount is what is known of a file from its pages alone.
type pageCount struct {
	size    int64  // of the file, which may be longer than what was ever used
	end     uint64 // pages that were ever used, the meta pages among them
	free    uint64 // of these
	badMeta int    // the one meta page of the two that is damaged; -1: none
}

// wasteful reports whether a file is worth to be written anew: less
// than half of it is used, and it is not small anyway.
func (p pageCount) wasteful(pageSize int) bool {
	return p.size >= 1<<20 && p.used(pageSize) < p.size/2
}

// used is the bytes of the pages that hold something.
func (p pageCount) used(pageSize int) int64 { return int64(p.end-p.free) * int64(pageSize) }

// walk checks all pages in use.
func (w *pageWalk) walk() error {
	w.used = map[uint64]struct{}{}
	m, bad, err := meta(w.file, w.pageSize)
	w.pages = pageCount{size: w.size, end: m.end, badMeta: bad}
	if err != nil {
		return w.note(err)
	}
	w.end = m.end
	if have := uint64(w.size) / uint64(w.pageSize); m.end > have {
		if err := w.note(fmt.Errorf("%w: %d bytes, and it needs %d pages of %d", ErrCorrupt, w.size, m.end, w.pageSize)); err != nil {
			return err
		}
		w.end = have
	}
	if err := w.note(w.tree(m.root, nil)); err != nil {
		return err
	}
	if m.freelist == noFreelist {
		return nil
	}
	return w.note(w.free(m.freelist))
}

func (w *pageWalk) note(err error) error {
	if err == nil || w.damage == nil {
		return err
	}
	w.damage(err)
	return nil
}

// metaPage is what a meta page leads to.
type metaPage struct {
	pageSize                  int
	root, freelist, end, txid uint64
}

// readMeta reads the meta page at an offset and reports whether it is sound.
func readMeta(file io.ReaderAt, at int64) (m metaPage, ok bool) {
	b := make([]byte, metaSize)
	if _, err := file.ReadAt(b, at+pageHeaderSize); err != nil {
		return m, false
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	if native.Uint64(b[56:]) != sum.Sum64() {
		return m, false
	}
	return metaPage{
		pageSize: int(native.Uint32(b[8:])), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		end: native.Uint64(b[40:]), txid: native.Uint64(b[48:]),
	}, true
}

// meta reads the meta page in force, and says which one of the two is damaged, -1
// if none is.
func meta(file io.ReaderAt, pageSize int) (m metaPage, bad int, err error) {
	first, ok0 := readMeta(file, 0)
	second, ok1 := readMeta(file, int64(pageSize))
	switch {
	case !ok0 && !ok1:
		return m, -1, fmt.Errorf("%w: both meta pages", ErrCorrupt)
	case !ok0:
		return second, 0, nil
	case !ok1:
		return first, 1, nil
	case first.txid > second.txid:
		return first, -1, nil
	}
	return second, -1, nil
}

// pageSizeOf finds out the size of pages: each meta page says it, and the second
// one lies at that distance. 0: neither is sound.
func pageSizeOf(file io.ReaderAt) int {
	first, ok0 := readMeta(file, 0)
	for size := 512; size <= 64<<10; size *= 2 {
		if second, ok := readMeta(file, int64(size)); ok0 && first.pageSize == size || ok && second.pageSize == size {
			return size
		}
	}
	return 0
}

// tree checks the page and all below it, which belong to a bucket; nil: the bucket
// of all buckets.
func (w *pageWalk) tree(id uint64, bucket []byte) error {
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
		e, err := element(p, at, flags)
		switch {
		case err != nil:
			err = damaged(id, err.Error())
		case !w.inOrder(e.key, flags == leafPage):
			err = damaged(id, "its keys are out of order")
		default:
			err = w.element(e, bucket)
		}
		if err := w.note(err); err != nil {
			return err
		}
	}
	return nil
}

// inOrder reports whether a key is where bbolt would look for it: behind all
// before it, and not before those that lead to it.
func (w *pageWalk) inOrder(key []byte, leaf bool) bool {
	if c := bytes.Compare(key, w.least); c < 0 || c == 0 && w.taken {
		return false
	}
	w.least, w.taken = key, leaf
	return true
}

// element goes on below an element, or hands out its record.
func (w *pageWalk) element(e pageElement, bucket []byte) error {
	switch {
	case e.isBucket:
		bucket = e.key
		defer func(least []byte, taken bool) { w.least, w.taken = least, taken }(w.least, w.taken)
		w.least, w.taken = nil, false
		if e.child == 0 {
			w.inline(e.value[bucketHeaderSize:], bucket)
			return nil
		}
	case e.child == 0:
		if w.record != nil {
			w.record(bucket, e.key, e.value)
		}
		return nil
	}
	return w.tree(e.child, bucket)
}

// inline hands out the records of a small bucket, which was checked.
func (w *pageWalk) inline(p, bucket []byte) {
	for i := range int(native.Uint16(p[10:])) {
		if e, err := element(p, pageHeaderSize+i*elementSize, leafPage); err == nil && w.record != nil {
			w.record(bucket, e.key, e.value)
		}
	}
}

// pageElement is what an element of a page points to.
type pageElement struct {
	child      uint64 // the page below; 0: none
	isBucket   bool   // value is a bucket's header, and its page where that has no other
	key, value []byte
}

// element reads an element and checks that what it points to is in its page.
func element(p []byte, at int, flags uint16) (e pageElement, err error) {
	b := p[at : at+elementSize]
	if flags == branchPage {
		if start, size := native.Uint32(b), native.Uint32(b[4:]); uint64(at)+uint64(start)+uint64(size) > uint64(len(p)) {
			return e, fmt.Errorf("key of element at %d is outside", at)
		}
		from := at + int(native.Uint32(b))
		e.key = p[from : from+int(native.Uint32(b[4:]))]
		if e.child = native.Uint64(b[8:]); e.child == 0 {
			err = fmt.Errorf("element at %d leads nowhere", at)
		}
		return e, err
	}
	keyAt := uint64(at) + uint64(native.Uint32(b[4:]))
	valueAt := keyAt + uint64(native.Uint32(b[8:]))
	end := valueAt + uint64(native.Uint32(b[12:]))
	if end > uint64(len(p)) {
		return e, fmt.Errorf("record of element at %d is outside", at)
	}
	e = pageElement{isBucket: native.Uint32(b)&bucketLeaf != 0, key: p[keyAt:valueAt], value: p[valueAt:end]}
	if !e.isBucket {
		return e, nil
	}
	if len(e.value) < bucketHeaderSize {
		return e, fmt.Errorf("bucket of element at %d is too short", at)
	}
	if e.child = native.Uint64(e.value); e.child == 0 {
		err = inline(e.value[bucketHeaderSize:])
	}
	return e, err
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
		if err := w.note(w.use(native.Uint64(ids[8*i:]))); err != nil {
			return err
		}
	}
	w.pages.free = uint64(count)
	return nil
}

// read returns a page with those that continue it, and marks them used.
func (w *pageWalk) read(id uint64) (p []byte, flags uint16, count int, err error) {
	if err := w.use(id); err != nil {
		return nil, 0, 0, err
	}
	p = make([]byte, w.pageSize)
	offset := int64(id) * int64(w.pageSize)
	if _, err := w.file.ReadAt(p, offset); err != nil {
		return nil, 0, 0, fmt.Errorf("page %d: %w", id, err)
	}
	head := p[:pageHeaderSize]
	more := uint64(native.Uint32(head[12:]))
	if native.Uint64(head) != id || more >= w.end-id {
		return nil, 0, 0, damaged(id, "its header is not its own")
	}
	for next := id + 1; next <= id+more; next++ {
		if err := w.use(next); err != nil {
			return nil, 0, 0, err
		}
	}
	if more > 0 {
		p = append(p, make([]byte, int(more)*w.pageSize)...)
		if _, err := w.file.ReadAt(p[w.pageSize:], offset+int64(w.pageSize)); err != nil {
			return nil, 0, 0, fmt.Errorf("page %d: %w", id, err)
		}
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
